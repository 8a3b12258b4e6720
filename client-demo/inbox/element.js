// <notify-inbox>: a bell with its list, or the list alone. `element.inbox = new Inbox(socket)` is all that it needs.
//
// Whatever a notification carries is put on the page as a text node, and a link is one only when it is http(s) or
// relative. The style sheet is adopted, so a policy of `style-src 'self'` is enough. Each class of a node is also its
// part, so that everything can be styled from outside.
import { Inbox } from "./inbox.js";

const ROWS = 30; // rows made at a time: the rest when somebody scrolls to them
const TICK_MS = 250;
const SEEN_MS = 1000;
const SAY_MS = 5000; // between two announcements
const NOTICE_MS = 8000;

const LABELS = {
  title: "Notifications",
  bell: (count, badge) => (count ? `Notifications, ${count} ${badge === "unread" ? "unread" : "new"}` : "Notifications"),
  all: "All",
  snoozed: "Snoozed",
  archived: "Archived",
  new: "Unread",
  high: "High",
  urgent: "Urgent",
  menu: (title) => `Actions for ${title}`,
  markAll: "Mark all as read",
  archiveAll: "Archive all",
  actions: {
    read: "Mark as read",
    unread: "Mark as unread",
    archived: "Archive",
    unarchived: "Move to inbox",
    hour: "Snooze for an hour",
    tomorrow: "Until tomorrow",
    week: "Until next week",
    unsnoozed: "End snooze",
  },
  undo: "Undo",
  retry: "Try again",
  pill: (count) => `${count} new`,
  arrived: (count, title) => (count > 1 ? `${count} new notifications` : `New notification: ${title}`),
  behind: "Offline. This may be out of date.",
  states: {
    all: ["All caught up", "What is new shows up here by itself."],
    snoozed: ["Nothing snoozed"],
    archived: ["Nothing archived"],
    offline: ["No connection"],
    failed: ["This did not load"],
  },
};

const ICONS = {
  all: "M12 3a6 6 0 0 0-6 6v4l-2 4h16l-2-4V9a6 6 0 0 0-6-6ZM10 20.5a2.2 2.2 0 0 0 4 0",
  check: "m2 12.5 4.5 4.5L15 7.5m-3 9 .5.5L21 7.5",
  clear: "M12 4v10m-4-4 4 4 4-4M4 15v5h16v-5",
  dots: "M4.5 12h1M11.5 12h1M18.5 12h1",
  snoozed: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16Zm0 4v4.5l3 2",
  archived: "M4 5h16v4H4Zm1.5 4v10h13V9M10 13h4",
  offline: "m4 4 16 16M3 10a13 13 0 0 1 18 0M7 14a7 7 0 0 1 10 0m-5 4h.01",
  failed: "M12 9v4.5m0 3h.01M12 3.5 21.5 20h-19Z",
};

