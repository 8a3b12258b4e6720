import type { Inbox, InboxItem } from "./inbox.js";

/** Every text of the element. What is not given stays English. */
export interface Labels {
  title: string;
  bell: (count: number, badge: string) => string;
  all: string;
  snoozed: string;
  archived: string;
  /** Said before the title of an entry that has not been read. */
  new: string;
  high: string;
  urgent: string;
  menu: (title: string) => string;
  markAll: string;
  archiveAll: string;
  /** What one may do with an entry. */
  actions: Record<
    "read" | "unread" | "archived" | "unarchived" | "hour" | "tomorrow" | "week" | "unsnoozed", string>;
  undo: string;
  retry: string;
  pill: (count: number) => string;
  arrived: (count: number, title: string) => string;
  behind: string;
  /** What a list without entries says. */
  states: Record<"all" | "snoozed" | "archived" | "offline" | "failed", string>;
}

export interface NotifyInboxEventMap {
  /** The popover is about to open; cancelable. */
  "notify-open": CustomEvent<null>;
  /** An entry was clicked; unless it is canceled it is marked read, and its link is followed. */
  "notify-click": CustomEvent<InboxItem>;
  /** A notification has come; unless it is canceled it is announced to screen readers. */
  "notify-arrival": CustomEvent<InboxItem>;
}

/**
 * `<notify-inbox>`. Attributes: `badge` (`unseen`, `unread`, `none`), `mode` (`popover`, `inline`), `placement`
 * (`bottom-end`, `bottom-start`, `top-end`, `top-start`), `tabs` (categories, with commas between them).
 * Slots: `bell`, `header`, `empty`, `footer`.
 */
export class NotifyInbox extends HTMLElement {
  inbox: Inbox | null | undefined;
  /** What stands under an entry's title; default: its body as text. */
  renderItem: ((item: InboxItem) => Node | string) | null | undefined;
  labels: Partial<Labels> | undefined;
  /** A BCP 47 tag; default: the `lang` around the element, then the browser's. */
  locale: string | undefined;
  open(): void;
  close(): void;
  addEventListener<K extends keyof NotifyInboxEventMap>(
    type: K, listener: (this: NotifyInbox, event: NotifyInboxEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions): void;
  addEventListener(
    type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "notify-inbox": NotifyInbox;
  }
}
