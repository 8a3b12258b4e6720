// What a network may do to a socket, done on purpose: packets held back, lost, or late. It sits below the client's
// handlers, where the stock client hands each packet on, so that it works with any server.

/** Takes hold of a socket; `asked` lists what was emitted. */
export function faults(socket) {
  const wire = { asked: [], drop: 0, held: { event: null, ack: null } };
  for (const [kind, method] of [["event", "onevent"], ["ack", "onack"]]) {
    const pass = socket[method].bind(socket);
    socket[method] = (packet) => {
      if (kind === "event" && wire.drop > 0) {
        wire.drop -= 1;
        return;
      }
      for (const item of kind === "ack" ? packet.data[0]?.data ?? [] : []) {
        // As if it had come so many seconds ago: what a picture shows is then the same every day.
        if (item.data?.age) item.created_at = new Date(Date.now() - item.data.age * 1000).toISOString();
      }
      if (wire.held[kind]) wire.held[kind].push(packet);
      else pass(packet);
    };
    wire[`hold_${kind}`] = () => { wire.held[kind] ??= []; };
    wire[`release_${kind}`] = () => {
      const packets = wire.held[kind] ?? [];
      wire.held[kind] = null;
      packets.forEach(pass);
      return packets.length;
    };
  }
  socket.onAnyOutgoing((name, body) => wire.asked.push([name, body]));
  /** The transport is gone, as by a broken network: the client comes back by itself, and recovers. */
  wire.cut = () => socket.io.engine.close();
  return wire;
}
