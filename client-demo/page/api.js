/** The API said no: `status`, the stable `code` and the errors of single fields, as problem+json has them. */
export class Refused extends Error {
  constructor(problem, status) {
    super(problem.detail ?? problem.title ?? `The API answered ${status}.`);
    this.code = problem.code ?? String(status);
    this.status = status;
    this.errors = Array.isArray(problem.errors) ? problem.errors : [];
  }
}

/** What the page asks of the demo server, which passes posts on to the API with a key of its own. */
export class Api {
  constructor(base = new URL("./", document.baseURI)) {
    this.base = base;
  }

  config() {
    return this.#call("config.json");
  }

  async nodes() {
    const answer = await this.#call("nodes");
    return Array.isArray(answer) ? answer : answer.nodes;
  }

  /** Posts one notification. The key makes a retry of the same post harmless. */
  post(notification, key = newKey()) {
    return this.#call("api/notifications", notification, { "Idempotency-Key": key });
  }

  postBatch(notifications) {
    return this.#call("api/notifications/batch", { notifications });
  }

  /** `how` is "kill" or "drain". */
  strike(node, how) {
    return this.#call(`nodes/${encodeURIComponent(node)}/${how}`, {});
  }

  async #call(path, body, headers = {}) {
    const request = body === undefined
      ? {}
      : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
    const response = await fetch(new URL(path, this.base), { cache: "no-store", ...request });
    const text = await response.text();
    let answer = {};
    try {
      answer = text ? JSON.parse(text) : {};
    } catch {
      answer = { detail: `An answer that is not JSON (${response.status}).` };
    }
    if (!response.ok) throw new Refused(answer, response.status);
    return answer;
  }
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is for https and localhost only
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
