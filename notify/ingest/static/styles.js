// The page's policy takes style sheets that carry its nonce, and no style attributes. The library has packages in it
// that know nothing of nonces: here their sheets are given it, and attributes go through the CSSOM, which may.
"use strict";
{
  const { content: nonce } = document.querySelector("meta[property=csp-nonce]");
  const createElement = document.createElement;
  document.createElement = function (...named) {
    const element = Reflect.apply(createElement, this, named);
    if (element.localName === "style") element.nonce = nonce;
    return element;
  };

  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style" && this.style) this.style.cssText = value;
    else Reflect.apply(setAttribute, this, [name, value]);
  };

  const inner = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML");
  Object.defineProperty(Element.prototype, "innerHTML", {
    ...inner,
    set(markup) {
      inner.set.call(this, String(markup).replace(/(<[^<>]*\s)style=/g, "$1data-style="));
      for (const element of (this.content ?? this).querySelectorAll("[data-style]")) {
        element.style.cssText = element.dataset.style;
        element.removeAttribute("data-style");
      }
    },
  });
}
