import { el, svg } from "./element.js";
import { oncePerFrame } from "./frame.js";

const HOW_MANY = 1000;
const PACES = {
  steady: { label: "250 a second", batch: 25, everyMs: 100 },
  flat: { label: "as fast as it goes", batch: 100, everyMs: 0 },
};
const BUCKET_MS = 100;
const BUCKETS = 60;

/**
 * Hammer: a thousand notifications to everyone, and what became of them on each screen. Each carries its
 * number and the time it was posted, so the page can count, check the order and measure by itself.
 */
export class Rate {
  #run = null;

  constructor({ root, people, api }) {
    this.api = api;
    this.lanes = new Map(people.map((person) => [person.id, new Lane(person)]));
    this.pace = el("select", { id: "pace" },
      ...Object.entries(PACES).map(([value, { label }]) => el("option", { value }, label)));
    this.start = el("button", { type: "button", class: "main", on: { click: () => this.#hammer() } }, "Hammer 1,000");
    this.answer = el("p", { class: "answer", role: "status" });
    this.chart = svg("svg", { class: "chart", viewBox: `0 0 ${BUCKETS} 20`, preserveAspectRatio: "none", role: "img", "aria-label": "Arrivals over the last six seconds" });
    this.buckets = new Map();
    root.replaceChildren(
      el("h2", { id: "rate-title" }, "Hammer it"),
      el("p", { class: "hint" }, "A thousand to everyone, each with its number. Kill a node while it runs: every laptop still gets all of them, in order, none twice."),
      el("div", { class: "row" }, this.start, el("label", { class: "unheard", for: "pace" }, "Pace"), this.pace),
      this.chart,
      el("div", { class: "lanes" }, ...Array.from(this.lanes.values(), (lane) => lane.element)),
      this.answer);
    this.draw = oncePerFrame(() => this.#draw());
  }

  /** Every arrival of every person passes here; those of the run are counted. */
  arrival({ person, notification }) {
    const now = Date.now();
    const bucket = Math.floor(now / BUCKET_MS);
    this.buckets.set(bucket, (this.buckets.get(bucket) ?? 0) + 1);
    this.draw();
    const mark = notification.data?.hammer;
    if (this.#run === null || mark?.run !== this.#run) return;
    this.lanes.get(person.id)?.count(mark, now);
  }

  async #hammer() {
    const run = `${Date.now()}`;
    this.#run = run;
    const pace = PACES[this.pace.value];
    for (const lane of this.lanes.values()) lane.reset();
    this.draw();
    this.start.disabled = true;
    this.#say("Posting …");
    const began = performance.now();
    try {
      for (let first = 1; first <= HOW_MANY; first += pace.batch) {
        await this.api.postBatch(batch(run, first, pace.batch));
        const due = began + ((first + pace.batch - 1) / pace.batch) * pace.everyMs;
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      }
      const seconds = (performance.now() - began) / 1000;
      this.#say(`${HOW_MANY.toLocaleString()} posted in ${seconds.toFixed(1)} s, ${Math.round(HOW_MANY / seconds)} a second.`, "good");
    } catch (error) {
      this.#say(error.code ? `${error.message} (${error.code})` : "The service does not answer.", "bad");
    } finally {
      this.start.disabled = false;
    }
  }

  #say(text, kind = "plain") {
    this.answer.textContent = text;
    this.answer.dataset.kind = kind;
  }

  #draw() {
    const last = Math.floor(Date.now() / BUCKET_MS);
    for (const bucket of this.buckets.keys()) if (bucket <= last - BUCKETS) this.buckets.delete(bucket);
    const most = Math.max(10, ...this.buckets.values());
    this.chart.replaceChildren(...Array.from(this.buckets, ([bucket, count]) => {
      const height = (count / most) * 20;
      return svg("rect", { x: BUCKETS - 1 - (last - bucket), y: 20 - height, width: 0.7, height });
    }));
    for (const lane of this.lanes.values()) lane.draw();
    if (this.buckets.size > 0) setTimeout(this.draw, BUCKET_MS); // the bars move on until they are out
  }
}

/** What arrived on one screen. */
class Lane {
  constructor({ id, name }) {
    this.name = name;
    this.progress = el("progress", { max: String(HOW_MANY), value: "0", "aria-label": `Arrived at ${name}` });
    this.number = el("span", { class: "figure" }, "0");
    this.speed = el("span", { class: "quiet" });
    this.verdict = el("p", { class: "verdict", role: "status" });
    this.element = el("div", { class: "lane", "data-lane": id },
      el("p", { class: "lane-head" }, el("strong", {}, name), this.number, this.speed), this.progress, this.verdict);
    this.reset();
  }

  reset() {
    this.seen = new Set();
    this.latencies = [];
    this.last = 0;
    this.arrived = 0;
    this.twice = 0;
    this.disordered = 0;
    this.began = 0;
    this.ended = 0;
  }

  count({ n, at }, now) {
    if (this.seen.has(n)) {
      this.twice += 1;
      return;
    }
    this.seen.add(n);
    this.arrived += 1;
    if (n !== this.last + 1) this.disordered += 1;
    this.last = n;
    this.began ||= now;
    this.ended = now;
    this.latencies.push(now - at);
  }

  draw() {
    this.progress.value = this.arrived;
    this.number.textContent = this.arrived.toLocaleString();
    if (this.arrived === 0) {
      this.speed.textContent = "";
      this.verdict.textContent = "";
      return;
    }
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    const seconds = Math.max(0.1, (this.ended - this.began) / 1000);
    this.speed.textContent = `${Math.round(this.arrived / seconds)}/s, POST to screen ${Math.round(at(0.5))} ms, p99 ${Math.round(at(0.99))} ms`;
    if (this.arrived < HOW_MANY) this.verdict.textContent = "";
    else if (this.disordered || this.twice) this.verdict.textContent = `All there; ${this.disordered} out of order, ${this.twice} twice.`;
    else this.verdict.textContent = "All 1,000, in order, none twice.";
    this.verdict.dataset.kind = this.disordered || this.twice ? "bad" : "good";
  }
}

function batch(run, first, size) {
  const at = Date.now();
  return Array.from({ length: size }, (_, index) => ({
    to: { all: true },
    title: `Number ${first + index}`,
    category: "hammer",
    priority: "low",
    ttl: 600,
    data: { hammer: { run, n: first + index, at } },
  }));
}
