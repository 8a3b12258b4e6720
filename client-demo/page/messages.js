import { el, icon } from "./element.js";

const KEPT = 50;

/** Client to client: to a person or to a room one is in, over whatever nodes are in between. */
export class Messages {
  constructor({ person, people, connection, rooms }) {
    this.person = person;
    this.people = people;
    this.connection = connection;
    this.rooms = rooms;
    this.to = el("select", { id: `${person.id}-to` });
    this.field = el("input", {
      id: `${person.id}-text`, type: "text", placeholder: "Say something", autocomplete: "off", maxlength: "500",
      required: true,
    });
    this.lines = el("div", { class: "messages", role: "log", "aria-label": `Messages of ${person.name}`, tabindex: "0" });
    this.answer = el("p", { class: "answer", role: "status" });
    this.empty = el("p", { class: "quiet empty-line" }, `No messages yet. ${person.name} talks to others from here.`);
    this.element = el("form", { class: "talk", on: { submit: (event) => this.#send(event) } },
      el("div", { class: "lines" }, this.lines, this.empty),
      el("div", { class: "row" },
        el("label", { class: "unheard", for: this.to.id }, `Message from ${person.name} to`), this.to,
        el("label", { class: "unheard", for: this.field.id }, "Message"), this.field,
        el("button", { type: "submit", class: "small", "aria-label": "Send message" }, icon("send"))),
      this.answer);
    rooms.addEventListener("change", () => this.#drawTargets());
    this.#drawTargets();
  }

  receive({ from, to, data }) {
    const text = typeof data === "string" ? data : data?.text ?? JSON.stringify(data);
    this.#line(this.#nameOf(from), to?.room ?? null, text, from === this.person.id);
  }

  async #send(event) {
    event.preventDefault();
    const [kind, id] = JSON.parse(this.to.value);
    const text = this.field.value;
    try {
      await this.connection.ask("send", { to: { [kind]: id }, data: { text } });
    } catch (error) {
      this.answer.textContent = error.message;
      return;
    }
    this.answer.textContent = "";
    this.field.value = "";
    // What goes to a room comes back to its sender, who is in it; what goes to a person does not.
    if (kind === "user" && id !== this.person.id) this.#line("You", null, text, true);
  }

  #line(name, room, text, mine) {
    this.empty.hidden = true;
    const line = el("p", { class: "message", "data-mine": String(mine) },
      el("span", { class: "who" }, mine ? "You" : name, room ? ` in ${room}` : ""), el("span", { class: "said" }, String(text)));
    this.lines.append(line);
    while (this.lines.childElementCount > KEPT) this.lines.firstElementChild.remove();
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  #nameOf(id) {
    return this.people.find((person) => person.id === id)?.name ?? String(id);
  }

  #drawTargets() {
    const before = this.to.value;
    const targets = [
      ...this.people.filter((other) => other.id !== this.person.id).map((other) => ["user", other.id, `to ${other.name}`]),
      ...Array.from(this.rooms.joined, (room) => ["room", room, `to ${room}`]),
    ];
    this.to.replaceChildren(...targets.map(([kind, id, label]) => el("option", { value: JSON.stringify([kind, id]) }, label)));
    if (targets.some(([kind, id]) => JSON.stringify([kind, id]) === before)) this.to.value = before;
  }
}
