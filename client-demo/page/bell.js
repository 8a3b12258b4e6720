import { el, icon } from "./element.js";

/** The bell with the count of what is new. Pressing it marks everything as seen. */
export class Bell {
  constructor({ name, store }) {
    this.name = name;
    this.store = store;
    this.count = el("span", { class: "count", "aria-hidden": "true" });
    this.element = el("button", { type: "button", class: "bell", on: { click: () => store.mark("seen") } },
      icon("bell"), this.count);
    this.draw();
  }

  draw() {
    const { unseen } = this.store.counts();
    this.count.textContent = unseen > 999 ? "999+" : String(unseen);
    this.count.hidden = unseen === 0;
    const news = unseen === 0 ? "nothing new" : `${unseen} new. Mark all as seen`;
    this.element.setAttribute("aria-label", `Notifications for ${this.name}: ${news}`);
  }
}