const CSS = `
:host { display: inline-block; text-align: start; color: var(--_text); font: var(--notify-font, 14px/1.45 system-ui, sans-serif); --_accent: var(--notify-accent, light-dark(#3457d5, #9db3ff)); --_bg: var(--notify-background, light-dark(#fff, #191c22)); --_text: var(--notify-text, light-dark(#1b2028, #e9ecf1)); --_quiet: var(--notify-quiet, rgb(from var(--_text) r g b / .7)); --_line: var(--notify-line, rgb(from var(--_text) r g b / .12)); --_hover: var(--notify-hover, rgb(from var(--_text) r g b / .05)); --_shadow: var(--notify-shadow, 0 8px 40px light-dark(#10182830, #0009)); }
:host([mode="inline"]) { display: block; }
:host([hidden]), [hidden], [popover]:not(:popover-open) { display: none !important; }
* { box-sizing: border-box; margin: 0; }
button, a { font: inherit; color: inherit; border: 0; background: none; padding: 0; text-align: start; text-decoration: none; cursor: pointer; border-radius: 10px; }
:focus { outline: none; }
:focus-visible { outline: 2px solid; outline-offset: -3px; }
svg { display: block; width: 20px; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.icon, .tile, .disc { display: grid; place-items: center; width: 36px; height: 36px; color: var(--_quiet); }
:is(.icon, .plain, article, .menu-item):is(:hover, .menu-item:focus, [aria-expanded="true"]) { background: var(--_hover); color: var(--_text); }
.bell { position: relative; color: inherit; anchor-name: --bell; }
.badge { position: absolute; top: 0; inset-inline-start: 18px; min-width: 18px; padding: 0 5px; border-radius: 9px; background: var(--notify-badge, #d32f2f); color: #fff; font-size: 11px; font-weight: 650; line-height: 18px; text-align: center; box-shadow: 0 0 0 2px var(--_bg); }
.panel, .menu { color: inherit; background: var(--_bg); border: 1px solid var(--_line); padding: 0; overflow: hidden; border-radius: var(--notify-radius, 14px); display: flex; flex-direction: column; height: 100%; }
[popover] { position-anchor: --bell; position-area: block-end span-inline-start; position-try: flip-block, flip-inline; inset: auto; margin: 8px; box-shadow: var(--_shadow); animation: in .14s; }
:host([placement="bottom-start"]) .panel { position-area: block-end span-inline-end; }
:host([placement="top-end"]) .panel { position-area: block-start span-inline-start; }
:host([placement="top-start"]) .panel { position-area: block-start span-inline-end; }
@media (min-width: 480px) { [popover] { margin-inline: 0; } }
.panel[popover] { max-height: calc(100% - 16px); position-try-order: most-height; width: min(var(--notify-width, 400px), 100vw - 16px); height: var(--notify-height, 600px); }
@keyframes in { from { opacity: .4; } }
.header, .tabs, .notice { display: flex; align-items: center; flex: none; padding: 10px; }
h2 { flex: 1; line-height: 44px; padding-inline: 8px; font-size: 17px; font-weight: 650; }
.tabs { padding: 0 10px; border-bottom: 1px solid var(--_line); overflow-x: auto; scrollbar-width: none; }
.tab { position: relative; padding: 8px 8px 11px; color: var(--_quiet); font-weight: 550; white-space: nowrap; background: var(--_bg); }
.tab:hover, [aria-selected="true"] { color: var(--_text); }
[aria-selected="true"]::after { content: ""; position: absolute; inset: auto 8px 0; height: 2px; background: var(--_accent); }
.tab:nth-last-child(-n+2) { position: sticky; inset-inline-end: 0; }
.tab:nth-last-child(2) { inset-inline-end: 36px; margin-inline-start: auto; }
.body { flex: 1; overflow-y: auto; overscroll-behavior: contain; }
article { position: relative; display: grid; grid-template-columns: 36px minmax(0, 1fr); gap: 12px; padding: 13px 20px; overflow-wrap: anywhere; }
article + article { border-top: 1px solid var(--_line); }
.dot { position: absolute; top: 27px; inset-inline-start: 6px; width: 8px; height: 8px; border-radius: 50%; background: var(--_accent); }
.tile { border-radius: 10px; font-weight: 650; text-transform: uppercase; background: oklch(.65 .13 var(--hue, 265) / .2); color: inherit; }
.title { display: block; padding-inline-end: 26px; color: var(--_text); }
.title::after { content: ""; position: absolute; inset: 0; }
.unread .title { font-weight: 650; }
.text { color: var(--_quiet); display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.foot, small { font-size: 12.5px; color: var(--_quiet); }
.foot { margin-top: 3px; }
.foot span::before { content: " · "; }
.high, .urgent { font-weight: 600; color: var(--_text); }
.urgent { color: light-dark(#c62828, #ff8f88); }
.act:is(:hover, [aria-expanded="true"]) { background: var(--_line); }
.act { position: absolute; top: 5px; inset-inline-end: 8px; z-index: 1; }
@media (hover: hover) { article:not(:hover, :focus-within) .act[aria-expanded="false"] { opacity: 0; } }
.pill { position: sticky; z-index: 2; top: 10px; margin: 0 auto -33px; display: block; height: 33px; padding: 0 14px; border-radius: 99px; background: var(--_accent); color: var(--notify-on-accent, light-dark(#fff, #10172e)); font-weight: 600; box-shadow: var(--_shadow); }
.state { display: grid; place-items: center; place-content: center; gap: 4px; min-height: 100%; padding: 32px; text-align: center; color: var(--_quiet); }
.disc { width: 64px; height: 64px; margin-bottom: 12px; border-radius: 50%; background: var(--_hover); color: var(--_accent); }
strong { color: var(--_text); }
.plain { padding: 7px 14px; margin: 12px auto; display: block; border: 1px solid var(--_line); color: var(--_text); }
.bone { height: 440px; background: linear-gradient(#0000 14px, var(--_line) 0 50px, #0000 0) 20px 0 / 36px 88px repeat-y, linear-gradient(#0000 18px, var(--_line) 0 28px, #0000 0) 68px 0 / 45% 88px repeat-y; animation: in 1s infinite alternate; }
:host(:dir(rtl)) .bone { scale: -1 1; }
.notice { justify-content: space-between; gap: 12px; padding-inline: 20px; background: var(--_text); color: var(--_bg); overflow-wrap: anywhere; }
.notice button { font-weight: 600; text-decoration: underline; }
.menu { position-anchor: --menu; height: auto; padding: 6px; }
[aria-haspopup="menu"][aria-expanded="true"] { anchor-name: --menu; }
.menu-item { display: flex; justify-content: space-between; align-items: baseline; gap: 24px; padding: 8px 10px; }
@media (pointer: coarse) { .act, .icon { width: 44px; height: 44px; } .menu-item, .tab { padding-block: 12px; } }
@media (prefers-reduced-motion) { * { animation: none !important; } }
@media (forced-colors: active) { .dot, .badge, [aria-selected="true"]::after { forced-color-adjust: none; } .tile, .disc, .pill, .notice { border: 1px solid; } }
`;

