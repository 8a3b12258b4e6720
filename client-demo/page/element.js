// The only way this page makes DOM: text becomes text nodes, attributes are set one by one, and markup
// is never parsed from a string. What a notification carries can therefore not become an element.

/** `el("p", {class: "hint", hidden: true}, "text", child)`; `on` takes listeners: `{on: {click: f}}`. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  bell: "M12 3a6 6 0 0 0-6 6v4l-2 4h16l-2-4V9a6 6 0 0 0-6-6zM10 20a2 2 0 0 0 4 0",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  link: "M9 15l6-6M10.5 6.5L12 5a4.5 4.5 0 0 1 7 7l-1.5 1.5M13.5 17.5L12 19a4.5 4.5 0 0 1-7-7l1.5-1.5",
  send: "M4 12l16-8-6 16-3-7z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
};

/** A line icon. Decoration only: the name of a control is its text or its aria-label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** An SVG element with its attributes, for small charts. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
