import type { Socket } from "socket.io-client";

export type Priority = "low" | "normal" | "high" | "urgent";
export type Status = "all" | "unseen" | "unread" | "read" | "archived" | "snoozed";
export type Mark =
  | "delivered" | "seen" | "read" | "unread" | "archived" | "unarchived" | "snoozed" | "unsnoozed" | "deleted";

/** Times are RFC 3339; null until it happens. */
export interface InboxItem<Data = Record<string, unknown>> {
  id: string;
  /** The rev that brought it: the order of the list, newest first. */
  place: number;
  title?: string;
  body?: string;
  url?: string;
  category?: string;
  priority?: Priority;
  data?: Data;
  created_at: string;
  /** The time it was scheduled for, if it was: it came then. */
  deliver_at?: string;
  expires_at: string;
  seen_at: string | null;
  read_at: string | null;
  archived_at: string | null;
  snoozed_until: string | null;
}

/** Of what is neither archived nor snoozed, always of the whole inbox. `total` is null until a list or a change told it. */
export interface Counts {
  unseen: number;
  unread: number;
  total: number | null;
}

export interface Failure {
  code: string;
  detail: string;
  retryable?: boolean;
}

export type Answer<T> = ({ ok: true } & T) | { ok: false; error: Failure };
export type MarkAnswer = Answer<{ changed: number; missing: string[]; rev?: number; counts?: ServerCounts }>;

export interface ServerCounts {
  unseen: number;
  unread: number;
  total: number;
}

export interface InboxOptions {
  /** Only these categories. */
  category?: string | string[];
  /** Default `all`: what is neither archived nor snoozed. */
  status?: Status;
  /** Entries in a page, 1 to 100; default 20. */
  limit?: number;
}

export interface InboxEventMap {
  /** Something of items, counts, rev, state, hasMore or error is another now. */
  change: Event;
  /** A notification has come, once, also when it was missed and recovered. */
  arrival: CustomEvent<InboxItem>;
  /** Something was refused, or failed. */
  error: CustomEvent<Failure>;
}

/** What one person's inbox holds, kept right over a socket that belongs to the page. */
export class Inbox extends EventTarget {
  constructor(socket: Socket<any, any>, options?: InboxOptions);
  readonly socket: Socket<any, any>;
  readonly options: Readonly<InboxOptions & { status: Status; limit: number }>;
  /** Newest first. Another array whenever something changed; entries that did not change are the same objects. */
  readonly items: readonly InboxItem[];
  readonly counts: Readonly<Counts>;
  readonly rev: number;
  /** `connecting` until the first connect; `stale` while the list is known to be behind, and is fetched again. */
  readonly state: "connecting" | "live" | "offline" | "stale";
  readonly hasMore: boolean;
  /** Whether the list was ever fetched. Until then there are counts, and no items. */
  readonly loaded: boolean;
  /** The last refusal or failure; null once something went well. */
  readonly error: Failure | null;
  /** Fetches the list, or makes sure that it is right. Resolves when done, or failed: see `error`. */
  load(): Promise<void>;
  /** Fetches the next page. */
  more(): Promise<void>;
  /**
   * Marks up to 1,000 entries. What is shown changes at once, and back again when it is refused. Never rejects.
   * `seen` and `delivered` are collected for a quarter of a second.
   */
  mark(as: Mark, ids: string | string[], options?: { until?: Date | string | number | null }): Promise<MarkAnswer>;
  /** Marks all that the list is of, up to its newest entry: what arrives meanwhile is left alone. */
  markAll(as: Exclude<Mark, "delivered">): Promise<MarkAnswer>;
  /** Lets go of the socket, which stays as it is. */
  close(): void;
  addEventListener<K extends keyof InboxEventMap>(
    type: K, listener: (event: InboxEventMap[K]) => void, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof InboxEventMap>(
    type: K, listener: (event: InboxEventMap[K]) => void, options?: boolean | EventListenerOptions): void;
}

/** A notification as it is pushed; `inbox` is there where it went into one. */
export type Notification<Data = Record<string, unknown>> = Omit<
  InboxItem<Data>, "place" | "expires_at" | "seen_at" | "read_at" | "archived_at" | "snoozed_until"
> & { expires_at?: string; inbox?: { rev: number; place: number; unseen: number; unread: number } };

export type InboxChanged =
  | ({ as: Exclude<Mark, "delivered" | "deleted">; until?: string; at: string; rev: number; counts: ServerCounts }
      & ({ ids: string[] } | { up_to: string | number; category?: string | string[] }))
  | { as: "reset"; rev: number; counts: ServerCounts };

/** `Socket<ServerToClientEvents, ClientToServerEvents>` types a socket of socket.io-client. */
export interface ServerToClientEvents {
  notification: (notification: Notification, offset?: string) => void;
  "session:ready": (session: {
    user: string; node: string; recovered: boolean; inbox?: { rev: number; unseen: number; unread: number };
  }) => void;
  "session:expiring": (session: { expires_in: number }) => void;
  "inbox:changed": (change: InboxChanged, offset?: string) => void;
  "notification:removed": (removal: {
    ids: string[];
    reason: "retracted" | "expired" | "collapsed" | "trimmed" | "deleted";
    rev: number;
    counts: ServerCounts;
  }, offset?: string) => void;
  message: (message: { from: string; to: { user: string } | { room: string }; data: unknown }, offset?: string) => void;
}

export interface ListQuery extends InboxOptions {
  after?: string;
  by?: "category";
  /** Answered by `{ok, unchanged: true}` when the inbox is still at this rev. */
  if_rev?: number;
}

export interface ListAnswer {
  unchanged?: undefined;
  data: InboxItem[];
  next: string | null;
  rev: number;
  counts: ServerCounts;
  categories?: Record<string, ServerCounts>;
}

export type MarkBody =
  | { as: Mark; ids: string[]; until?: string }
  | { as: Mark; up_to: string | number; category?: string | string[]; until?: string };

export interface ClientToServerEvents {
  "inbox:list": (query: ListQuery, ack: (answer: Answer<ListAnswer | { unchanged: true }>) => void) => void;
  "inbox:mark": (mark: MarkBody, ack: (answer: MarkAnswer) => void) => void;
  "room:join": (body: { room: string }, ack: (answer: Answer<{ room: string }>) => void) => void;
  "room:leave": (body: { room: string }, ack: (answer: Answer<{ room: string; left: boolean }>) => void) => void;
  send: (
    body: { to: { user: string } | { room: string }; event?: string; data: unknown },
    ack: (answer: Answer<{ offset: string }>) => void,
  ) => void;
  "session:refresh": (
    body: { token: string }, ack: (answer: Answer<{ expires_in: number; left: string[] }>) => void) => void;
}