const UNITS = [["second", 60], ["minute", 60], ["hour", 24], ["day", Infinity]];
let sheet;

/** Gives a node these children; what is falsy is left out. */
function into(node, ...children) {
  node.replaceChildren(...children.filter(Boolean));
  return node;
}

/** A node whose class is its part too; the rest are properties of the DOM. */
function el(tag, name = "", properties = {}, ...children) {
  return into(Object.assign(document.createElement(tag), { className: name, part: name }, properties), ...children);
}

function icon(name) {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  return into(svg, path);
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Whether a link may lead there. */
const safe = (url) => url != null && /^http/.test(URL.parse(url, document.baseURI)?.protocol);

/** So many days from now, at nine in the morning. */
const morning = (days) => new Date(new Date().setHours(24 * days + 9, 0, 0, 0));

const hue = (text) => text.charCodeAt(0) * 47 + text.length * 99;

/** Builds the element and keeps it right; its state is in this closure. Returns what the element needs of it. */
function mount(host, root) {
  const { inbox } = host;
  const labels = { ...LABELS, ...host.labels };
  const inline = host.getAttribute("mode") === "inline";
  const language = host.locale || host.closest("[lang]")?.lang || navigator.language;
  const ages = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const rows = new Map(); // id -> {node, item, visible, looked}
  let view; // the inbox of the tab that is open
  let tab; // its name among the states
  let shown = ROWS;
  let top = Infinity; // the place of the newest entry shown: fixed while the list is scrolled
  let newest = 0;
  let held = 0; // newer ones, behind the pill
  let frame;
  let ticker;
  let ticks = 0;
  let menuOf;
  let notice;
  let forget;
  let heard = [];
  let said = 0;

  const button = (name, label, picture, onclick) => el("button", name, { ariaLabel: label, title: label, onclick }, icon(picture));
  const badge = el("span", "badge", { ariaHidden: true });
  const bell = el("button", "icon bell", { ariaHasPopup: "dialog", ariaExpanded: false }, el("slot", "", { name: "bell" }, icon("all")), badge);
  const tools = button("icon", labels.archiveAll, "clear", () => tell(`${labels.archiveAll}?`, labels.archiveAll, () => view.markAll("archived")));
  const all = button("icon", labels.markAll, "check", () => view.markAll("read"));
  const tabs = el("div", "tabs", { role: "tablist", ariaLabel: labels.title, onkeydown: tabKey });
  const pill = el("button", "pill", { hidden: true, onclick: toTop });
  const feed = el("div", "list", { role: "feed", ariaLabel: labels.title, onkeydown: feedKey });
  const state = el("div");
  const end = el("div");
  const body = el("div", "body", { role: "tabpanel", onscroll: scrolled }, pill, state, feed, end);
  const strip = el("div", "notice", { hidden: true });
  const menu = el("div", "menu", { role: "menu", popover: "auto", onkeydown: menuKey, onbeforetoggle: menuToggles });
  const panel = el("div", "panel", { role: inline ? "region" : "dialog", ariaLabel: labels.title, tabIndex: -1, popover: inline ? null : "auto", onbeforetoggle: toggles, ontoggle: toggled },
    el("slot", "", { name: "header" }, el("div", "header", {}, el("h2", "", {}, labels.title), all, tools)),
    tabs, body, strip, el("slot", "", { name: "footer" }), menu);
  const status = el("div", "sr", { role: "status" });
  bell.popoverTargetElement = panel;
  const filters = ["", ...(host.getAttribute("tabs") ?? "").trim().split(/\s*,\s*/).filter(Boolean).map((category) => ({ category })),
    { status: "snoozed" }, { status: "archived" }];
  into(tabs, ...filters.map(({ category, status }, at) => {
    const label = category ?? labels[status] ?? labels.all;
    return el("button", "tab", { role: "tab", title: label, onclick: () => show(at) }, status ? icon(status) : label);
  }));
  into(root, !inline && bell, panel, status);

  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) Object.assign(rows.get(target.dataset.id) ?? {}, { visible: isIntersecting, looked: 0 });
  }, { threshold: 0.5 });
  const bottom = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && view?.loaded && atEnd(), { root: body, rootMargin: "400px" });
  bottom.observe(end);

  const on = { change: soon, arrival, error: refused };
  for (const type in on) inbox?.addEventListener(type, on[type]);
  show(0);
  if (inline) opened();
  soon();

  function unmount() {
    for (const type in on) inbox?.removeEventListener(type, on[type]);
    leave();
    closed();
  }

  // Tabs

  function leave() {
    if (view !== inbox) view?.close();
  }

  function show(at) {
    if (!inbox) return;
    leave();
    const { status } = filters[at];
    view = at ? new Inbox(inbox.socket, { ...inbox.options, ...filters[at] }) : inbox;
    if (at) for (const type of ["change", "error"]) view.addEventListener(type, on[type]);
    tab = status ?? "all";
    [...tabs.children].forEach((each, index) => {
      each.ariaSelected = index === at;
      each.tabIndex = index === at ? 0 : -1;
      if (index === at) body.ariaLabel = each.title;
    });
    all.hidden = tools.hidden = status;
    shown = ROWS;
    top = Infinity;
    body.scrollTop = 0;
    if (isOpen()) view.load();
    soon();
  }

  function tabKey(event) {
    const [forth, back] = host.matches(":dir(rtl)") ? ["Left", "Right"] : ["Right", "Left"];
    move(event, [...tabs.children], event.target, forth, back)?.click();
  }

  // Opening and closing

  function isOpen() {
    return inline || panel.matches(":popover-open");
  }

  function toggles(event) {
    if (event.newState === "open") {
      if (!fire("notify-open")) event.preventDefault();
    } else if (panel.contains(root.activeElement)) bell.focus();
  }

  function toggled({ newState }) {
    bell.ariaExpanded = newState === "open";
    if (newState !== "open") return closed();
    opened();
    panel.focus();
  }

  function opened() {
    ticker = setInterval(tick, TICK_MS);
    view?.load();
    draw();
  }

  function closed() {
    clearInterval(ticker);
  }

  function fire(name, detail) {
    return host.dispatchEvent(new CustomEvent(name, { detail, cancelable: true, bubbles: true }));
  }

  // Drawing

  function soon() {
    frame ??= requestAnimationFrame(draw);
  }

  function draw() {
    frame = null;
    const kind = host.getAttribute("badge") ?? "unseen";
    const count = inbox?.counts[kind] ?? 0;
    badge.hidden = !count;
    put(badge, count > 99 ? "99+" : String(count));
    bell.ariaLabel = labels.bell(count, kind);
    if (!isOpen()) return;
    const { items = [], loaded, hasMore, error, state: now } = view ?? {};
    if (body.scrollTop <= 0 && !menuOf) top = Infinity;
    if (top === Infinity) newest = items[0]?.place;
    held = Math.max(0, items.findIndex((item) => item.place <= top));
    drawRows(items.slice(held, held + shown), hasMore ? -1 : items.length);
    pill.hidden = !held;
    put(pill, labels.pill(held));
    const name = loaded ? (items.length ? "" : tab) : error ? "failed" : now === "offline" ? now : "loading";
    drawState(name, error?.detail);
    feed.ariaBusy = name === "loading";
    feed.hidden = !items.length;
    body.tabIndex = feed.hidden ? 0 : -1; // a panel without anything to focus is itself in the order of Tab
    const more = items.length > held + shown || hasMore;
    into(end, loaded && more && (error ? again(atEnd) : el("div", "bone")));
    drawStrip(notice || (!loaded ? [] : now === "offline" ? [labels.behind] : now === "stale" && error ? [error.detail] : []));
  }

  function drawStrip([text = "", label, act]) {
    if (strip.firstChild?.data === text) return;
    strip.hidden = !text;
    into(strip, text, label && el("button", "", { onclick: () => { tell(); panel.focus(); act(); } }, label));
  }

  function drawRows(items, size) {
    const focused = root.activeElement?.closest("article");
    const index = [...feed.children].indexOf(focused);
    const ids = new Set(items.map(({ id }) => id));
    for (const [id, { node }] of rows) {
      if (ids.has(id)) continue;
      sight.unobserve(node);
      node.remove();
      rows.delete(id);
    }
    items.forEach((item, at) => {
      const { id } = item;
      let row = rows.get(id);
      if (!row) {
        row = { node: el("article", "", { tabIndex: -1 }) };
        row.node.dataset.id = id;
        rows.set(id, row);
        sight.observe(row.node);
      }
      if (row.item !== item) fill(row, item);
      const { node } = row;
      if (feed.children[at] !== node) feed.insertBefore(node, feed.children[at] ?? null);
      node.ariaPosInSet = at + 1;
      node.ariaSetSize = size;
    });
    if (focused && !focused.isConnected) (feed.children[index] ?? feed.lastElementChild ?? panel).focus();
  }

  function fill(row, item) {
    const { node } = row;
    const { title, url, category, priority, read_at: read } = item;
    row.item = item;
    const at = new Date(item.snoozed_until ?? item.created_at);
    if (!row.time) {
      row.mark = el("span", "sr");
      row.dot = el("span", "dot");
      row.time = el("time");
      const onclick = (event) => click(event, row.item);
      const act = button("icon act", labels.menu(title), "dots");
      menuButton(act, row);
      const tile = el("span", "tile", { ariaHidden: true }, category ? [...category][0] : icon("all"));
      if (category) tile.style.setProperty("--hue", hue(category));
      into(node, row.dot, tile, el("div", "content", {},
        safe(url)
          ? el("a", "title", { href: url, onclick, onauxclick: onclick }, row.mark, title)
          : el("button", "title", { onclick }, row.mark, title),
        row.text = el("p", "text", {}, item.body),
        el("p", "foot", {}, row.time, category && el("span", "", {}, category),
          /^(high|urgent)$/.test(priority) && el("span", priority, {}, labels[priority]))), act);
    }
    if (host.renderItem) into(row.text, host.renderItem(item));
    node.className = node.part = read ? "item" : "item unread";
    row.dot.hidden = read;
    put(row.mark, read ? "" : `${labels.new}: `);
    node.ariaLabel = row.mark.textContent + title;
    row.time.dateTime = at.toISOString();
    row.time.title = at.toLocaleString(language);
    age(row);
  }

  function drawState(name, detail) {
    if (state.id === name + detail) return;
    state.id = name + detail;
    const [heading, text] = labels.states[name] ?? [];
    const all = heading && el("div", "state", {}, el("div", "disc", {}, icon(name)), el("strong", "", {}, heading),
      text ?? detail ?? "", name === "failed" && again(() => view.load()));
    into(state, name === "all" ? el("slot", "", { name: "empty" }, all) : all ?? (name && el("div", "bone")));
  }

  function again(onclick) {
    return el("button", "plain", { onclick }, labels.retry);
  }

  function age({ time }) {
    let left = (Date.parse(time.dateTime) - Date.now()) / 1000;
    if (left > 0) left += 30; // in an hour is not "in 59 minutes" a moment later
    let at = 0;
    while (Math.abs(left) >= UNITS[at][1]) left /= UNITS[at++][1];
    // Less than a minute is now: seconds that stand still look broken.
    put(time, ages.format(at && Math.trunc(left), UNITS[at][0]));
  }

  /** Seen is what was half visible for a second, in a tab that is looked at. */
  function tick() {
    ticks += 1;
    const seen = [];
    for (const row of rows.values()) {
      if (ticks % 40 === 0) age(row);
      if (document.hidden || !row.visible || row.item.seen_at) continue;
      row.looked += TICK_MS;
      if (row.looked !== SEEN_MS) continue;
      seen.push(row.item.id);
    }
    if (seen.length) view.mark("seen", seen);
  }

  // Scrolling

  function scrolled() {
    if (body.scrollTop <= 0) soon();
    else if (top === Infinity) top = newest;
  }

  function toTop({ detail }) {
    top = Infinity;
    body.scrollTop = 0;
    draw();
    if (!detail) feed.firstElementChild.focus(); // pressed by key
  }

  async function atEnd() {
    const all = held + rows.size === view.items.length;
    if (all && !view.hasMore) return;
    bottom.unobserve(end);
    shown += ROWS;
    if (all) await view.more();
    draw();
    // The end may still be in sight: observed anew, it says so again.
    if (!view.error) bottom.observe(end);
  }

  // What one does

  function click(event, item) {
    if (event.button > 1) return;
    if (!fire("notify-click", item)) event.preventDefault();
    else if (!item.read_at) view.mark("read", item.id);
  }

  /** A line at the foot of the list for a while, with something to press. */
  function tell(...line) {
    clearTimeout(forget);
    notice = line[0] && line;
    if (notice) {
      say(line[0]);
      forget = setTimeout(tell, NOTICE_MS);
    }
    soon();
  }

  function refused({ target, detail }) {
    if (isOpen() && target === view && view.state === "live") tell(detail.detail);
  }

  // Arrivals, for those who listen

  function arrival({ detail }) {
    if (!fire("notify-arrival", detail) || heard.push(detail.title) > 1) return;
    setTimeout(() => {
      say(labels.arrived(heard.length, heard[0]));
      heard = [];
      said = Date.now();
    }, Math.max(500, said + SAY_MS - Date.now()));
  }

  function say(text) {
    status.textContent = text; // also when it is the same again
  }

  function feedKey(event) {
    const article = event.target.closest("article");
    if (event.key === "Enter" && event.target === article) article.querySelector(".title").click();
    else move(event, [...feed.children], article, "Down", "Up");
  }

  // Menus

  function menuButton(button, row) {
    let was;
    button.ariaHasPopup = "menu";
    button.ariaExpanded = false;
    // A press beside a menu closes it before the click comes: the click must not open it again.
    button.onpointerdown = () => { was = menuOf === button; };
    button.onclick = () => {
      if (!was) openMenu(button, row.item);
      was = false;
    };
  }

  function openMenu(button, { id, read_at, archived_at, snoozed_until }) {
    const weekday = { weekday: "short" };
    const entries = [
      [read_at ? "unread" : "read"],
      [archived_at ? "unarchived" : "archived"],
      ...(snoozed_until ? [["unsnoozed"]] : []),
      ["hour", new Date(Date.now() + 3_600_000)],
      ["tomorrow", morning(1), weekday],
      ["week", morning(8 - (new Date().getDay() || 7)), weekday],
    ];
    into(menu, ...entries.map(([name, until, day]) => {
      const as = until ? "snoozed" : name;
      const onclick = () => {
        menu.hidePopover();
        view.mark(as, id, { until });
        if (labels[as]) tell(labels[as], labels.undo, () => inbox.mark(`un${as}`, id));
      };
      return el("button", "menu-item", { role: "menuitem", tabIndex: -1, onclick }, labels.actions[name],
        el("small", "", {}, until?.toLocaleString(language, { ...day, hour: "numeric", minute: "2-digit" })));
    }));
    menu.ariaLabel = button.ariaLabel;
    menuOf = button;
    button.ariaExpanded = true;
    menu.showPopover();
    if (top === Infinity) top = newest;
    menu.firstChild.focus();
  }

  function menuToggles({ newState }) {
    if (newState === "open" || !menuOf) return;
    menuOf.ariaExpanded = false;
    if (menu.contains(root.activeElement)) menuOf.focus();
    menuOf = null;
    soon();
  }

  function menuKey(event) {
    if (event.key === "Tab") menu.hidePopover();
    else move(event, [...menu.children], event.target, "Down", "Up");
  }

  /** Moves the focus among these, around the ends; the one that has it now. */
  function move(event, nodes, from, forth, back) {
    const at = nodes.indexOf(from);
    const to = { [forth]: at + 1, [back]: at - 1, Home: 0, End: -1 }[event.key.replace(/Arrow|Page/, "")];
    if (to === undefined) return null;
    event.preventDefault();
    const node = nodes.at(to % nodes.length);
    node.focus();
    return node;
  }

  function redraw() {
    rows.forEach(({ node }) => node.remove());
    rows.clear();
    soon();
  }

  return { draw: soon, redraw, unmount, panel };
}

