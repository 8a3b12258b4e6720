// The bell of ../../inbox: what came while somebody was away, and what they have not read yet.
// In an application of your own: npm install notify-inbox, and import "notify-inbox" and "notify-inbox/element".
import { useEffect, useState } from "react";

import "../../inbox/element.js";
import { Inbox } from "../../inbox/inbox.js";

export function Bell({ socket }) {
  const [inbox, setInbox] = useState(null);
  useEffect(() => {
    if (!socket) return undefined;
    const made = new Inbox(socket);
    setInbox(made);
    return () => made.close();
  }, [socket]);
  return inbox && <notify-inbox inbox={inbox} badge="unread" />;
}
