import { Curl } from "./curl.js";
import { el, icon } from "./element.js";

const PRESETS = [
  { name: "Build", title: "Build failed", body: "main, run 812: two tests are red", category: "ci", priority: "high", url: "https://ci.example.com/runs/812" },
  { name: "Comment", title: "Grace commented", body: "“Shall we ship it today?”", category: "comment", priority: "normal", url: "" },
  { name: "Digest", title: "Your week in numbers", body: "14 reviews, 3 releases", category: "digest", priority: "low", url: "" },
  { name: "Alert", title: "New sign-in from Lisbon", body: "If this was not you, lock the account.", category: "security", priority: "urgent", url: "https://example.com/security" },
];

const LOUDNESS = {
  low: "Goes to the list and the bell, no toast.",
  normal: "A toast for six seconds.",
  high: "A toast for twelve seconds.",
  urgent: "Interrupts, and stays until it is dismissed.",
};

/** The form that posts a notification through the API, with the curl command that does the same. */
export class Composer {
  constructor({ root, people, api, curl, room }) {
    this.api = api;
    this.curl = new Curl(curl);
    this.targets = new Map([
      ["everyone", { label: "Everyone", to: () => ({ all: true }) }],
      ...people.map((person) => [person.id, { label: person.name, to: () => ({ user: person.id }) }]),
      ["room", { label: "A room", to: () => ({ room: this.room.value.trim() }) }],
    ]);
    this.#fields(room);
    this.form = this.#layout();
    root.replaceChildren(el("h2", { id: "composer-title" }, "Post a notification"), this.form, this.curl.element);
    this.#preset(PRESETS[0]);
  }

  #fields(room) {
    this.to = el("select", { id: "to", name: "to" },
      ...Array.from(this.targets, ([value, { label }]) => el("option", { value }, label)));
    this.room = el("input", { id: "to-room", type: "text", value: room, autocomplete: "off", spellcheck: "false" });
    this.title = el("input", { id: "title", type: "text", autocomplete: "off" });
    this.body = el("textarea", { id: "body", rows: "2" });
    this.url = el("input", { id: "url", type: "text", inputmode: "url", placeholder: "https://", autocomplete: "off", spellcheck: "false" });
    this.category = el("input", { id: "category", type: "text", autocomplete: "off" });
    this.priorities = Object.keys(LOUDNESS).map((value) => el("input", { type: "radio", name: "priority", value, id: `priority-${value}` }));
    this.loudness = el("p", { class: "hint", id: "loudness" });
    this.submit = el("button", { type: "submit", class: "main" }, icon("send"), "Post");
    this.answer = el("p", { class: "answer", role: "status" });
  }

  #layout() {
    this.roomField = field("Room", this.room);
    return el("form", { novalidate: true, on: { submit: (event) => this.#post(event), input: () => this.#draw() } },
      el("div", { class: "presets", role: "group", "aria-label": "Fill in an example" },
        ...PRESETS.map((preset) =>
          el("button", { type: "button", class: "small", on: { click: () => this.#preset(preset) } }, preset.name))),
      el("div", { class: "pair" }, field("To", this.to), this.roomField),
      field("Title", this.title),
      field("Body", this.body),
      el("fieldset", { class: "segments", "aria-describedby": "loudness" },
        el("legend", {}, "Priority"),
        el("div", {}, ...this.priorities.map((radio) =>
          el("span", { class: "segment" }, radio, el("label", { for: radio.id }, radio.value)))),
        this.loudness),
      el("div", { class: "pair" }, field("Link", this.url), field("Category", this.category)),
      el("div", { class: "row" }, this.submit, this.answer));
  }

  #preset({ title, body, category, priority, url }) {
    this.title.value = title;
    this.body.value = body;
    this.category.value = category;
    this.url.value = url;
    for (const radio of this.priorities) radio.checked = radio.value === priority;
    this.#draw();
  }

  #notification() {
    const all = {
      to: this.targets.get(this.to.value).to(),
      title: this.title.value, body: this.body.value, url: this.url.value.trim(), category: this.category.value.trim(),
      priority: this.priority === "normal" ? "" : this.priority,
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
  }

  get priority() {
    return this.priorities.find((radio) => radio.checked)?.value ?? "normal";
  }

  #draw() {
    this.roomField.hidden = this.to.value !== "room";
    this.loudness.textContent = LOUDNESS[this.priority];
    this.curl.draw(this.#notification());
  }

  async #post(event) {
    event.preventDefault();
    this.#complain([]);
    this.submit.disabled = true;
    this.#say("Posting …", "plain");
    const began = performance.now();
    try {
      const accepted = await this.api.post(this.#notification());
      this.#say(`Accepted in ${Math.round(performance.now() - began)} ms: ${accepted.id}`, "good");
    } catch (error) {
      this.#complain(error.errors ?? []);
      this.#say(error.code ? `${error.message} (${error.code})` : "The service does not answer. Nothing was posted.", "bad");
    } finally {
      this.submit.disabled = false;
    }
  }

  #say(text, kind) {
    this.answer.textContent = text;
    this.answer.dataset.kind = kind;
  }

  /** Puts each error of the API under its field; the first of them gets the focus. */
  #complain(errors) {
    const inputs = { to: this.to, title: this.title, body: this.body, url: this.url, category: this.category };
    let first = null;
    for (const [name, input] of Object.entries(inputs)) {
      const error = errors.find(({ pointer }) => pointer?.split("/")[1] === name);
      const note = input.parentElement.querySelector(".error");
      note.textContent = error?.detail ?? "";
      note.hidden = !error;
      input.setAttribute("aria-invalid", String(Boolean(error)));
      first ??= error ? input : null;
    }
    first?.focus();
  }
}

function field(label, input) {
  const error = el("span", { class: "error", id: `${input.id}-error`, hidden: true });
  input.setAttribute("aria-describedby", error.id);
  return el("div", { class: "field" }, el("label", { for: input.id }, label), input, error);
}
