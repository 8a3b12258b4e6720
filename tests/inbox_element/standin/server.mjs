// Speaks the inbox contract over stock Socket.IO and the same HTTP paths as a node, on one port, from memory.
// The element is tested against it where a node is not needed, or where a node would have to be provoked.
// Prints its port on a line of its own, and ends with its standard input.
import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";

import { Server } from "socket.io";

import { Box } from "./box.mjs";

const { STANDIN_SECRET: secret, STANDIN_MAX: max = "1000" } = process.env;
const STATUSES = ["all", "unseen", "unread", "read", "archived", "snoozed"];
const KINDS = ["delivered", "seen", "read", "unread", "archived", "unarchived", "snoozed", "unsnoozed", "deleted"];
const SWEEP_MS = 50;

const http = createServer(answer);
const io = new Server(http, {
  cors: { origin: true },
  connectionStateRecovery: { maxDisconnectionDuration: 60_000, skipMiddlewares: false },
});
const boxes = new Map();

function box(user) {
  if (!boxes.has(user)) boxes.set(user, new Box({ max: Number(max), tell: teller(user) }));
  return boxes.get(user);
}

/** Notifications are kept for a recovery; changes are not, and so go past the adapter, which keeps all it sees. */
function teller(user) {
  return (event, body, kept = false) => {
    if (kept) io.to(`user:${user}`).emit(event, body);
    else for (const socket of socketsOf(user)) past(socket, event, body);
  };
}

function past(socket, event, body) {
  socket.packet({ type: 2, data: [event, body, ""] });
}

function socketsOf(user) {
  return [...io.sockets.sockets.values()].filter((socket) => socket.data.user === user);
}

/** The claims of a token, or a sentence about what is wrong with it. */
function claims(token) {
  const [head, body, signature] = String(token).split(".");
  const mine = createHmac("sha256", secret).update(`${head}.${body}`).digest("base64url");
  if (signature !== mine) return "token_invalid";
  const read = JSON.parse(Buffer.from(body, "base64url"));
  return read.exp * 1000 > Date.now() ? read : "token_expired";
}

io.use((socket, next) => {
  const read = claims(socket.handshake.auth.token);
  if (typeof read !== "string") {
    socket.data.user = read.sub;
    socket.data.exp = read.exp;
    return next();
  }
  const error = new Error("The token is no good.");
  error.data = { code: read, detail: error.message, retryable: false };
  return next(error);
});

io.on("connection", (socket) => {
  const { user } = socket.data;
  socket.join(`user:${user}`);
  let warns;
  let ends;
  const until = (exp) => {
    clearTimeout(warns);
    clearTimeout(ends);
    const left = exp * 1000 - Date.now();
    warns = setTimeout(() => past(socket, "session:expiring", { expires_in: left / 2000 }), left / 2);
    ends = setTimeout(() => socket.conn.close(), left);
  };
  until(socket.data.exp);
  socket.on("disconnect", () => [warns, ends].forEach(clearTimeout));
  socket.on("session:refresh", ({ token }, ack) => {
    const read = claims(token);
    if (typeof read === "string") return ack(refusal(read, "The token is no good."));
    until(read.exp);
    return ack({ ok: true, expires_in: Math.round(read.exp - Date.now() / 1000), left: [] });
  });
  let lists = 0;
  socket.on("inbox:list", (query, ack) => {
    if (lists >= 4) return ack(refusal("too_many", "Too many lists at a time.", true));
    lists += 1;
    return setImmediate(() => {
      lists -= 1;
      const wrong = faultOfList(query);
      ack(wrong ? refusal("invalid", wrong) : { ok: true, ...box(user).list(query) });
    });
  });
  socket.on("inbox:mark", (mark, ack) => {
    const wrong = faultOfMark(mark);
    ack(wrong ? refusal("invalid", wrong) : { ok: true, ...box(user).mark(mark) });
  });
  const { rev } = box(user);
  const counts = box(user).counts();
  if (socket.recovered) past(socket, "inbox:changed", { as: "reset", rev, counts });
  const inbox = { rev, unseen: counts.unseen, unread: counts.unread };
  past(socket, "session:ready", { user, node: "stand-in", recovered: socket.recovered, inbox });
});

setInterval(() => boxes.forEach((one) => one.sweep()), SWEEP_MS);

function refusal(code, detail, retryable = false) {
  return { ok: false, error: { code, detail, retryable } };
}

function faultOfList({ limit = 20, status = "all" }) {
  if (!(Number.isInteger(limit) && limit >= 0 && limit <= 100)) return "limit is 0 to 100.";
  return STATUSES.includes(status) ? null : "There is no such status.";
}

function faultOfMark({ as, ids, up_to: upTo, until }) {
  if (!KINDS.includes(as)) return "There is no such mark.";
  if ((ids == null) === (upTo == null)) return "Either ids or up_to.";
  if (ids && !(ids.length >= 1 && ids.length <= 1000)) return "1 to 1,000 ids.";
  if (as === "snoozed" && !(Date.parse(until) > Date.now())) return "until is in the past.";
  return null;
}

// The HTTP of a node, as far as the tests of the element need it.

let made = 0;

function publish(body) {
  const { to, title, ttl = 2_592_000, event, collapse_key, inbox = true, ...rest } = body;
  const now = Date.now();
  const notification = {
    id: `ntf_${now.toString(36)}${(made += 1).toString(36).padStart(6, "0")}`,
    title, priority: "normal", ...rest,
    created_at: new Date(now).toISOString(),
    ...(ttl ? { expires_at: new Date(now + ttl * 1000).toISOString() } : {}),
  };
  for (const user of [].concat(to.users ?? to.user)) {
    if (ttl && inbox) box(user).publish(notification, { event, collapse_key });
    else io.to(`user:${user}`).emit(event ?? "notification", notification);
  }
  return { id: notification.id, status: "accepted", created_at: notification.created_at };
}

async function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  if (pathname.startsWith("/socket.io/")) return;
  let text = "";
  for await (const chunk of request) text += chunk;
  const body = text ? JSON.parse(text) : {};
  const [, user, what] = /^\/v1\/users\/([^/]+)\/(inbox|inbox\/mark|disconnect)$/.exec(pathname) ?? [];
  const [, id] = /^\/v1\/notifications\/(ntf_\w+)$/.exec(pathname) ?? [];
  const give = (status, given) => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(given === undefined ? undefined : JSON.stringify(given));
  };
  if (pathname === "/v1/notifications") return give(202, publish(body));
  if (pathname === "/v1/notifications/batch") {
    const results = body.notifications.map((one, index) => ({ index, ...publish(one) }));
    return give(202, { accepted: results.length, rejected: 0, results });
  }
  if (id && request.method === "DELETE") {
    boxes.forEach((one) => one.remove([id], "retracted"));
    return give(204);
  }
  if (what === "inbox") {
    const query = Object.fromEntries(searchParams);
    return give(200, box(user).list({ ...query, limit: Number(query.limit ?? 20), category: searchParams.getAll("category").length ? searchParams.getAll("category") : undefined }));
  }
  if (what === "inbox/mark") {
    const wrong = faultOfMark(body);
    return wrong ? give(422, { code: "invalid", detail: wrong }) : give(200, box(user).mark(body));
  }
  if (what === "disconnect") {
    socketsOf(user).forEach((socket) => socket.disconnect(true));
    return give(200, {});
  }
  return give(404, { code: "not_found", detail: randomBytes(2).toString("hex") });
}

http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
