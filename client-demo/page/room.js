import { el, icon } from "./element.js";

/** Rooms: join one by name, leave one by its button. The server decides; its answer is shown. */
export class Rooms extends EventTarget {
  constructor({ person, connection, suggestion }) {
    super();
    this.connection = connection;
    this.joined = new Set();
    this.field = el("input", {
      id: `${person.id}-room`, type: "text", value: suggestion, autocomplete: "off", spellcheck: "false",
      maxlength: "256", required: true,
    });
    this.chips = el("ul", { class: "chips", "aria-label": `Rooms ${person.name} is in` });
    this.answer = el("p", { class: "answer", role: "status" });
    this.element = el("form", { class: "rooms", on: { submit: (event) => this.#join(event) } },
      el("label", { for: this.field.id }, "Room"),
      el("div", { class: "row" }, this.field, el("button", { type: "submit", class: "small" }, "Join")),
      this.chips, this.answer);
  }

  /** After a new session the server knows of no room: join again what the person was in. */
  async rejoin() {
    for (const room of this.joined) {
      try {
        await this.connection.ask("room:join", { room });
      } catch (error) {
        this.joined.delete(room);
        this.answer.textContent = error.message;
      }
    }
    this.#draw();
  }

  async #join(event) {
    event.preventDefault();
    const room = this.field.value.trim();
    await this.#change("room:join", room, () => this.joined.add(room));
  }

  async #leave(room) {
    await this.#change("room:leave", room, () => this.joined.delete(room));
    this.field.focus();
  }

  async #change(event, room, done) {
    try {
      await this.connection.ask(event, { room });
      done();
      this.answer.textContent = "";
    } catch (error) {
      this.answer.textContent = error.message;
    }
    this.#draw();
  }

  #draw() {
    this.chips.replaceChildren(...Array.from(this.joined, (room) =>
      el("li", { class: "chip" }, room,
        el("button", {
          type: "button", class: "plain", "aria-label": `Leave ${room}`, on: { click: () => this.#leave(room) },
        }, icon("close")))));
    this.dispatchEvent(new Event("change"));
  }
}
