import { el, icon } from "./element.js";

const OWN_PATH = /^\/(?![/\\])/;

/**
 * The URL when it is an absolute http(s) one, or a path on this host (`/builds/812`); else null: `javascript:`,
 * `data:` and their like are no links, and `//elsewhere` is no path.
 */
export function safeUrl(text) {
  if (typeof text !== "string") return null;
  try {
    const url = OWN_PATH.test(text) ? new URL(text, location.origin) : new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url : null;
  } catch {
    return null;
  }
}

/** A link that opens apart and tells the other side nothing, or null. */
export function link(text) {
  const url = safeUrl(text);
  if (url === null) return null;
  return el("a", { class: "link", href: url.href, target: "_blank", rel: "noopener noreferrer" },
    icon("link"), url.host + (url.pathname === "/" ? "" : url.pathname));
}
