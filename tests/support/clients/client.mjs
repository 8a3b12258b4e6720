// The stock JavaScript Socket.IO clients, driven over stdio by lines of JSON.
//
// In:  {"cmd": "connect", "client": "a", "url": "http://host:port/namespace", "options": {...}, "oldest": false}
//      {"cmd": "emit", "client": "a", "event": "x", "args": [...], "ack": 7}     ack: the number to report it under
//      {"cmd": "flood", "client": "a", "event": "x", "count": 1000, "batch": 10}  numbered 0, 1, 2, ...
//      {"cmd": "disconnect" | "reconnect" | "cut" | "mute" | "unmute" | "state", "client": "a"}
//      {"cmd": "raw", "client": "a", "data": "..."}      an Engine.IO message, whatever it says
//      {"cmd": "exit"}
// Out: {"client": "a", "type": "connect", "sid", "recovered", "transport"}
//      {"client": "a", "type": "event", "event", "args"}      unless options.quiet, which only counts them
//      {"client": "a", "type": "disconnect", "reason"} | "connect_error" | "ack" | "upgrade" | "flooded" | "state"
//
// `options.tokens` makes an `auth` function that gives one after the other, and the last one again and again.
//
// Binary arguments travel as {"$binary": "<base64>"}. `cut` destroys the TCP connection of a websocket, and
// aborts the requests of long-polling; `mute` stops reading from the websocket's TCP connection.
import { Agent } from "node:http";
import { createInterface } from "node:readline";
import { io as latest } from "socket.io-client";
import { io as oldest } from "socket.io-client-oldest";

const clients = new Map();

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

function pack(value) {
  if (Buffer.isBuffer(value)) return { $binary: value.toString("base64") };
  if (value instanceof ArrayBuffer) return pack(Buffer.from(value));
  if (Array.isArray(value)) return value.map(pack);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item)]));
  }
  return value;
}

function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value && typeof value === "object") {
    if ("$binary" in value) return Buffer.from(value.$binary, "base64");
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
  }
  return value;
}

const transportOf = (socket) => socket.io.engine?.transport?.name ?? null;
const tcpOf = (socket) => socket.io.engine?.transport?.ws?._socket ?? null;

function connect({ client, url, options = {}, oldest: old = false }) {
  const { quiet = false, localAddress, tokens, ...rest } = options;
  if (tokens) rest.auth = (give) => give({ token: tokens.length > 1 ? tokens.shift() : tokens[0] });
  if (localAddress) rest.agent = new Agent({ localAddress }); // one of 127.0.0.0/8, for proxies that look at it
  const socket = (old ? oldest : latest)(url, { forceNew: true, ...rest });
  const entry = { socket, received: 0 };
  clients.set(client, entry);
  const watchEngine = () => {
    socket.io.engine.on("upgrade", (transport) => say({ client, type: "upgrade", transport: transport.name }));
  };
  socket.io.on("open", watchEngine);
  socket.on("connect", () =>
    say({
      client,
      type: "connect",
      sid: socket.id,
      recovered: socket.recovered ?? null,
      transport: transportOf(socket),
    }),
  );
  socket.on("connect_error", (error) =>
    say({ client, type: "connect_error", message: error.message, data: error.data ?? null, active: socket.active }),
  );
  socket.on("disconnect", (reason) => say({ client, type: "disconnect", reason, active: socket.active }));
  socket.onAny((event, ...args) => {
    entry.received += 1;
    const answer = typeof args.at(-1) === "function" ? args.pop() : null;
    if (!quiet) say({ client, type: "event", event, args: pack(args) });
    if (answer) answer(...args);
  });
}

async function flood(client, socket, { event, count, batch = 10 }) {
  for (let number = 0; number < count; number += 1) {
    socket.emit(event, number);
    if (number % batch === batch - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  say({ client, type: "flooded", count });
}

function cut(socket) {
  const tcp = tcpOf(socket);
  if (tcp) tcp.destroy();
  else socket.io.engine?.transport?.onError?.("cut by the test");
}

const commands = {
  connect,
  emit({ client, event, args = [], ack = null }) {
    const { socket } = clients.get(client);
    const values = unpack(args);
    if (ack === null) socket.emit(event, ...values);
    else socket.emit(event, ...values, (...answer) => say({ client, type: "ack", ack, args: pack(answer) }));
  },
  flood(line) {
    flood(line.client, clients.get(line.client).socket, line);
  },
  raw({ client, data }) {
    clients.get(client).socket.io.engine.write(data);
  },
  disconnect({ client }) {
    clients.get(client).socket.disconnect();
  },
  reconnect({ client }) {
    clients.get(client).socket.connect();
  },
  cut({ client }) {
    cut(clients.get(client).socket);
  },
  mute({ client }) {
    tcpOf(clients.get(client).socket)?.pause();
  },
  unmute({ client }) {
    tcpOf(clients.get(client).socket)?.resume();
  },
  state({ client }) {
    const { socket, received } = clients.get(client);
    say({
      client,
      type: "state",
      connected: socket.connected,
      active: socket.active,
      sid: socket.id ?? null,
      transport: transportOf(socket),
      received,
    });
  },
  exit() {
    process.exit(0);
  },
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (text) => {
  const line = JSON.parse(text);
  try {
    commands[line.cmd](line);
  } catch (error) {
    say({ client: line.client ?? null, type: "fault", message: String(error) });
  }
});
lines.on("close", () => process.exit(0));
say({ client: null, type: "ready" });
