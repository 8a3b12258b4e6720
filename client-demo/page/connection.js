import { io } from "../vendor/socket.io.esm.min.js";
import { caughtUp } from "./status.js";

const ACK_TIMEOUT_MS = 5000;
const BEFORE_RENEWED_MS = 1000;

/**
 * One person's connection: a stock socket.io-client, and what the page needs to know about it.
 *
 * Recovery after a lost connection is the client's and the server's own; nothing here takes part in it.
 * The one thing added is what a load balancer does in production: when a node is gone, the next attempt
 * goes to another one (`moveTo`). The Socket object stays the same, so its place in the stream does too.
 *
 * Events (CustomEvent, `detail`):
 *   state         {state, node, recovered, replayed, detail}; state: connecting | live | away | lost | refused
 *   notification  {notification, replayed}   replayed: it was missed, and came with the recovery
 *   message       {from, to, data}           from another client
 *   removed       {ids, reason}
 *   session       {recovered, replayed}      the server has said where we are
 *   journal       {text, kind}               a line for the person's log
 */
export class Connection extends EventTarget {
  #socket;
  #settled = false;
  #replayed = 0;
  #token;
  #renewed = false;
  #awayTimer = 0;

  constructor({ person, nodes, renewToken }) {
    super();
    this.person = person;
    this.nodes = nodes;
    this.renewToken = renewToken;
    this.node = nodes.find(person.node);
    this.state = "connecting";
    this.#token = person.token;
    this.#socket = io(this.node.url, {
      auth: (answer) => answer({ token: this.#token }),
      autoConnect: false,
      forceNew: true, // two people on one page: two connections
      transports: ["websocket", "polling"],
      reconnectionDelay: 250,
      reconnectionDelayMax: 2000,
    });
    this.#listen();
  }

  open() {
    this.#socket.connect();
  }

  /** The stock socket itself. */
  get socket() {
    return this.#socket;
  }

  get transport() {
    return this.#socket.io.engine?.transport?.name ?? "";
  }

  /** Sends an event and resolves with the server's answer; rejects with a sentence for people. */
  async ask(event, argument) {
    if (!this.#socket.connected) throw new Error("Not connected right now.");
    let answer;
    try {
      answer = await this.#socket.timeout(ACK_TIMEOUT_MS).emitWithAck(event, argument);
    } catch {
      throw new Error("The server did not answer in time.");
    }
    if (answer?.ok !== true) throw new Error(answer?.error?.detail ?? "The server refused.");
    return answer;
  }

  /** Ends the transport under the client's feet and stays away for a while, as a lift or a tunnel would. */
  cut(awayMs) {
    if (!this.#socket.connected) return;
    const manager = this.#socket.io;
    this.state = "away";
    manager.reconnection(false);
    manager.engine.close();
    this.#become("away", { detail: `Away for ${Math.round(awayMs / 1000)} s` });
    this.#awayTimer = setTimeout(() => {
      manager.reconnection(true);
      this.#become("connecting", { detail: "Coming back" });
      this.#socket.connect();
    }, awayMs);
  }

  close() {
    clearTimeout(this.#awayTimer);
    this.#socket.disconnect();
  }

  #listen() {
    const socket = this.#socket;
    socket.on("connect", () => {
      const replayed = this.#replayed;
      this.#settled = true;
      this.#renewed = false;
      this.#become("live", { recovered: socket.recovered, replayed });
    });
    socket.on("session:ready", (session) => {
      this.node = this.nodes.find(session.node) ?? { id: String(session.node) };
      const replayed = this.#replayed;
      this.#replayed = 0;
      this.#become("live", { recovered: session.recovered === true, replayed });
      this.#tell("session", { recovered: session.recovered === true, replayed });
      if (session.recovered) this.#journal(`Back on ${this.node.id}, recovered. ${caughtUp(replayed)}`, "good");
      else this.#journal(`Connected to ${this.node.id}, a new session`);
    });
    socket.on("disconnect", (reason) => {
      this.#settled = false;
      this.#replayed = 0;
      this.#journal(`Disconnected: ${reason}`, "bad");
      if (this.state === "away") return;
      if (reason === "io server disconnect") {
        this.#refused(new Error("The server ended this session.")); // its token ran out, or was revoked
        return;
      }
      this.#become("lost", { detail: "Connection lost, finding another node" });
      this.#moveOn();
    });
    socket.on("connect_error", (error) => {
      if (socket.active) {
        this.#become("lost", { detail: "No answer yet, trying again" });
        this.#moveOn();
      } else {
        this.#refused(error);
      }
    });
    // Missed events are replayed before `connect` fires: until then the connection is not settled.
    socket.on("notification", (notification) => {
      const replayed = !this.#settled;
      if (replayed) this.#replayed += 1;
      this.#tell("notification", { notification, replayed });
    });
    socket.on("message", (message) => this.#tell("message", message));
    socket.on("notification:removed", (removed) => this.#tell("removed", removed));
    socket.on("session:expiring", () => this.#refreshToken());
  }

  /** The next attempt goes to another node that answers, when there is one. */
  async #moveOn() {
    await this.nodes.refresh();
    const next = this.nodes.another(this.#goal());
    if (next) this.#socket.io.uri = next.url;
  }

  #goal() {
    const uri = this.#socket.io.uri;
    return this.nodes.list.find((node) => node.url === uri)?.id;
  }

  async #refreshToken() {
    try {
      this.#token = await this.renewToken();
      await this.ask("session:refresh", { token: this.#token });
      this.#journal("Token refreshed");
    } catch (error) {
      this.#journal(`Token not refreshed: ${error.message}`, "bad"); // when it expires we connect again with a new one
    }
  }

  async #refused(error) {
    this.#journal(`Refused: ${error.message}`, "bad");
    if (!this.#renewed) {
      this.#renewed = true; // a page left open over night holds an old token: one new one, once
      try {
        this.#token = await this.renewToken();
        await new Promise((resolve) => setTimeout(resolve, BEFORE_RENEWED_MS));
        this.#socket.connect();
        return;
      } catch {
        // The demo server is gone too; the refusal is what there is to show.
      }
    }
    this.#become("refused", { detail: error.message });
  }

  #become(state, { recovered = false, replayed = 0, detail = "" } = {}) {
    this.state = state;
    this.#tell("state", { state, node: this.node, recovered, replayed, detail });
  }

  #journal(text, kind = "plain") {
    this.#tell("journal", { text, kind });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
