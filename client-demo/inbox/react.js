// The inbox for React 18 and later: a hook for one's own list, and the element as a component.
import { createElement, useCallback, useEffect, useRef, useSyncExternalStore } from "react";

import "./element.js";

const KEYS = ["items", "counts", "rev", "state", "hasMore", "loaded", "error"];
const EVENTS = { onOpen: "notify-open", onClick: "notify-click", onArrival: "notify-arrival" };
const PROPERTIES = ["inbox", "labels", "locale", "renderItem"];

/** `{items, counts, rev, state, hasMore, loaded, error}` of an inbox, current at every render. */
export function useInbox(inbox) {
  const subscribe = useCallback((listener) => {
    inbox.addEventListener("change", listener);
    return () => inbox.removeEventListener("change", listener);
  }, [inbox]);
  const last = useRef({});
  const snapshot = () => {
    const now = Object.fromEntries(KEYS.map((key) => [key, inbox[key]]));
    // The same object as long as nothing changed: else React would render for ever.
    if (KEYS.some((key) => now[key] !== last.current[key])) last.current = now;
    return last.current;
  };
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** `<notify-inbox>`: its properties, `onOpen`, `onClick` and `onArrival`; all else becomes an attribute. */
export function NotifyInbox({ children, ...props }) {
  const element = useRef(null);
  const handlers = useRef(props);
  handlers.current = props;
  useEffect(() => {
    const node = element.current;
    const listeners = Object.entries(EVENTS).map(([name, type]) => [type, (event) => handlers.current[name]?.(event)]);
    for (const [type, listener] of listeners) node.addEventListener(type, listener);
    return () => listeners.forEach(([type, listener]) => node.removeEventListener(type, listener));
  }, []);
  useEffect(() => {
    for (const name of PROPERTIES) element.current[name] = props[name];
  });
  const own = [...PROPERTIES, ...Object.keys(EVENTS)];
  const attributes = Object.fromEntries(Object.entries(props).filter(([name]) => !own.includes(name)));
  return createElement("notify-inbox", { ...attributes, ref: element }, children);
}
