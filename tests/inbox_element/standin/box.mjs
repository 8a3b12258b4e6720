// One user's inbox as the contract has it: entries by place, counts with their rev, times that are null until
// they happen. Plain data and arithmetic; what changed is handed to `tell` in the order in which it happened.

const OF = {
  all: (entry) => !away(entry),
  unseen: (entry) => !away(entry) && !entry.seen_at,
  unread: (entry) => !away(entry) && !entry.read_at,
  read: (entry) => !away(entry) && entry.read_at,
  archived: (entry) => entry.archived_at,
  snoozed: (entry) => entry.snoozed_until,
};
const PAGE_BYTES = 256 * 1024;

function away(entry) {
  return entry.archived_at || entry.snoozed_until;
}

export class Box {
  constructor({ max, tell }) {
    this.max = max;
    this.tell = tell;
    this.rev = Date.now();
    this.entries = new Map();
    this.keys = new Map(); // collapse key -> id
  }

  counts(of = OF.all) {
    const listed = [...this.entries.values()].filter((entry) => OF.all(entry) && of(entry));
    return {
      unseen: listed.filter((entry) => !entry.seen_at).length,
      unread: listed.filter((entry) => !entry.read_at).length,
      total: listed.length,
    };
  }

  publish(notification, { event = "notification", collapse_key: key } = {}) {
    this.sweep();
    const older = key && this.keys.get(key);
    if (older && this.entries.has(older)) this.remove([older], "collapsed");
    else if (this.entries.size >= this.max) this.remove([this.sorted().at(-1).id], "trimmed");
    if (key) this.keys.set(key, notification.id);
    this.arrive({ ...notification, event });
  }

  arrive({ event, ...notification }) {
    const place = ++this.rev;
    this.entries.set(notification.id, {
      ...notification, event, place, seen_at: null, read_at: null, archived_at: null, snoozed_until: null,
    });
    const { unseen, unread } = this.counts();
    this.tell(event, { ...notification, inbox: { rev: this.rev, place, unseen, unread } }, true);
  }

  remove(ids, reason) {
    const gone = ids.filter((id) => this.entries.delete(id));
    if (!gone.length) return 0;
    this.rev += 1;
    this.tell("notification:removed", { ids: gone, reason, rev: this.rev, counts: this.counts() });
    return gone.length;
  }

  /** What is due: expired entries go, snoozed ones come back on top. */
  sweep() {
    const now = Date.now();
    const entries = [...this.entries.values()];
    this.remove(entries.filter(({ expires_at: at }) => at && Date.parse(at) <= now).map(({ id }) => id), "expired");
    for (const { id, snoozed_until: until } of entries) {
      if (!until || Date.parse(until) > now || !this.entries.has(id)) continue;
      const { place, seen_at, read_at, archived_at, snoozed_until, ...rest } = this.entries.get(id);
      this.arrive(rest);
    }
  }

  sorted() {
    return [...this.entries.values()].sort((one, other) => other.place - one.place);
  }

  list({ limit = 20, after, status = "all", category, by, if_rev } = {}) {
    this.sweep();
    if (if_rev !== undefined && if_rev === this.rev) return { unchanged: true };
    const wanted = category == null ? null : [].concat(category);
    const of = (entry) => (wanted ? wanted.includes(entry.category) : true);
    const listed = this.sorted().filter((entry) =>
      OF[status](entry) && of(entry) && (after == null || entry.place < Number(after)));
    const data = [];
    let bytes = 0;
    for (const { event, ...entry } of listed.slice(0, limit)) {
      bytes += JSON.stringify(entry).length;
      if (data.length && bytes > PAGE_BYTES) break;
      data.push(entry);
    }
    const next = data.length && data.length < listed.length ? String(data.at(-1).place) : null;
    const categories = by === "category" ? { categories: this.categories() } : {};
    return { data, next, rev: this.rev, counts: this.counts(), ...categories };
  }

  categories() {
    const names = new Set([...this.entries.values()].map(({ category }) => category).filter(Boolean));
    return Object.fromEntries(Array.from(names, (name) => [name, this.counts((entry) => entry.category === name)]));
  }

  mark({ as, ids, up_to: upTo, category, until }) {
    this.sweep();
    const bound = typeof upTo === "string" ? this.entries.get(upTo)?.place : upTo;
    const missing = ids ? ids.filter((id) => !this.entries.has(id)) : bound === undefined ? [upTo] : [];
    const marked = ids
      ? ids.filter((id) => this.entries.has(id)).map((id) => this.entries.get(id))
      : [...this.entries.values()].filter((entry) =>
          OF.all(entry) && entry.place <= bound && (category == null || [].concat(category).includes(entry.category)));
    const at = new Date().toISOString();
    if (as === "deleted") {
      const changed = this.remove(marked.map(({ id }) => id), "deleted");
      return { changed, missing, rev: this.rev, counts: this.counts() };
    }
    const changed = marked.filter((entry) => change(entry, as, at, until)).map(({ id }) => id);
    if (changed.length) {
      this.rev += 1;
      const which = ids ? { ids: changed } : { up_to: upTo, ...(category == null ? {} : { category }) };
      const told = { as, ...which, ...(until ? { until } : {}), at, rev: this.rev, counts: this.counts() };
      this.tell("inbox:changed", told);
    }
    return { changed: changed.length, missing, rev: this.rev, counts: this.counts() };
  }
}

/** Changes the entry; false when it was so before. */
function change(entry, as, at, until) {
  const before = JSON.stringify(entry);
  if (as === "seen") entry.seen_at ??= at;
  if (as === "read") { entry.read_at ??= at; entry.seen_at ??= at; }
  if (as === "unread") entry.read_at = null;
  if (as === "archived") { entry.archived_at ??= at; entry.snoozed_until = null; }
  if (as === "unarchived") entry.archived_at = null;
  if (as === "snoozed") { entry.snoozed_until = until; entry.archived_at = null; }
  if (as === "unsnoozed") entry.snoozed_until = null;
  return JSON.stringify(entry) !== before;
}
