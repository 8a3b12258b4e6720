import { el, icon } from "./element.js";
import { link } from "./link.js";

const SHOWN_AT_ONCE = 2;
const STAYS_MS = { normal: 6000, high: 12000, urgent: Infinity };

/**
 * What pops up. Priority decides how loud: `low` makes no toast at all, `normal` and `high` are announced
 * politely and leave by themselves, `urgent` interrupts a screen reader and stays until it is dismissed.
 * More than two at once are counted, not stacked.
 */
export class Toasts {
  constructor({ name }) {
    this.polite = el("ol", { "aria-live": "polite", "aria-relevant": "additions" });
    this.urgent = el("ol", { "aria-live": "assertive", "aria-relevant": "additions" });
    this.more = el("button", { type: "button", class: "more", hidden: true, on: { click: () => this.clear() } });
    this.element = el("div", { class: "toasts", role: "region", "aria-label": `Toasts for ${name}` },
      this.urgent, this.polite, this.more);
    this.waiting = 0;
  }

  show({ title, body, url, priority }) {
    if (priority === "low") return;
    if (priority !== "urgent" && this.polite.childElementCount >= SHOWN_AT_ONCE) {
      this.waiting += 1;
      this.#drawMore();
      return;
    }
    const toast = el("li", { class: "toast", "data-priority": priority ?? "normal" });
    const leave = () => {
      toast.remove();
      this.waiting = this.polite.childElementCount === 0 ? 0 : this.waiting;
      this.#drawMore();
    };
    toast.append(
      el("div", { class: "toast-text" },
        el("p", { class: "toast-title" }, title ?? "Notification"), body ? el("p", {}, body) : null, link(url)),
      el("button", { type: "button", class: "plain", "aria-label": "Dismiss", on: { click: leave } }, icon("close")));
    (priority === "urgent" ? this.urgent : this.polite).append(toast);
    stayWhileLookedAt(toast, STAYS_MS[priority] ?? STAYS_MS.normal, leave);
  }

  clear() {
    this.waiting = 0;
    this.polite.replaceChildren();
    this.#drawMore();
  }

  #drawMore() {
    this.more.hidden = this.waiting === 0;
    this.more.textContent = `and ${this.waiting} more in the list. Clear`;
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
