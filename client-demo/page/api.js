const RETRY_WITHIN_MS = 15_000;
const RETRYABLE = new Set([409, 429, 503]); // in flight, too many, unavailable: the same key is safe to send again

/** The API said no: `status`, the stable `code` and the errors of single fields, as problem+json has them. */
export class Refused extends Error {
  constructor(problem, status, retryAfterMs) {
    super(problem.detail ?? problem.title ?? `The API answered ${status}.`);
    this.code = problem.code ?? String(status);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
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

  /** Posts one notification. */
  post(notification) {
    return this.#keyed("api/notifications", notification, 0);
  }

  /** Takes one back: out of inboxes and off screens, or before it is delivered. */
  retract(id) {
    return this.#call(`api/notifications/${encodeURIComponent(id)}`, undefined, {}, "DELETE");
  }

  /** Posts many, and does not give up when the node that took them is killed over it. */
  postBatch(notifications) {
    return this.#keyed("api/notifications/batch", { notifications }, RETRY_WITHIN_MS);
  }

  /** `how` is "kill" or "drain". */
  strike(node, how) {
    return this.#call(`nodes/${encodeURIComponent(node)}/${how}`, {});
  }

  /** A post with a key: sending it again, as a backend should, finishes what was begun and doubles nothing. */
  async #keyed(path, body, withinMs) {
    const key = newKey();
    const until = performance.now() + withinMs;
    for (;;) {
      try {
        return await this.#call(path, body, { "Idempotency-Key": key });
      } catch (error) {
        if (!RETRYABLE.has(error.status) || performance.now() + error.retryAfterMs > until) throw error;
        await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs));
      }
    }
  }

  async #call(path, body, headers = {}, method = "GET") {
    const request = body === undefined
      ? { method }
      : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
    const response = await fetch(new URL(path, this.base), { cache: "no-store", ...request });
    const text = await response.text();
    let answer = {};
    try {
      answer = text ? JSON.parse(text) : {};
    } catch {
      answer = { detail: `An answer that is not JSON (${response.status}).` };
    }
    if (!response.ok) throw new Refused(answer, response.status, 1000 * (Number(response.headers.get("Retry-After")) || 1));
    return answer;
  }
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is for https and localhost only
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
