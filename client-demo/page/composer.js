import { Curl } from "./curl.js";
import { el, icon } from "./element.js";

const PRESETS = [
  { name: "Build", title: "Build failed", body: "main, run 812: two tests are red", category: "ci", priority: "high", url: "https://ci.example.com/runs/812" },
  { name: "Comment", title: "Grace commented", body: "“Shall we ship it today?”", category: "comment", priority: "normal", url: "" },
  { name: "Digest", title: "Your week in numbers", body: "14 reviews, 3 releases", category: "digest", priority: "low", url: "" },
  { name: "Alert", title: "New sign-in from Lisbon", body: "If this was not you, lock the account.", category: "security", priority: "urgent", url: "https://example.com/security" },
];

const KEPT = [["", "30 days, the default"], ["86400", "a day"], ["60", "a minute"], ["0", "no time at all"]];

const LATER = [["", "now"], ["10", "in ten seconds"], ["60", "in a minute"], ["3600", "in an hour"]];

const LOUDNESS = {
  low: "Goes to the list and the bell, no toast.",
  normal: "A toast for six seconds.",
  high: "A toast for twelve seconds.",
  urgent: "Interrupts, and stays until it is dismissed.",
};

/** The form that posts a notification through the API, with the curl command that does the same. */
export class Composer extends EventTarget {
  constructor({ root, people, api, curl, room }) {
    super();
    this.api = api;
    this.curl = new Curl(curl);
    this.#fields(people, room);
    this.form = this.#layout();
    root.replaceChildren(
      el("summary", {}, el("h2", {}, "Post a notification")),
      el("div", { class: "sheet" }, this.form, this.curl.element));
    this.#preset(PRESETS[0]);
  }

