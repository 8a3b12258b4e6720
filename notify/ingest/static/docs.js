// Draws openapi.json. No library, nothing from elsewhere; text goes in as text, never as HTML.
"use strict";

const spec = {};

/** An element with attributes, classes by `class`, and children: nodes or text. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text in which `such pieces` are code and empty lines part paragraphs. */
function prose(text) {
  return (text || "").trim().split(/\n{2,}/).map((paragraph) => make("p", {}, inline(paragraph)));
}

function inline(text) {
  return text.split("`").map((piece, index) => (index % 2 ? make("code", {}, piece) : piece));
}

/** What a `$ref` stands for; the rest of the object is kept beside it. */
function resolve(object) {
  if (!object || !object.$ref) return object;
  const found = object.$ref.slice(2).split("/").reduce((at, step) => at[step.replaceAll("~1", "/").replaceAll("~0", "~")], spec.document);
  return { ...found, ...object };
}

function typeOf(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return make("a", { href: `#schema-${name}` }, name);
  }
  if (schema.type === "array") return make("span", {}, "array of ", typeOf(schema.items || {}));
  const type = [schema.type].flat().filter(Boolean).join(" or ") || "any";
  return schema.format ? `${type} (${schema.format})` : type;
}

function bounds(schema) {
  const found = [];
  const between = (least, most, what) => {
    if (most !== undefined) found.push(`${least || 0} to ${most}${what}`);
    else if (least !== undefined) found.push(`at least ${least}${what}`);
  };
  between(schema.minLength, schema.maxLength, " characters");
  between(schema.minItems, schema.maxItems, " items");
  between(schema.minimum, schema.maximum, "");
  if (schema.enum) found.push(`one of ${schema.enum.map((value) => JSON.stringify(value)).join(", ")}`);
  if (schema.const !== undefined) found.push(`only ${JSON.stringify(schema.const)}`);
  if (schema.default !== undefined) found.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.examples && !schema.enum) found.push(`e.g. ${schema.examples.map((value) => JSON.stringify(value)).join(" or ")}`);
  return found.length ? make("span", { class: "bounds" }, found.join("; ")) : null;
}

function row(name, schema, required) {
  return make(
    "tr", {},
    make("td", {}, make("code", {}, name), required ? make("span", { class: "required" }, "required") : null),
    make("td", {}, typeOf(schema)),
    make("td", {}, make("p", {}, inline(schema.description || "")), bounds(schema)),
  );
}

function table(head, rows) {
  const titles = head.map((title) => make("th", { scope: "col" }, title));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, titles)), make("tbody", {}, rows)));
}

function fields(schema) {
  const required = new Set(schema.required || []);
  // What is required comes first; the rest stays in its order.
  const names = Object.keys(schema.properties || {}).sort((one, other) => required.has(other) - required.has(one));
  return table(["Field", "Type", "Meaning"], names.map((name) => row(name, schema.properties[name], required.has(name))));
}

function example(title, value, open) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const copy = make("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Select and copy by hand"; // browsers allow it on https and localhost only
    }
  });
  return make("details", open ? { open: "" } : {}, make("summary", {}, title, copy), make("pre", {}, make("code", {}, text)));
}

function contentExamples(content, open) {
  return Object.values(content || {}).flatMap((media) => {
    const all = media.example !== undefined ? { Example: { value: media.example } } : media.examples || {};
    return Object.entries(all).map(([name, found], index) => example(`Example: ${name}`, found.value, open && index === 0));
  });
}

/** A path with an example in place of each of its names. */
function filled(path, parameters) {
  return parameters.filter((each) => each.in === "path").reduce((at, { name, schema }) => {
    const value = (schema.examples || [name])[0];
    return at.replace(`{${name}}`, () => encodeURIComponent(value));
  }, path);
}

function curl(method, path, body) {
  const lines = [
    `curl ${location.origin}${path}`,
    `  --request ${method.toUpperCase()}`,
    '  --header "Authorization: Bearer $NOTIFY_API_KEY"',
  ];
  if (body !== undefined) {
    const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
    lines.push('  --header "Content-Type: application/json"', `  --data '${quoted}'`);
  }
  return lines.join(" \\\n");
}

