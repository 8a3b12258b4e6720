import type { HTMLAttributes, ReactElement, ReactNode } from "react";

import type { Labels } from "./element.js";
import type { Inbox, InboxItem } from "./inbox.js";

/** The state of an inbox, current at every render. */
export function useInbox(
  inbox: Inbox): Pick<Inbox, "items" | "counts" | "rev" | "state" | "hasMore" | "loaded" | "error">;

export interface NotifyInboxProps extends Omit<HTMLAttributes<HTMLElement>, "onClick"> {
  inbox?: Inbox | null;
  badge?: "unseen" | "unread" | "none";
  mode?: "popover" | "inline";
  placement?: "bottom-end" | "bottom-start" | "top-end" | "top-start";
  /** Categories, with commas between them. */
  tabs?: string;
  labels?: Partial<Labels>;
  locale?: string;
  renderItem?: (item: InboxItem) => Node | string;
  onOpen?: (event: CustomEvent<null>) => void;
  onClick?: (event: CustomEvent<InboxItem>) => void;
  onArrival?: (event: CustomEvent<InboxItem>) => void;
  children?: ReactNode;
}

export function NotifyInbox(props: NotifyInboxProps): ReactElement;
