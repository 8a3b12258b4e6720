import { Inbox } from "../inbox/inbox.js";
import "../inbox/element.js";
import { Connection } from "./connection.js";
import { el } from "./element.js";
import { Status } from "./status.js";

/** The same person once more, on another node where there is one: what is read here is read there, and the other way. */
export class Device {
  constructor({ person, nodes, renewToken }) {
    const node = nodes.another(person.node)?.id ?? person.node;
    this.connection = new Connection({ person: { ...person, node }, nodes, renewToken });
    this.status = new Status();
    this.list = el("notify-inbox", { mode: "inline" });
    this.list.labels = { title: `${person.name}'s phone`, states: { all: [
      "Nothing yet", `Post something to ${person.name}: it shows up here, and behind the bell.`] } };
    this.list.inbox = new Inbox(this.connection.socket);
    this.element = el("div", { class: "card phone", id: `phone-${person.id}` },
      this.list, this.status.element);
    this.connection.addEventListener("state", ({ detail }) => this.status.draw(detail, this.connection.transport));
  }

  open() {
    this.connection.open();
  }
}
