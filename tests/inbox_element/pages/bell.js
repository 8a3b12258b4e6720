// A page that uses the element as anybody would; `window.page` is what the tests reach for.
// The address says how: #{"url", "token", "attributes", "options", "scheme", "dir", "faults"}
import { io } from "/vendor/socket.io.esm.min.js";

import { NotifyInbox } from "/client/element.js";
import { Inbox } from "/client/inbox.js";

import { faults } from "./faults.js";

const config = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const { url, token, attributes = {}, options = {}, scheme, dir, connect = true } = config;
if (scheme) document.documentElement.style.colorScheme = scheme;
if (dir) document.documentElement.dir = dir;

const socket = io(url, { auth: { token }, autoConnect: false, transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 200 });
const wire = faults(socket);
const inbox = new Inbox(socket, options);
const element = document.querySelector("notify-inbox");
for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
if (attributes.mode === "inline") {
  document.body.className = "inline";
  document.querySelector("main").append(element);
}
const page = { ready: false, socket, inbox, element, wire, Inbox, NotifyInbox, arrivals: [], errors: [], clicks: [], asked: wire.asked };
socket.on("disconnect", () => { page.ready = false; });
socket.on("session:ready", () => { page.ready = true; });
inbox.addEventListener("arrival", ({ detail }) => page.arrivals.push(detail.id));
inbox.addEventListener("error", ({ detail }) => page.errors.push(detail.code));
element.addEventListener("notify-click", ({ detail }) => page.clicks.push(detail.id));
element.inbox = inbox;
window.page = page;
if (connect) socket.connect();
