// Runs the code blocks of client-demo/README.md, as they stand there, against a running service.
// Wants NOTIFY_URL, NOTIFY_TOKEN and NOTIFY_POST (where a notification for the token's user is posted).
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { transformSync } from "esbuild";
import { Window } from "happy-dom";

const { NOTIFY_URL: url, NOTIFY_POST: post, NOTIFY_USER: user } = process.env;
const token = async () => process.env.NOTIFY_TOKEN;
const readme = readFileSync(new URL("../../client-demo/README.md", import.meta.url), "utf8");
const build = new URL("../../build/snippets/", import.meta.url);
mkdirSync(build, { recursive: true });

// The components need a document; sockets and timers stay Node's own.
const window = new Window({ url: "http://localhost/" });
for (const name of ["document", "navigator", "HTMLElement", "Element", "SVGElement", "Node", "Event"]) {
  Object.defineProperty(globalThis, name, { value: window[name], configurable: true });
}
globalThis.window = window;

function block(info) {
  const found = readme.match(new RegExp("^```\\w+ " + info + "\\n([\\s\\S]*?)^```$", "m"));
  assert.ok(found, `client-demo/README.md has no block marked "${info}"`);
  return found[1];
}

async function load(name, code) {
  const file = new URL(`${name}.mjs`, build);
  writeFileSync(file, code);
  return import(pathToFileURL(file.pathname));
}

/** Posts until `seen` says that it arrived: a fresh component is not connected at once. */
async function arrives(title, seen) {
  for (const until = Date.now() + 20_000; Date.now() < until; ) {
    const response = await fetch(post, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ to: { user }, title, ttl: 0 }),
    });
    assert.equal(response.status, 202, await response.text());
    for (let turn = 0; turn < 20; turn += 1) {
      if (seen()) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
  assert.fail(`"${title}" did not arrive`);
}

test("plain JavaScript", async () => {
  const { listen } = await load("client", block("client"));
  const titles = [];
  const socket = listen(url, token, (notification) => titles.push(notification.title));
  await arrives("for plain JavaScript", () => titles.includes("for plain JavaScript"));
  socket.disconnect();
});

test("React", async () => {
  const { createElement } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const { code } = transformSync(block("react"), { loader: "jsx", jsx: "automatic" });
  const { Notifications } = await load("react", code);
  const place = document.body.appendChild(document.createElement("div"));
  const root = createRoot(place);
  root.render(createElement(Notifications, { url, token }));
  await arrives("for React", () => place.querySelector("li")?.textContent === "for React");
  root.unmount();
});

test("Vue", async () => {
  const { createApp } = await import("vue");
  const { compileScript, parse } = await import("vue/compiler-sfc");
  const { descriptor, errors } = parse(block("vue"));
  assert.deepEqual(errors, []);
  const { content } = compileScript(descriptor, { id: "readme", inlineTemplate: true });
  const { default: component } = await load("vue", content);
  const place = document.body.appendChild(document.createElement("div"));
  const app = createApp(component, { url, token });
  app.mount(place);
  await arrives("for Vue", () => place.querySelector("li")?.textContent === "for Vue");
  app.unmount();
});
