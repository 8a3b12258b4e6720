/**
 * What one person has received, newest first. The list and the bell read nothing else, so a durable inbox
 * can stand in its place: the same five methods and the same "change" event, with the server behind them.
 *
 *   add(notification, {replayed}) -> true when it is new, false when it was here before
 *   list()                        -> [{notification, seen, replayed, at}], newest first
 *   mark("seen")                  -> everything here has been seen
 *   remove(ids)                   -> these are gone (retracted, expired, dismissed)
 *   counts()                      -> {unseen, total}
 */
export class NotificationStore extends EventTarget {
  #entries = [];
  #ids = new Set();
  #unseen = 0;

  constructor({ limit = 2000 } = {}) {
    super();
    this.limit = limit;
  }

  add(notification, { replayed = false } = {}) {
    if (this.#ids.has(notification.id)) return false;
    this.#ids.add(notification.id);
    this.#entries.unshift({ notification, replayed, seen: false, at: Date.now() });
    this.#unseen += 1;
    if (this.#entries.length > this.limit) {
      const oldest = this.#entries.pop();
      this.#ids.delete(oldest.notification.id);
      if (!oldest.seen) this.#unseen -= 1;
    }
    this.#changed();
    return true;
  }

  list() {
    return this.#entries;
  }

  mark() {
    this.#entries = this.#entries.map((entry) => (entry.seen ? entry : { ...entry, seen: true }));
    this.#unseen = 0;
    this.#changed();
  }

  remove(ids) {
    const gone = new Set(ids);
    this.#entries = this.#entries.filter((entry) => !gone.has(entry.notification.id));
    for (const id of gone) this.#ids.delete(id);
    this.#unseen = this.#entries.filter((entry) => !entry.seen).length;
    this.#changed();
  }

  counts() {
    return { unseen: this.#unseen, total: this.#entries.length };
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
