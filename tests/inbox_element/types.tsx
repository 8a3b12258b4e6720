// What somebody who writes TypeScript may do with the package, and what they may not. Compiled, never run.
import { io, type Socket } from "socket.io-client";

import { Inbox, type ClientToServerEvents, type InboxItem, type ServerToClientEvents } from "notify-inbox";
import type {} from "notify-inbox/element";
import { NotifyInbox, useInbox } from "notify-inbox/react";

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io("https://notify.example.com");
socket.on("notification", (notification) => notification.inbox?.place.toFixed());
socket.on("inbox:changed", (change) => {
  if (change.as === "reset") change.counts.total.toFixed();
  else change.at.trim();
});
socket.on("notification:removed", ({ ids, reason }) => ids.map((id) => `${id} ${reason === "trimmed"}`));
socket.emit("inbox:list", { status: "unread", limit: 20 }, (answer) => {
  if (!answer.ok) answer.error.code.trim();
  else if (!answer.unchanged) answer.data.map((item) => item.seen_at);
});
socket.emit("inbox:mark", { as: "read", up_to: "ntf_1" }, (answer) => answer.ok && answer.changed.toFixed());
// @ts-expect-error there is no such event
socket.emit("inbox:marks", {}, () => {});
// @ts-expect-error either ids or up_to
socket.emit("inbox:mark", { as: "read" }, () => {});

const inbox = new Inbox(socket, { category: ["ci", "billing"], status: "all", limit: 50 });
inbox.addEventListener("arrival", ({ detail }) => detail.title?.trim());
inbox.addEventListener("error", ({ detail }) => detail.code.trim());
inbox.mark("snoozed", "ntf_1", { until: new Date() }).then((answer) => answer.ok && answer.changed.toFixed());
inbox.counts.unread.toFixed();
// @ts-expect-error the total may not be known
inbox.counts.total.toFixed();
// @ts-expect-error there is no such mark
inbox.mark("starred", "ntf_1");
// @ts-expect-error what it holds is not to be changed from outside
inbox.items.push({} as InboxItem);

const bell = document.querySelector("notify-inbox")!;
bell.inbox = inbox;
bell.labels = { title: "Meldungen", pill: (count) => `${count} neue` };
bell.renderItem = (item) => item.body ?? "";
bell.addEventListener("notify-click", (event) => { event.preventDefault(); event.detail.url?.trim(); });
// @ts-expect-error there is no such label
bell.labels = { titel: "Meldungen" };

export function App() {
  const { items, state } = useInbox(inbox);
  return <NotifyInbox inbox={inbox} badge="unread" tabs="ci" onClick={(event) => event.detail.id} hidden={state === "offline" && !items.length} />;
}