export class NotifyInbox extends (globalThis.HTMLElement ?? class {}) {
  static observedAttributes = ["badge", "mode", "tabs"];

  #root;
  #screen;
  #set = {};

  static {
    for (const name of ["inbox", "labels", "locale", "renderItem"]) {
      Object.defineProperty(this.prototype, name, {
        get() { return this.#set[name]; },
        set(value) {
          if (value === this.#set[name]) return;
          this.#set[name] = value;
          if (name === "renderItem") this.#screen?.redraw();
          else this.#mount();
        },
      });
    }
  }

  /** Opens the popover, as the bell does. */
  open() { this.#screen?.panel.showPopover(); }
  close() { this.#screen?.panel.hidePopover(); }

  connectedCallback() {
    // What was set before the element was defined is a plain property, and hides the accessor.
    for (const name of Object.keys(this)) {
      if (!(name in NotifyInbox.prototype)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    this.#mount();
  }

  disconnectedCallback() {
    this.#screen?.unmount();
    this.#screen = null;
  }

  attributeChangedCallback(name) {
    if (name === "badge") this.#screen?.draw();
    else this.#mount();
  }

  #mount() {
    if (!this.isConnected) return;
    if (!sheet) {
      sheet = new CSSStyleSheet();
      sheet.replaceSync(CSS);
    }
    this.#root ??= this.attachShadow({ mode: "open" });
    this.#root.adoptedStyleSheets = [sheet];
    this.#screen?.unmount();
    this.#screen = mount(this, this.#root);
  }
}

if (globalThis.customElements && !customElements.get("notify-inbox")) customElements.define("notify-inbox", NotifyInbox);
