import { Inbox } from "../inbox/inbox.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { Device } from "./device.js";
import { el } from "./element.js";
import { Journal } from "./journal.js";
import { Messages } from "./messages.js";
import { Rooms } from "./room.js";
import { Status } from "./status.js";
import { Toasts } from "./toasts.js";

/**
 * One person: a laptop with an app of theirs (header, bell, content), and a phone with the same inbox on another node.
 * Events: "arrival" (CustomEvent, `detail`: {person, notification}) for every notification at the laptop, and "change"
 * when the inbox did.
 */
export class Person extends EventTarget {
  #missed = new Set(); // ids of what came with a recovery

  constructor({ person, people, nodes, api, renewToken, room }) {
    super();
    this.person = person;
    const { name } = person;
    this.connection = new Connection({ person, nodes, renewToken });
    this.inbox = new Inbox(this.connection.socket);
    this.bell = el("notify-inbox", { badge: "unread" });
    Object.assign(this.bell, {
      inbox: this.inbox,
      labels: {
        title: `${name}'s notifications`,
        bell: (count) => `Notifications for ${name}: ${count ? `${count} unread` : "nothing unread"}`,
      },
      renderItem: (item) => this.#item(item),
    });
    this.phone = new Device({ person, nodes, renewToken });
    this.status = new Status();
    this.toasts = new Toasts({ person });
    this.journal = new Journal({ name });
    this.rooms = new Rooms({ person, connection: this.connection, suggestion: room });
    this.messages = new Messages({ person, people, connection: this.connection, rooms: this.rooms });
    this.controls = new Controls({ person, connection: this.connection, nodes, api, journal: this.journal, back: this.status.badge });
    this.element = this.#layout();
    this.#wire();
  }

  open() {
    this.connection.open();
    this.phone.open();
  }

  #layout() {
    const { id, name } = this.person;
    return el("div", { class: "person", "data-person": id },
      el("section", { class: "card app", id: `person-${id}`, "aria-labelledby": `${id}-name` },
        el("header", { class: "bar" },
          el("span", { class: "avatar", "aria-hidden": "true" }, name.slice(0, 1)),
          el("div", { class: "person-who" }, el("h2", { id: `${id}-name` }, `${name}'s laptop`), this.status.element),
          this.bell),
        el("div", { class: "content" },
          this.messages.element,
          el("details", { class: "fold" }, el("summary", {}, "Rooms"), this.rooms.element),
          this.controls.element,
          this.journal.element)),
      this.phone.element);
  }

  /** What stands under an entry's title: its text, and whether it had been missed. */
  #item({ id, body }) {
    if (!this.#missed.has(id)) return body;
    return el("span", {}, body, " ", el("span", { part: "missed" }, "Missed, then delivered"));
  }

  #wire() {
    this.inbox.addEventListener("change", () => this.dispatchEvent(new Event("change")));
    this.connection.addEventListener("state", ({ detail }) => {
      const { dataset } = this.element.firstElementChild;
      dataset.state = detail.state;
      dataset.node = detail.node?.id ?? "";
      dataset.recovered = String(detail.recovered);
      this.status.draw(detail, this.connection.transport);
      this.controls.draw();
    });
    this.connection.addEventListener("journal", ({ detail }) => this.journal.write(detail.text, detail.kind));
    this.connection.addEventListener("session", ({ detail }) => {
      if (!detail.recovered) this.rooms.rejoin(); // a recovered session is still in its rooms
    });
    this.connection.addEventListener("notification", ({ detail }) => this.#arrived(detail));
    this.connection.addEventListener("message", ({ detail }) => this.messages.receive(detail));
    this.connection.addEventListener("removed", ({ detail }) => this.toasts.remove(detail.ids));
  }

  #arrived({ notification, replayed }) {
    if (replayed) this.#missed.add(notification.id);
    this.toasts.show(notification);
    this.dispatchEvent(new CustomEvent("arrival", { detail: { person: this.person, notification } }));
  }
}