function response(status, found) {
  const object = resolve(found);
  const types = Object.entries(object.content || {}).map(([type, media]) => make("div", {}, make("span", { class: "muted" }, `${type}: `), typeOf(media.schema)));
  const headers = Object.keys(object.headers || {}).flatMap((name, index) => [index ? ", " : "", make("code", {}, name)]);
  return make(
    "tr", {},
    make("td", {}, make("span", { class: `status ${status < "300" ? "good" : "bad"}` }, status)),
    make("td", {}, make("p", {}, inline(object.description)), types, make("div", {}, headers)),
  );
}

function operation(method, path, found) {
  const section = make("section", {}, make("h2", { id: found.operationId }, found.summary));
  section.append(make("p", { class: "call" }, make("span", { class: "method" }, method.toUpperCase()), path));
  section.append(...prose(found.description));
  const parameters = (found.parameters || []).map(resolve);
  if (parameters.length) {
    section.append(make("h3", {}, "Headers and parameters"));
    section.append(table(["Name", "Type", "Meaning"], parameters.map((each) => row(each.name, { ...each.schema, description: each.description }, each.required))));
  }
  const content = found.requestBody && found.requestBody.content;
  if (content) {
    const media = Object.values(content)[0];
    section.append(make("h3", {}, "Body: ", typeOf(media.schema)), fields(resolve(media.schema)));
    const first = Object.values(media.examples || {})[0];
    if (first) section.append(example("As a command", curl(method, filled(path, parameters), first.value)));
    section.append(...contentExamples(content, true));
  } else {
    section.append(example("As a command", curl(method, filled(path, parameters))));
  }
  section.append(make("h3", {}, "Answers"));
  const statuses = Object.entries(found.responses).sort(([one], [other]) => one.localeCompare(other));
  section.append(table(["Status", "Meaning"], statuses.map(([status, each]) => response(status, each))));
  for (const [status, each] of statuses.filter(([status]) => status < "300")) {
    section.append(...contentExamples(resolve(each).content, false).map((item) => {
      item.querySelector("summary").prepend(make("span", { class: "status good" }, `${status} `));
      return item;
    }));
  }
  return section;
}

function errorsTable(responses) {
  const rows = Object.values(responses).map((found) => {
    const problem = Object.values(found.content)[0].example;
    return make(
      "tr", {},
      make("td", {}, make("span", { class: "status bad" }, String(problem.status))),
      make("td", {}, make("code", {}, problem.code)),
      make("td", {}, make("p", {}, inline(found.description))),
    );
  });
  return table(["Status", "code", "Meaning"], rows);
}

function draw(api) {
  const { info, paths, components } = api;
  document.title = `${info.title}: HTTP API`;
  const main = document.getElementById("main");
  const link = (id, text) => make("li", {}, make("a", { href: `#${id}` }, text));
  const calls = [];
  const sections = [];
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, found] of Object.entries(item)) {
      calls.push(link(found.operationId, found.summary));
      sections.push(operation(method, path, found));
    }
  }
  const schemas = Object.entries(components.schemas);
  main.replaceChildren(
    make("h1", {}, info.title, " HTTP API"),
    make("p", { class: "muted" }, `Version ${info.version}, OpenAPI ${api.openapi}: `, make("a", { href: "openapi.json" }, "openapi.json")),
    ...prose(info.description),
    make("h2", { id: "keys" }, "API keys"),
    ...Object.values(components.securitySchemes || {}).flatMap((scheme) => prose(scheme.description)),
    ...sections,
    make("h2", { id: "errors" }, "Errors"),
    errorsTable(components.responses || {}),
    ...schemas.flatMap(([name, schema]) => [make("h2", { id: `schema-${name}` }, name), ...prose(schema.description), fields(schema)]),
  );
  document.getElementById("nav").replaceChildren(
    make("a", { class: "brand", href: "#" }, info.title),
    make("h2", {}, "Calls"),
    make("ul", {}, calls),
    make("h2", {}, "About"),
    make("ul", {}, link("keys", "API keys"), link("errors", "Errors")),
    make("h2", {}, "Schemas"),
    make("ul", {}, schemas.map(([name]) => link(`schema-${name}`, name))),
  );
  // The page was empty when the browser looked for the fragment.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

fetch("openapi.json")
  .then((answer) => {
    if (!answer.ok) throw new Error(`openapi.json was answered with ${answer.status}`);
    return answer.json();
  })
  .then((api) => {
    spec.document = api;
    draw(api);
  })
  .catch((error) => {
    document.getElementById("state").textContent = `The description could not be shown: ${error.message}`;
  });
