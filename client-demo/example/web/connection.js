// The connection to notify of whoever is signed in: one socket for the page, made and ended with the session.
import { useEffect, useState } from "react";
import { io } from "socket.io-client";

import { get } from "./api.js";

/** The socket, or null while nobody is signed in; and whether it is connected. */
export function useSocket(url) {
  const [socket, setSocket] = useState(null);
  const [connected, setConnected] = useState(false);
  useEffect(() => {
    if (!url) return undefined;
    // Asked for at each connect, so that a reconnect after an hour comes with a token that is good.
    const auth = (answer) => get("/api/token").then(answer, () => answer({}));
    const made = io(url, { auth });
    made.on("connect", () => setConnected(true));
    made.on("disconnect", () => setConnected(false));
    made.on("session:expiring", async () => made.emit("session:refresh", await get("/api/token"), () => {}));
    setSocket(made);
    return () => {
      made.disconnect();
      setSocket(null);
      setConnected(false);
    };
  }, [url]);
  return { socket, connected };
}
