// What one person's inbox holds, kept right over a Socket.IO connection that belongs to the page.
//
// How it stays right. Every change to an inbox raises its `rev` by one and is told to every socket in order. Two
// numbers say how far we are: `#rev` is the change that the counts belong to, `#good` the one up to which every change
// is in the entries. A change that does not follow `#good` by one means that others were missed, and the list is
// fetched again. Each entry also knows the rev it was read at, so a change that overtook the answer to a list is
// neither lost nor applied twice. Counts are never added up here: they come from the server, with their rev.

const PAGE = 100; // entries in one list at most: the server's limit
const KEEP = 200; // entries kept when new ones arrive; what was loaded on purpose is kept as well
const IDS = 1000; // ids in one mark at most: the server's limit
const BATCH_MS = 250;
const ANSWER_MS = 10_000;
const RETRY_MS = 1000;
const RETRY_MAX_MS = 30_000;

// Why a list is to be fetched, in the order of their weight.
const LOOK = 1; // somebody wants to look: most likely it is right
const CHECK = 2; // something was missed, or may have been
const ANEW = 3; // it lacks what no change carries, so that its rev says nothing

const away = (item) => item.archived_at || item.snoozed_until;

/** The entry as it is after a change; null when it is gone. */
function after(item, { as, at, until }) {
  const now = item[as + "_at"] ?? at;
  switch (as) {
    case "seen": return { ...item, seen_at: now };
    case "read": return { ...item, read_at: now, seen_at: item.seen_at ?? at };
    case "unread": return { ...item, read_at: null };
    case "archived": return { ...item, archived_at: now, snoozed_until: null };
    case "unarchived": return { ...item, archived_at: null };
    case "snoozed": return { ...item, snoozed_until: until, archived_at: null };
    case "unsnoozed": return { ...item, snoozed_until: null };
    case "deleted": return null;
  }
  return item;
}

/** Whether a change is about this entry. `up_to` leaves alone what is archived or snoozed. */
function touches({ ids, up_to, category }, item) {
  if (ids) return ids.has(item.id);
  return item.place <= up_to && !away(item) && (category == null || [category].flat().includes(item.category));
}

export class Inbox extends EventTarget {
  #entries = new Map(); // id -> {item, rev}
  #counts = { unseen: 0, unread: 0, total: null };
  #rev = 0;
  #good = 0;
  #next = null; // where the next page begins, null at the end of the list
  #keep = KEEP;
  #due = 0;
  #loaded = false;
  #wanted = false;
  #ever = false;
  #closed = false;
  #marks = new Set(); // our own, until the entries and the counts have them
  #batches = {};
  #log = []; // the changes heard while an answer is awaited
  #asking = 0;
  #turn = Promise.resolve(); // lists are fetched one after the other
  #queued = null;
  #paging = null;
  #retry = 0;
  #timer;
  #heard = 0; // the place of the newest arrival that was announced
  #view = null;
  #telling = false;
  #wire;

  /** The last refusal or failure, `{code, detail, retryable}`; null once something went well. */
  error = null;

