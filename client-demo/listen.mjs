// Notifications in a terminal, on the stock socket.io-client.
//
//   node client-demo/listen.mjs --url http://localhost:8080 --token "$TOKEN" [--room project:apollo] [--json]
//
// Cut the network and bring it back: what was missed is printed, in order, before "recovered".
import { parseArgs } from "node:util";

import { io } from "socket.io-client";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: process.env.NOTIFY_URL ?? "http://localhost:8080" },
    token: { type: "string", default: process.env.NOTIFY_TOKEN },
    room: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
  },
});
if (!values.token) {
  console.error("A token is needed: --token or NOTIFY_TOKEN. `notify token --user ada` makes one.");
  process.exit(2);
}

const socket = io(values.url, { auth: (give) => give({ token: values.token }) });
const say = (text) => console.error(`# ${text}`);

socket.on("session:ready", ({ user, node, recovered }) => {
  say(`${user} on ${node}, recovered: ${recovered}`);
  if (!recovered) values.room.forEach(join);
});
socket.on("notification", (notification) => console.log(values.json ? JSON.stringify(notification) : line(notification)));
socket.on("message", ({ from, data }) => console.log(plain(`${from}: ${JSON.stringify(data)}`)));
socket.on("disconnect", (reason) => say(`disconnected: ${reason}`));
socket.on("connect_error", (error) => {
  say(`not connected: ${error.message}`);
  if (!socket.active) process.exit(1); // refused; while it is active the client keeps trying by itself
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    socket.disconnect();
    process.exit(0);
  });
}

async function join(room) {
  const answer = await socket.emitWithAck("room:join", { room });
  say(answer.ok ? `joined ${room}` : `not joined ${room}: ${answer.error.detail}`);
}

function line({ priority, title, body, url }) {
  return plain([`[${priority ?? "normal"}]`, title, body, url].filter(Boolean).join("  "));
}

/** Without control characters: what someone posts must not be able to steer this terminal. */
function plain(text) {
  return text.replace(/\p{Cc}+/gu, " ");
}
