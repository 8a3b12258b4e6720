// The `node` peer: socket.io with the Redis adapter as its documentation says, and a bare HTTP endpoint that emits.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const options = Object.fromEntries(process.argv.slice(2).map((argument) => argument.replace(/^--/, "").split("=")));

const publisher = createClient({ url: options.redis });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);

const http = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks)) : {};
    const answer = (await endpoints[request.url]?.(body)) ?? {};
    const text = JSON.stringify(answer);
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
    response.end(text);
  });
});

const io = new Server(http, {
  adapter: createAdapter(publisher, subscriber),
  pingInterval: Number(options["ping-interval"]) * 1000,
});

io.on("connection", (socket) => socket.join(socket.handshake.auth.rooms));

const now = () => String(process.hrtime.bigint() / 1000n).padStart(16, "0");

const endpoints = {
  "/emit": ({ room, notification }) => {
    notification.data.t = now();
    io.to(room).emit("notification", notification);
  },
  "/flood": async ({ rooms, n, notification }) => {
    for (let i = 0; i < n; i += 1) {
      io.to(rooms[i % rooms.length]).emit("notification", notification);
      if (i % 100 === 99) await publisher.ping();
    }
    await publisher.ping(); // everything is in Redis when this is answered
  },
  "/collect": () => globalThis.gc(),
};

// `io` answers its own path itself and leaves the others to the listener above.
http.listen(Number(options.port), "127.0.0.1");
