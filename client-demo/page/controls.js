import { el } from "./element.js";

const AWAY_MS = 5000;
const MEANWHILE = 3;

/** The buttons that make the point: cut this connection, kill or drain the node it is connected to. */
export class Controls {
  constructor({ person, connection, nodes, api, journal, back }) {
    Object.assign(this, { person, connection, nodes, api, journal });
    this.cut = this.#button("Cut my connection", () => this.#cut());
    this.kill = this.#button("", () => this.#strike("kill"));
    this.drain = this.#button("", () => this.#strike("drain"));
    this.element = el("div", { class: "trouble" },
      back, // what came of it stands where the promise stood
      el("p", { class: "hint" }, `Make trouble: ${person.name} loses nothing.`),
      el("div", { class: "controls", role: "group", "aria-label": `Make trouble for ${person.name}` },
        this.cut, this.kill, this.drain));
    this.draw();
  }

  draw() {
    const live = this.connection.state === "live";
    const node = this.connection.node?.id ?? "node";
    this.kill.textContent = `Kill ${node}`;
    this.drain.textContent = `Drain ${node}`;
    for (const button of [this.cut, this.kill, this.drain]) button.disabled = !live;
  }

  #button(label, act) {
    return el("button", { type: "button", class: "small", on: { click: act } }, label);
  }

  /** Away for five seconds while three notifications are posted: they are what is to arrive afterwards. */
  async #cut() {
    this.connection.cut(AWAY_MS);
    for (let number = 1; number <= MEANWHILE; number += 1) {
      await new Promise((resolve) => setTimeout(resolve, AWAY_MS / (MEANWHILE + 2)));
      try {
        await this.api.post({
          to: { user: this.person.id },
          title: `Missed call ${number} of ${MEANWHILE}`,
          body: `Posted while ${this.person.name} was away.`,
          category: "recovery",
        });
        this.journal.write(`Posted while away: ${number} of ${MEANWHILE}`);
      } catch (error) {
        this.journal.write(`Could not post: ${error.message}`, "bad");
      }
    }
  }

  async #strike(how) {
    const { id } = this.connection.node;
    this.journal.write(`${how === "kill" ? "Killing" : "Draining"} ${id}`);
    try {
      await this.nodes[how](id);
    } catch (error) {
      this.journal.write(`Could not ${how} ${id}: ${error.message}`, "bad");
    }
  }
}
