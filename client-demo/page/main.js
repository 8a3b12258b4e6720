import { Api } from "./api.js";
import { Composer } from "./composer.js";
import { el } from "./element.js";
import { Nodes } from "./nodes.js";
import { Person } from "./person.js";
import { Rate } from "./rate.js";
import { theme } from "./theme.js";

const ROOM = "project:apollo";

const WIDE = matchMedia("(min-width: 1120px)"); // as in style/base.css: the composer beside the people

const at = (id) => document.getElementById(id);

async function start() {
  const api = new Api();
  let config;
  try {
    config = await api.config();
  } catch (error) {
    failed(error);
    return;
  }
  const nodes = new Nodes({ list: config.nodes, api, root: at("nodes") });
  const renewToken = async (id) => (await api.config()).people.find((person) => person.id === id).token;
  const people = config.people.map((person) => new Person({
    person,
    people: config.people,
    nodes,
    api,
    renewToken: () => renewToken(person.id),
    room: ROOM,
  }));
  new Composer({
    root: at("composer"), people: config.people, api, room: ROOM,
    curl: { url: config.api.url, key: config.api.curl_key },
  }).addEventListener("posted", ({ detail }) => showArrival(detail));
  const rate = new Rate({ root: at("rate"), people: config.people, api });
  for (const person of people) {
    person.addEventListener("arrival", ({ detail }) => rate.arrival(detail));
    person.addEventListener("change", () => countInTitle(people));
  }
  at("people").replaceChildren(...people.map((person) => person.element));
  at("dock").replaceChildren(...people.map((person) => person.toasts.element));
  for (const person of people) person.open();
}

/** On a small screen the composer stands in front of the people: it goes, and who was posted to comes into sight. */
function showArrival({ to: { users = [] } }) {
  if (WIDE.matches) return;
  at("composer").open = false;
  at(`phone-${users[0]}`)?.scrollIntoView({ block: "start" });
}

function foldComposer() {
  at("composer").open = WIDE.matches;
}

function countInTitle(people) {
  const unread = people.reduce((sum, person) => sum + person.inbox.counts.unread, 0);
  document.title = unread === 0 ? "notify demo" : `(${unread}) notify demo`;
}

function failed(error) {
  at("people").replaceChildren(el("div", { class: "card failure", role: "alert" },
    el("h2", {}, "The service does not answer"),
    el("p", {}, "Is ", el("code", {}, "make dev"), " still running? This page asked for its settings and got: ", error.message),
    el("button", { type: "button", class: "main", on: { click: () => location.reload() } }, "Try again")));
  at("composer").hidden = true;
  at("rate").hidden = true;
}

/** The browser's own word on the network; each person's status says the rest. */
function watchNetwork() {
  const banner = at("banner");
  const draw = () => {
    banner.hidden = navigator.onLine;
    banner.textContent = navigator.onLine ? "" : "This browser is offline. What you miss will arrive when it is back.";
  };
  addEventListener("offline", draw);
  addEventListener("online", draw);
  draw();
}

theme(at("theme"));
watchNetwork();
WIDE.addEventListener("change", foldComposer);
foldComposer();
start();
