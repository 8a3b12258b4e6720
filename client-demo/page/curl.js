import { el, icon } from "./element.js";

/** The command that does the same as the form: to be copied into a terminal. */
export class Curl {
  constructor({ url, key }) {
    this.url = `${url.replace(/\/$/, "")}/v1/notifications`;
    this.key = key;
    this.code = el("code");
    this.copied = el("span", { class: "unheard", role: "status" });
    this.label = el("span", {}, "Copy");
    this.button = el("button", { type: "button", class: "small", on: { click: () => this.#copy() } }, icon("copy"), this.label);
    this.element = el("details", { class: "fold curl" },
      el("summary", {}, "The same from a terminal"),
      el("pre", {}, this.code), this.button, this.copied);
  }

  draw(notification) {
    this.code.textContent = [
      `curl ${this.url}`,
      `-H ${quoted(`Authorization: Bearer ${this.key}`)}`,
      "-H 'Content-Type: application/json'",
      `-d ${quoted(lines(notification))}`,
    ].join(" \\\n  ");
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.code.textContent);
      this.label.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(this.code); // no permission, or not a secure page: ready for Ctrl-C
      this.label.textContent = "Selected";
    }
    this.copied.textContent = this.label.textContent;
    setTimeout(() => {
      this.label.textContent = "Copy";
      this.copied.textContent = "";
    }, 2000);
  }
}

/** JSON with a line for each field. */
function lines(object) {
  const fields = Object.entries(object).map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  return `{\n${fields.join(",\n")}\n  }`;
}

/** Text as one word of a POSIX shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
