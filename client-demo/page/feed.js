import { el } from "./element.js";
import { link } from "./link.js";

const PAGE = 30;

/** The list of what came, newest first. */
export class Feed {
  constructor({ name, store }) {
    this.store = store;
    this.shown = PAGE;
    this.items = el("ol", { class: "feed-items" });
    this.empty = el("div", { class: "empty" },
      el("p", {}, "Nothing yet."),
      el("p", { class: "quiet" }, `Post something to ${name} and it shows up here, on every open page.`));
    this.older = el("button", { type: "button", class: "small", on: { click: () => this.#showOlder() } }, "Show older");
    this.element = el("section", { class: "feed", "aria-label": `Notifications of ${name}`, tabindex: "0" },
      this.empty, this.items, this.older);
    this.drawn = new Map(); // notification id -> {entry, element}: what did not change is not made again
    this.draw();
  }

  draw() {
    const entries = this.store.list();
    const visible = entries.slice(0, this.shown);
    const kept = new Map();
    for (const entry of visible) {
      const { id } = entry.notification;
      const before = this.drawn.get(id);
      kept.set(id, before?.entry === entry ? before : { entry, element: item(entry) });
    }
    this.drawn = kept;
    this.items.replaceChildren(...Array.from(kept.values(), ({ element }) => element));
    this.empty.hidden = entries.length > 0;
    this.older.hidden = entries.length <= this.shown;
  }

  #showOlder() {
    this.shown += PAGE;
    this.draw();
  }
}

function item({ notification, seen, replayed, at }) {
  const { title, body, url, category, priority } = notification;
  const time = new Date(notification.created_at ?? at);
  return el("li", { class: "item", "data-priority": priority ?? "normal", "data-seen": String(seen) },
    el("span", { class: "mark", "aria-hidden": "true" }),
    el("div", { class: "item-text" },
      el("p", { class: "item-title" },
        seen ? null : el("span", { class: "unheard" }, "New: "), title ?? "Notification"),
      body ? el("p", { class: "item-body" }, body) : null,
      el("p", { class: "item-foot" },
        clock(time),
        priority && priority !== "normal" ? el("span", { class: "tag", "data-priority": priority }, priority) : null,
        category ? el("span", { class: "tag" }, category) : null,
        replayed ? el("span", { class: "tag good" }, "missed, recovered") : null,
        link(url))));
}

function clock(time) {
  if (Number.isNaN(time.getTime())) return el("span", {}, "just now");
  return el("time", { datetime: time.toISOString(), title: time.toLocaleString() },
    time.toLocaleTimeString([], { timeStyle: "medium", hourCycle: "h23" }));
}
