import { el } from "./element.js";

const KEPT = 12;

/** What happened to the connection, newest first. */
export class Journal {
  constructor({ name }) {
    this.lines = el("ol", { class: "journal-lines", "aria-label": `What happened to ${name}'s connection` });
    this.element = el("details", { class: "fold journal" },
      el("summary", {}, "Connection log"), this.lines);
  }

  write(text, kind = "plain") {
    const now = new Date().toLocaleTimeString([], { timeStyle: "medium", hourCycle: "h23" });
    this.lines.prepend(el("li", { "data-kind": kind }, el("time", {}, now), el("span", {}, text)));
    while (this.lines.childElementCount > KEPT) this.lines.lastElementChild.remove();
  }
}
