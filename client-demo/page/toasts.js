import { el, icon } from "./element.js";
import { link } from "./link.js";

const SMALL = matchMedia("(max-width: 760px)"); // as in style/person.css: one below the other
const STAYS_MS = { normal: 6000, high: 12000, urgent: Infinity };

/**
 * What pops up for one person: a line each, in a strip at the screen's edge that covers nothing. Priority decides how
 * loud: `low` makes no toast at all, `normal` and `high` are announced politely and leave by themselves, `urgent`
 * interrupts a screen reader and stays until it is dismissed. Never more than three at once, on a small screen
 * one: urgent ones wait for their turn, of the others the oldest gives way, and is only counted.
 */
export class Toasts {
  constructor({ person: { id, name } }) {
    this.name = name;
    this.polite = el("ol", { "aria-live": "polite", "aria-relevant": "additions" });
    this.urgent = el("ol", { "aria-live": "assertive", "aria-relevant": "additions" });
    this.more = el("button", { type: "button", class: "more", hidden: true, on: { click: () => this.#dismissAll() } });
    this.element = el("div", { class: "toasts", role: "region", "aria-label": `Toasts for ${name}`, "data-person": id },
      this.urgent, this.polite, this.more);
    this.waiting = [];
    this.skipped = 0;
  }

  show(notification) {
    const { priority } = notification;
    if (priority === "low") return;
    if (priority === "urgent") {
      if (this.urgent.childElementCount < atOnce().urgent) this.#open(notification, this.urgent);
      else this.waiting.push(notification);
    } else {
      this.#makeRoom();
      if (this.#shown() < atOnce().all) this.#open(notification, this.polite);
    }
    this.#drawMore();
  }

  /** The oldest that nobody looks at gives way to the newest. */
  #makeRoom() {
    if (this.#shown() < atOnce().all) return;
    this.skipped += 1;
    [...this.polite.children].find((toast) => !toast.matches(":hover, :focus-within"))?.remove();
  }

  /** Takes back what announced these. */
  remove(ids) {
    this.waiting = this.waiting.filter(({ id }) => !ids.includes(id));
    for (const toast of this.element.querySelectorAll(".toast")) if (ids.includes(toast.dataset.id)) this.#leave(toast);
    this.#drawMore();
  }

  #dismissAll() {
    this.waiting = [];
    this.skipped = 0;
    this.polite.replaceChildren();
    this.urgent.replaceChildren();
    this.#drawMore();
    this.#focus();
  }

  #shown() {
    return this.urgent.childElementCount + this.polite.childElementCount;
  }

  #open({ id, title, body, url, priority }, stack) {
    const leave = () => this.#leave(toast);
    const toast = el("li", { class: "toast", "data-id": id, "data-priority": priority ?? "normal" },
      el("span", { class: "avatar", "aria-hidden": "true" }, this.name.slice(0, 1)),
      el("p", { class: "toast-text" },
        el("strong", { class: "toast-title" }, title ?? "Notification"), body ? el("span", {}, " ", body) : null),
      link(url),
      el("button", { type: "button", class: "plain", "aria-label": `Dismiss: ${title ?? "Notification"}`, on: { click: leave } }, icon("close")));
    stack.append(toast);
    stayWhileLookedAt(toast, STAYS_MS[priority] ?? STAYS_MS.normal, leave);
  }

  #leave(toast) {
    const focused = toast.contains(document.activeElement);
    const at = this.#buttons().indexOf(toast.querySelector("button"));
    toast.remove();
    if (this.waiting.length > 0 && this.urgent.childElementCount < atOnce().urgent) {
      this.#open(this.waiting.shift(), this.urgent);
    }
    if (this.#shown() === 0) this.skipped = 0;
    this.#drawMore();
    if (focused) this.#focus(at);
  }

  #buttons() {
    return [...this.element.querySelectorAll("button:not([hidden])")];
  }

  /** To the toast that has come to stand there, else the last one, else to the people: not to the top of the page. */
  #focus(at = 0) {
    const buttons = this.#buttons();
    (buttons[at] ?? buttons.at(-1) ?? document.getElementById("people")).focus();
  }

  #drawMore() {
    const more = this.waiting.length + this.skipped;
    this.more.hidden = more === 0;
    this.more.textContent = `and ${more} more for ${this.name}. Dismiss all`;
  }
}

function atOnce() {
  return SMALL.matches ? { urgent: 1, all: 1 } : { urgent: 2, all: 3 };
}

/** Calls `leave` after `ms`, counted anew after the pointer or the keyboard focus was on it. */
function stayWhileLookedAt(toast, ms, leave) {
  if (ms === Infinity) return;
  let timer = setTimeout(leave, ms);
  const hold = () => clearTimeout(timer);
  const release = () => {
    clearTimeout(timer);
    timer = setTimeout(leave, ms);
  };
  toast.addEventListener("pointerenter", hold);
  toast.addEventListener("pointerleave", release);
  toast.addEventListener("focusin", hold);
  toast.addEventListener("focusout", release);
}
