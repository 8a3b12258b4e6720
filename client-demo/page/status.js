import { el } from "./element.js";

const WORDS = { connecting: "Connecting", live: "Live", away: "Away", lost: "Reconnecting", refused: "Refused" };

/** How the connection is doing, in words first and colour second. */
export class Status {
  constructor() {
    this.dot = el("span", { class: "dot", "aria-hidden": "true" });
    this.text = el("span", { class: "status-text" }, "Connecting");
    this.badge = el("p", { class: "recovered", role: "status", hidden: true });
    this.element = el("p", { class: "status", role: "status" }, this.dot, this.text);
  }

  draw({ state, node, recovered, replayed, detail }, transport) {
    this.element.dataset.state = state;
    this.text.textContent = state === "live" ? `Live on ${node.id}, ${transport}` : detail || WORDS[state];
    const shown = state === "live" && recovered;
    this.badge.hidden = !shown;
    this.badge.textContent = shown ? `Back on ${node.id}. ${caughtUp(replayed)}.` : "";
  }
}

/** What a recovery brought, for people. The server recovers all that was missed, or none. */
export function caughtUp(replayed) {
  return replayed ? `Missed ${replayed}, got all ${replayed}` : "Missed nothing";
}