  #fields(people, room) {
    const target = (id, label, checked) => ({
      label, id, box: el("input", { type: "checkbox", id: `to-${id}`, checked, "aria-describedby": "to-hint to-error" }),
    });
    this.people = people.map(({ id, name }) => target(`user-${id}`, name, true));
    this.toRoom = target("a-room", "A room");
    this.toAll = target("all", "Everyone");
    this.targets = [...this.people, this.toRoom, this.toAll];
    this.hint = el("p", { class: "hint", id: "to-hint" });
    this.room = el("input", { id: "to-room", type: "text", value: room, autocomplete: "off", spellcheck: "false" });
    this.title = el("input", { id: "title", type: "text", autocomplete: "off" });
    this.body = el("textarea", { id: "body", rows: "2" });
    this.url = el("input", { id: "url", type: "text", inputmode: "url", placeholder: "https://", autocomplete: "off", spellcheck: "false" });
    this.category = el("input", { id: "category", type: "text", autocomplete: "off" });
    this.ttl = el("select", { id: "ttl" }, ...KEPT.map(([seconds, label]) => el("option", { value: seconds }, label)));
    this.later = el("select", { id: "later" }, ...LATER.map(([seconds, label]) => el("option", { value: seconds }, label)));
    this.collapse = el("input", { id: "collapse", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "build:main" });
    this.priorities = Object.keys(LOUDNESS).map((value) => el("input", { type: "radio", name: "priority", value, id: `priority-${value}` }));
    this.loudness = el("p", { class: "hint", id: "loudness" });
    this.submit = el("button", { type: "submit", class: "main" }, icon("send"), "Post");
    this.undo = el("button", { type: "button", disabled: true, on: { click: () => this.#retract() } }, "Retract the last one");
    this.answer = el("p", { class: "answer", role: "status" });
  }

  #layout() {
    this.roomField = field("Room", this.room);
    return el("form", { novalidate: true, on: { submit: (event) => this.#post(event), input: () => this.#draw() } },
      el("div", { class: "presets", role: "group", "aria-label": "Fill in an example" },
        ...PRESETS.map((preset) =>
          el("button", { type: "button", class: "small", on: { click: () => this.#preset(preset) } }, preset.name))),
      el("fieldset", { class: "targets" },
        el("legend", {}, "To"),
        el("div", { class: "chips" }, ...this.targets.map(({ box, label }) => el("label", { class: "choice" }, box, label))),
        this.hint, error("to")),
      this.roomField,
      field("Title", this.title),
      field("Body", this.body),
      el("fieldset", { class: "segments", "aria-describedby": "loudness" },
        el("legend", {}, "Priority"),
        el("div", {}, ...this.priorities.map((radio) =>
          el("span", { class: "segment" }, radio, el("label", { for: radio.id }, radio.value)))),
        this.loudness),
      el("div", { class: "pair" }, field("Link", this.url), field("Category", this.category)),
      el("details", { class: "fold" },
        el("summary", {}, "When, for how long, instead of what"),
        el("div", { class: "pair" }, field("Deliver", this.later), field("Kept for", this.ttl)),
        field("Collapse key", this.collapse),
        el("p", { class: "hint" }, "A newer one with the same collapse key takes the place of the older one.")),
      el("div", { class: "row" }, this.submit, this.undo, this.answer));
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
      to: this.#to(), title: this.title.value, body: this.body.value, url: this.url.value.trim(), category: this.category.value.trim(),
      priority: this.priority === "normal" ? "" : this.priority,
      ttl: this.ttl.value && Number(this.ttl.value), collapse_key: this.collapse.value.trim(),
      deliver_at: this.later.value && new Date(Date.now() + 1000 * Number(this.later.value)).toISOString(),
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
  }

  #to() {
    const users = this.people.filter(({ box }) => box.checked).map(({ id }) => id.slice("user-".length));
    return {
      ...(users.length ? { users } : {}),
      ...(this.toRoom.box.checked ? { room: this.room.value.trim() } : {}),
      ...(this.toAll.box.checked ? { all: true } : {}),
    };
  }

  get priority() {
    return this.priorities.find((radio) => radio.checked)?.value ?? "normal";
  }

  #draw() {
    const live = this.toRoom.box.checked || this.toAll.box.checked;
    this.roomField.hidden = !this.toRoom.box.checked;
    this.hint.textContent = this.ttl.value === "0" ? "Live only: whoever is not connected now never sees it."
      : live ? "A room and everyone are told live; inboxes are of the people named." : "";
    this.hint.hidden = !this.hint.textContent;
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
      const notification = this.#notification();
      const accepted = await this.api.post(notification);
      this.dispatchEvent(new CustomEvent("posted", { detail: notification }));
      this.last = accepted.id;
      this.#say(accepted.status === "scheduled"
        ? `Scheduled for ${clock(notification.deliver_at)}: ${accepted.id}`
        : `Accepted in ${Math.round(performance.now() - began)} ms: ${accepted.id}`, "good");
    } catch (error) {
      this.#complain(error.errors ?? []);
      this.#refused(error, "Nothing was posted.");
    } finally {
      this.submit.disabled = false;
      this.undo.disabled = !this.last;
    }
  }

  async #retract() {
    const id = this.last;
    try {
      await this.api.retract(id);
      if (this.last === id) this.last = null;
      this.#say("Retracted: gone from inboxes and screens.", "good");
    } catch (error) {
      this.#refused(error, "Nothing was retracted.");
    }
    this.undo.disabled = !this.last;
  }

  #refused(error, otherwise) {
    this.#say(error.code ? `${error.message} (${error.code})` : `The service does not answer. ${otherwise}`, "bad");
  }

  #say(text, kind) {
    this.answer.textContent = text;
    this.answer.dataset.kind = kind;
  }

  /** Puts each error of the API under its field; the first of them gets the focus. */
  #complain(errors) {
    const inputs = {
      to: this.people[0].box, title: this.title, body: this.body, url: this.url, category: this.category,
      ttl: this.ttl, collapse_key: this.collapse, deliver_at: this.later,
    };
    let first = null;
    for (const [name, input] of Object.entries(inputs)) {
      const error = errors.find(({ pointer }) => pointer?.split("/")[1] === name);
      const note = input.closest("fieldset, .field").querySelector(".error");
      note.textContent = error?.detail ?? "";
      note.hidden = !error;
      input.setAttribute("aria-invalid", String(Boolean(error)));
      first ??= error ? input : null;
    }
    first?.closest("details.fold")?.setAttribute("open", "");
    first?.focus();
  }
}

function clock(time) {
  return new Date(time).toLocaleTimeString([], { timeStyle: "medium", hourCycle: "h23" });
}

function field(label, input) {
  input.setAttribute("aria-describedby", `${input.id}-error`);
  return el("div", { class: "field" }, el("label", { for: input.id }, label), input, error(input.id));
}

/** Where the API's complaint about a field goes. */
function error(id) {
  return el("span", { class: "error", id: `${id}-error`, hidden: true });
}
