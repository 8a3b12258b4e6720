import { Bell } from "./bell.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { el } from "./element.js";
import { Feed } from "./feed.js";
import { oncePerFrame } from "./frame.js";
import { Journal } from "./journal.js";
import { Messages } from "./messages.js";
import { Rooms } from "./room.js";
import { Status } from "./status.js";
import { Toasts } from "./toasts.js";

/**
 * One person at their screen: a connection, a store of what came, and the parts that show it.
 * Events: "arrival" (CustomEvent, `detail`: {person, notification, fresh}) for every notification, and
 * "change" when the store did.
 */
export class Person extends EventTarget {
  constructor({ person, people, nodes, api, store, renewToken, room }) {
    super();
    this.person = person;
    this.store = store;
    const { name } = person;
    this.connection = new Connection({ person, nodes, renewToken });
    this.status = new Status();
    this.bell = new Bell({ name, store });
    this.toasts = new Toasts({ name });
    this.feed = new Feed({ name, store });
    this.journal = new Journal({ name });
    this.rooms = new Rooms({ person, connection: this.connection, suggestion: room });
    this.messages = new Messages({ person, people, connection: this.connection, rooms: this.rooms });
    this.controls = new Controls({ person, connection: this.connection, nodes, api, journal: this.journal });
    this.element = this.#layout();
    this.#wire();
  }

  #layout() {
    const { id, name } = this.person;
    return el("article", { class: "card person", id: `person-${id}`, "data-person": id, "aria-labelledby": `${id}-name` },
      el("header", { class: "person-head" },
        el("span", { class: "avatar", "aria-hidden": "true" }, name.slice(0, 1)),
        el("div", { class: "person-who" }, el("div", { class: "name-line" }, el("h2", { id: `${id}-name` }, name), this.status.badge),
          this.status.element),
        this.bell.element),
      el("div", { class: "stage" }, this.toasts.element, this.feed.element),
      this.controls.element,
      this.journal.element,
      el("details", { class: "fold", open: true },
        el("summary", {}, "Rooms and messages"), this.rooms.element, this.messages.element));
  }

  #wire() {
    const draw = oncePerFrame(() => {
      this.bell.draw();
      this.feed.draw();
      this.dispatchEvent(new Event("change"));
    });
    this.store.addEventListener("change", draw);
    this.connection.addEventListener("state", ({ detail }) => {
      this.element.dataset.state = detail.state;
      this.element.dataset.node = detail.node?.id ?? "";
      this.element.dataset.recovered = String(detail.recovered);
      this.status.draw(detail, this.connection.transport);
      this.controls.draw();
    });
    this.connection.addEventListener("journal", ({ detail }) => this.journal.write(detail.text, detail.kind));
    this.connection.addEventListener("session", ({ detail }) => {
      if (!detail.recovered) this.rooms.rejoin(); // a recovered session is still in its rooms
    });
    this.connection.addEventListener("notification", ({ detail }) => this.#arrived(detail));
    this.connection.addEventListener("message", ({ detail }) => this.messages.receive(detail));
    this.connection.addEventListener("removed", ({ detail }) => this.store.remove(detail.ids));
  }

  #arrived({ notification, replayed }) {
    const fresh = this.store.add(notification, { replayed });
    if (fresh) this.toasts.show(notification);
    this.dispatchEvent(new CustomEvent("arrival", { detail: { person: this.person, notification, fresh } }));
  }
}
