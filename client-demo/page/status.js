import { el } from "./element.js";

const WORDS = { connecting: "Connecting", live: "Live", away: "Away", lost: "Reconnecting", refused: "Refused" };

/** How the connection is doing, in words first and colour second. */
export class Status {
  constructor() {
    this.dot = el("span", { class: "dot", "aria-hidden": "true" });
    this.text = el("span", { class: "status-text" }, "Connecting");
    this.badge = el("span", { class: "tag good recovered", role: "status", hidden: true });
    this.element = el("p", { class: "status", role: "status" }, this.dot, this.text);
  }

  draw({ state, node, recovered, replayed, detail }, transport) {
    this.element.dataset.state = state;
    this.text.textContent = state === "live" ? `Live on ${node.id}, ${transport}` : detail || WORDS[state];
    const shown = state === "live" && recovered;
    this.badge.hidden = !shown;
    this.badge.textContent = shown ? `recovered: true${replayed ? `, ${replayed} missed` : ""}` : "";
  }
}