  constructor(socket, options = {}) {
    super();
    this.socket = socket;
    this.options = { status: "all", limit: 20, ...options };
    const on = { connect: this.#connected, disconnect: this.#tell, connect_error: this.#refused };
    this.#wire = (verb, way) => {
      for (const name in on) socket[verb](name, on[name]);
      socket[`${verb}Any`](this.#event);
      globalThis.document?.[`${way}EventListener`]("visibilitychange", this.#woke);
    };
    this.#wire("on", "add");
    this.#ever = socket.connected;
    if (this.#ever) this.#sync(LOOK);
  }

  get rev() { return this.#rev; }
  get items() { return this.#seenAs().items; }
  get counts() { return this.#seenAs().counts; }
  get hasMore() { return this.#next !== null; }
  get loaded() { return this.#loaded; }
  get state() {
    if (!this.socket.connected) return this.#ever ? "offline" : "connecting";
    return this.#due > LOOK ? "stale" : "live";
  }

  /** Fetches the list, or makes sure that it is right. Resolves when that is done, or has failed (see `error`). */
  load() {
    this.#wanted = true;
    return this.#sync(LOOK);
  }

  /** Fetches the next page. */
  more() {
    return (this.#paging ??= this.#inTurn(async () => {
      const { limit, status, category } = this.options;
      if (this.#next === null) return;
      await this.#listen(async () => {
        const page = await this.#ask("inbox:list", { limit, status, category, after: this.#next });
        if (!page.ok) return this.#fail(page.error);
        this.#count(page.rev, page.counts);
        this.#next = page.next;
        this.#take(page, this.#entries);
        this.#keep = Math.max(KEEP, this.#entries.size);
        this.#replay();
      });
    }).finally(() => { this.#paging = null; }));
  }

  /**
   * Marks entries: `as` is seen, read, unread, archived, unarchived, snoozed (with `until`), unsnoozed, deleted or
   * delivered. What is shown changes at once, and back again when the server refuses. Resolves to its answer.
   */
  mark(as, ids, { until } = {}) {
    ids = [ids].flat().slice(0, IDS);
    if (!ids.length) return Promise.resolve({ ok: true, changed: 0, missing: [] });
    if (as === "seen" || as === "delivered") return this.#later(as, ids);
    return this.#send(this.#mark({ as, ids: new Set(ids), until: until && new Date(until).toISOString() }));
  }

  /** Marks all that the list is of, up to its newest entry: what arrives meanwhile is left alone. */
  markAll(as) {
    const { status, category } = this.options;
    const whole = status === "all" || (status[0] === "u" && (as === "seen" || as === "read"));
    const { items } = this;
    if (!whole) return this.mark(as, items.map(({ id }) => id));
    const up_to = items[0]?.place ?? this.#rev;
    return this.#send(this.#mark({ as, up_to, category }));
  }

  /** Lets go of the socket, which stays as it is. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#wire("off", "remove");
  }

  // What comes from the server

  #event = (name, data) => {
    if (name === "session:ready" && data.inbox) this.#reset(data.inbox, data.inbox);
    else if (name === "notification:removed") this.#hear({ ...data, as: "deleted", ids: new Set(data.ids) });
    else if (name !== "inbox:changed") {
      if (data?.inbox?.place) this.#arrived(data);
    } else if (data.as === "reset") this.#reset(data, data.counts);
    else this.#hear({ ...data, ids: data.ids && new Set(data.ids) });
  };

  #arrived({ inbox, ...item }) {
    const { rev, place, unseen, unread } = inbox;
    const { total } = this.#counts;
    item = { ...item, place, seen_at: null, read_at: null, archived_at: null, snoozed_until: null };
    // An arrival does not carry the total: it is one more, if nothing lies between.
    const known = total !== null && rev === this.#rev + 1;
    this.#hear({ rev, item, counts: { unseen, unread, total: known ? total + 1 : null } });
    if (place <= this.#heard) return;
    this.#heard = place;
    if (!this.#belongs(item)) return;
    this.#later("delivered", [item.id]);
    this.dispatchEvent(new CustomEvent("arrival", { detail: item }));
  }

  /** The present rev and counts, which are taken whatever we had. */
  #reset({ rev }, { unseen, unread, total = rev === this.#rev ? this.#counts.total : null }) {
    this.#rev = rev;
    this.#counts = { unseen, unread, total };
    if (!this.#loaded) this.#good = rev;
    else if (rev !== this.#good) this.#sync(ANEW);
    this.#tell();
  }

  #hear(change) {
    if (this.#asking) this.#log.push(change);
    this.#count(change.rev, change.counts);
    this.#step(change);
    this.#tell();
  }

  #count(rev, counts) {
    if (rev < this.#rev || (rev === this.#rev && this.#counts.total !== null)) return;
    this.#rev = rev;
    this.#counts = counts;
  }

  /** A change, or one that is told again for the sake of entries that were read before it. */
  #step(change) {
    const { as, rev, item, up_to } = change;
    const news = rev > this.#good;
    if (news) {
      if (this.#loaded && rev > this.#good + 1) this.#sync(CHECK);
      else this.#good = rev;
    }
    if (!this.#loaded) return;
    if (item) {
      if (!news) return;
      this.#put(item, rev);
      this.#trim();
      return;
    }
    let anew = as === this.options.status || /^un[as]/.test(as);
    if (typeof up_to === "string") {
      change.up_to = this.#entries.get(up_to)?.item.place ?? Number(up_to);
      anew ||= Number.isNaN(change.up_to);
    }
    for (const { item, rev: read } of this.#entries.values()) {
      if (rev > read && touches(change, item)) this.#put(after(item, change), rev, item.id);
    }
    if (anew && news) this.#sync(ANEW);
    if (!this.#entries.size) this.more();
  }

  #put(item, rev, id = item.id) {
    if (item && this.#belongs(item)) this.#entries.set(id, { item, rev });
    else this.#entries.delete(id);
  }

  /** Whether an entry is part of the list that we were asked for. */
  #belongs(item) {
    const { status, category } = this.options;
    if (category != null && ![category].flat().includes(item.category)) return false;
    if (status === "archived") return item.archived_at;
    if (status === "snoozed") return item.snoozed_until;
    if (away(item)) return false;
    return { unseen: !item.seen_at, unread: !item.read_at, read: !!item.read_at }[status] ?? true;
  }

  /** Drops the oldest when too many have arrived; they can be paged back in. */
  #trim() {
    if (this.#entries.size <= this.#keep * 1.2) return;
    const sorted = [...this.#entries.values()].sort((a, b) => b.item.place - a.item.place);
    for (const { item } of sorted.splice(this.#keep)) this.#entries.delete(item.id);
    this.#next = String(sorted.at(-1).item.place);
  }

  // Lists

  #inTurn(task) {
    return (this.#turn = this.#turn.then(task));
  }

  #sync(due) {
    this.#due = Math.max(this.#due, due);
    clearTimeout(this.#timer);
    this.#tell();
    return (this.#queued ??= this.#inTurn(() => {
      this.#queued = null;
      return this.#due && this.#list();
    }));
  }

  async #list() {
    const { limit, status, category } = this.options;
    const wanted = this.#wanted;
    // As many as there were: a resync does not shorten what somebody has scrolled through.
    let left = wanted ? Math.max(limit, this.#entries.size) : 0;
    const if_rev = this.#due < ANEW && (this.#loaded || !wanted) && this.#good ? this.#good : undefined;
    const entries = new Map();
    let page;
    let first;
    await this.#listen(async () => {
      do {
        const query = { limit: Math.min(left, PAGE), status, category };
        page = await this.#ask("inbox:list", page ? { ...query, after: page.next } : { ...query, if_rev });
        if (!page.ok) return this.#failed(page.error);
        if (page.unchanged) break;
        first ??= page.rev;
        this.#count(page.rev, page.counts);
        this.#take(page, entries);
        left -= page.data.length;
      } while (page.next && page.data.length && left > 0);
      if (first) {
        this.#good = first;
        if (wanted) {
          this.#entries = entries;
          this.#next = page.next;
          this.#loaded = true;
        }
      }
      this.#due = this.#retry = 0;
      this.#replay();
      if (this.#loaded && this.#good < this.#rev) this.#sync(CHECK);
    });
  }

  /** Puts a page's entries in, with the rev that they were read at. */
  #take({ data, rev }, entries) {
    const fresh = [];
    for (const item of data) {
      const known = this.#entries.get(item.id);
      if (!known && !item.seen_at) fresh.push(item.id);
      if (entries !== this.#entries || !(known?.rev >= rev)) entries.set(item.id, { item, rev });
    }
    if (fresh.length) this.#later("delivered", fresh);
  }

  /** What was heard while we waited may be newer than the answer. */
  #replay() {
    for (const change of this.#log) this.#step(change);
  }

  async #listen(task) {
    this.#asking += 1;
    await task();
    this.#asking -= 1;
    if (!this.#asking) this.#log = [];
    this.#tell();
  }

  /** Asks, again after every reconnect: lists and marks may be repeated. */
  async #ask(event, body) {
    const socket = this.socket;
    for (;;) {
      if (!socket.connected) await new Promise((resolve) => socket.once("connect", resolve));
      const answer = await socket.timeout(ANSWER_MS).emitWithAck(event, body).catch(() => null);
      if (answer?.ok) this.error = null;
      if (answer) return answer;
      if (socket.connected) return { ok: false, error: { code: "timeout", detail: "No answer came.", retryable: true } };
    }
  }

  #failed(error) {
    this.#due = Math.max(this.#due, CHECK);
    this.#fail(error);
    if (error.retryable === false || this.#closed) return;
    this.#retry = Math.min(this.#retry * 2 || RETRY_MS, RETRY_MAX_MS);
    this.#timer = setTimeout(() => this.#sync(CHECK), this.#retry * (0.5 + Math.random()));
  }

  #fail(error) {
    this.error = error;
    this.#tell();
    this.dispatchEvent(new CustomEvent("error", { detail: error }));
  }

  // Marks

  #mark(mark) {
    mark = { ...mark, at: new Date().toISOString(), rev: Infinity };
    if (mark.as !== "delivered") this.#marks.add(mark);
    this.#tell();
    return mark;
  }

  async #send(mark) {
    const { as, ids, up_to, category, until } = mark;
    const answer = await this.#ask("inbox:mark", { as, ids: ids && [...ids], up_to, category, until });
    if (answer.ok) {
      mark.rev = answer.rev;
      this.#count(answer.rev, answer.counts);
    } else {
      this.#marks.delete(mark);
      this.#fail(answer.error);
    }
    this.#tell();
    return answer;
  }

  /** Marks that nobody waits for go out together. */
  #later(as, ids) {
    let batch = this.#batches[as];
    if (!batch || batch.mark.ids.size + ids.length > IDS) {
      const mark = this.#mark({ as, ids: new Set() });
      batch = { mark };
      batch.answer = new Promise((resolve) => setTimeout(resolve, BATCH_MS)).then(() => {
        if (this.#batches[as] === batch) delete this.#batches[as];
        return this.#send(mark);
      });
      this.#batches[as] = batch;
    }
    for (const id of ids) batch.mark.ids.add(id);
    this.#tell();
    return batch.answer;
  }

  // What is shown: the entries and counts of the server, with our own marks on top until it has them

  #seenAs() {
    if (this.#view) return this.#view;
    const items = [];
    const counts = { ...this.#counts };
    const rest = { unseen: 0, unread: 0, total: 0 };
    for (const { item, rev } of this.#entries.values()) {
      let shown = item;
      for (const mark of this.#marks) {
        if (!shown || mark.rev <= Math.max(rev, this.#good) || !touches(mark, shown)) continue;
        const next = after(shown, mark);
        if (mark.rev > this.#rev) {
          tally(counts, shown, -1);
          tally(counts, next, 1);
        }
        shown = next;
      }
      tally(rest, shown, 1);
      if (shown && this.#belongs(shown)) items.push(shown);
    }
    for (const { as, ids, category, rev } of this.#marks) {
      // All of them, also those that are not loaded: what is left is what we can see.
      if (ids || category != null || rev <= this.#rev || as === "unread") continue;
      counts.unseen = rest.unseen;
      if (as !== "seen") counts.unread = rest.unread;
      if (/ed$/.test(as)) counts.total = rest.total; // archived, deleted
    }
    items.sort((a, b) => b.place - a.place);
    return (this.#view = { items, counts });
  }

  #tell = () => {
    this.#view = null;
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      for (const mark of this.#marks) if (mark.rev <= this.#good) this.#marks.delete(mark);
      if (!this.#closed) this.dispatchEvent(new Event("change"));
    });
  };

  // The connection

  #connected = () => {
    this.#ever = true;
    if (this.#loaded && !this.socket.recovered) this.#sync(CHECK);
    this.#tell();
  };

  #refused = (error) => {
    if (!this.socket.active) this.#fail(error.data ?? { code: "refused", detail: error.message, retryable: false });
    this.#tell();
  };

  #woke = () => {
    if (!document.hidden && this.socket.connected) this.#sync(LOOK);
  };
}

function tally(counts, item, sign) {
  if (!item || away(item)) return;
  if (!item.seen_at) counts.unseen = Math.max(0, counts.unseen + sign);
  if (!item.read_at) counts.unread = Math.max(0, counts.unread + sign);
  if (counts.total !== null) counts.total = Math.max(0, counts.total + sign);
}
