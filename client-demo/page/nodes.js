import { el } from "./element.js";

const POLL_MS = 2000;

/** The server nodes as `notify dev` sees them, and their chips in the header. */
export class Nodes extends EventTarget {
  constructor({ list, api, root }) {
    super();
    this.list = list;
    this.api = api;
    this.root = root;
    this.#draw();
    setInterval(() => document.visibilityState === "visible" && this.refresh(), POLL_MS);
  }

  find(id) {
    return this.list.find((node) => node.id === id);
  }

  /** A node that is up and is not `id`; undefined when there is none. */
  another(id) {
    return this.list.find((node) => node.id !== id && node.alive);
  }

  async refresh() {
    try {
      this.list = await this.api.nodes();
    } catch {
      return; // the banner of the page says that the demo server is away
    }
    this.#draw();
    this.dispatchEvent(new Event("change"));
  }

  async kill(id) {
    await this.api.strike(id, "kill");
    await this.refresh();
  }

  async drain(id) {
    await this.api.strike(id, "drain");
    await this.refresh();
  }

  #draw() {
    const drawn = this.list.map((node) => `${node.id} ${node.alive}`).join();
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.root.replaceChildren(...this.list.map((node) =>
      el("li", { class: "node", "data-alive": String(node.alive) },
        el("span", { class: "dot" }), node.id,
        el("span", { class: "quiet" }, node.alive ? "up" : "restarting"))));
  }
}
