import { el, icon } from "./element.js";
import { link } from "./link.js";

const URGENT_AT_ONCE = 2;
const SHOWN_AT_ONCE = 3;
const STAYS_MS = { normal: 6000, high: 12000, urgent: Infinity };

/**
 * What pops up. Priority decides how loud: `low` makes no toast at all, `normal` and `high` are announced
 * politely and leave by themselves, `urgent` interrupts a screen reader and stays until it is dismissed.
 * Never more than three at once: urgent ones wait for their turn, others are only counted.
 */
export class Toasts {
  constructor({ name }) {
    this.polite = el("ol", { "aria-live": "polite", "aria-relevant": "additions" });
    this.urgent = el("ol", { "aria-live": "assertive", "aria-relevant": "additions" });
    this.more = el("button", { type: "button", class: "more", hidden: true, on: { click: () => this.clear() } });
    this.element = el("div", { class: "toasts", role: "region", "aria-label": `Toasts for ${name}` },
      this.urgent, this.polite, this.more);
    this.waiting = [];
    this.skipped = 0;
  }

  show(notification) {
    const { priority } = notification;
    if (priority === "low") return;
    if (priority === "urgent") {
      if (this.urgent.childElementCount < URGENT_AT_ONCE) this.#open(notification, this.urgent);
      else this.waiting.push(notification);
    } else if (this.#shown() < SHOWN_AT_ONCE) {
      this.#open(notification, this.polite);
    } else {
      this.skipped += 1;
    }
    this.#drawMore();
  }

  clear() {
    this.waiting = [];
    this.skipped = 0;
    this.polite.replaceChildren();
    this.urgent.replaceChildren();
    this.#drawMore();
  }

  #shown() {
    return this.urgent.childElementCount + this.polite.childElementCount;
  }

  #open({ title, body, url, priority }, stack) {
    const toast = el("li", { class: "toast", "data-priority": priority ?? "normal" });
    const leave = () => this.#leave(toast);
    toast.append(
      el("div", { class: "toast-text" },
        el("p", { class: "toast-title" }, title ?? "Notification"), body ? el("p", {}, body) : null, link(url)),
      el("button", { type: "button", class: "plain", "aria-label": "Dismiss", on: { click: leave } }, icon("close")));
    stack.append(toast);
    stayWhileLookedAt(toast, STAYS_MS[priority] ?? STAYS_MS.normal, leave);
  }

  #leave(toast) {
    const focused = toast.contains(document.activeElement);
    toast.remove();
    if (this.waiting.length > 0 && this.urgent.childElementCount < URGENT_AT_ONCE) {
      this.#open(this.waiting.shift(), this.urgent);
    }
    if (this.#shown() === 0) this.skipped = 0;
    this.#drawMore();
    if (focused) this.element.querySelector("button:not([hidden])")?.focus(); // not back to the top of the page
  }

  #drawMore() {
    const more = this.waiting.length + this.skipped;
    this.more.hidden = more === 0;
    this.more.textContent = `and ${more} more. Dismiss all`;
  }
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
