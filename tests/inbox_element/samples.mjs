// Builds the samples of client-demo/inbox/README.md, as they stand there, into build/inbox_element: by the bundler that
// Vite uses, from a package that is found by its `exports`. Wants SAMPLE_SERVICE, the address of the service.
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";

const root = fileURLToPath(new URL("../../", import.meta.url));
const out = `${root}build/inbox_element/`;
const readme = readFileSync(`${root}client-demo/inbox/README.md`, "utf8");
const service = process.env.SAMPLE_SERVICE;

function block(info) {
  const found = readme.match(new RegExp("^```\\w+ " + info + "\\n([\\s\\S]*?)^```$", "m"));
  if (!found) throw new Error(`client-demo/inbox/README.md has no block marked "${info}"`);
  return found[1];
}

const local = (code) => code
  .replace(/https:\/\/cdn\.socket\.io\/[\d.]+\//, "/vendor/")
  .replaceAll("https://notify.example.com/client/", "/client/")
  .replaceAll("https://notify.example.com", service);

const svelteFile = {
  name: "svelte",
  setup: ({ onLoad }) => onLoad({ filter: /\.svelte$/ }, ({ path }) => (
    { contents: compile(readFileSync(path, "utf8"), { filename: path, css: "injected" }).js.code })),
};
const vueFile = {
  name: "vue",
  setup: ({ onLoad }) => onLoad({ filter: /\.vue$/ }, ({ path }) => {
    const isCustomElement = (tag) => tag.startsWith("notify-");
    const { descriptor } = parse(readFileSync(path, "utf8"), { templateParseOptions: { isCustomElement } });
    const { content } = compileScript(descriptor, { id: "sample", inlineTemplate: true });
    return { contents: content, loader: "js", resolveDir: out };
  }),
};

const MOUNT = {
  react: ["react.jsx", `import { createRoot } from "react-dom/client"; import { StrictMode, createElement } from "react";
    import { Bell } from "./react.jsx";
    createRoot(document.body.appendChild(document.createElement("div"))).render(createElement(StrictMode, null, createElement(Bell)));`],
  vue: ["sample.vue", `import { createApp } from "vue"; import Bell from "./sample.vue";
    createApp(Bell).mount(document.body.appendChild(document.createElement("div")));`],
  svelte: ["sample.svelte", `import { mount } from "svelte"; import Bell from "./sample.svelte"; mount(Bell, { target: document.body });`],
};

rmSync(out, { recursive: true, force: true });
mkdirSync(`${out}node_modules`, { recursive: true });
symlinkSync(`${root}client-demo/inbox`, `${out}node_modules/notify-inbox`);

const [, markup, script] = /^([\s\S]*?)<script type="module">([\s\S]*?)<\/script>/.exec(block("plain"));
page("plain", markup);
writeFileSync(`${out}plain.js`, local(script));

for (const [name, [file, main]] of Object.entries(MOUNT)) {
  writeFileSync(out + file, local(block(name)));
  writeFileSync(`${out}${name}-main.js`, main);
  await build({
    entryPoints: [`${out}${name}-main.js`], outfile: `${out}${name}.js`, bundle: true, format: "esm", jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"', __VUE_OPTIONS_API__: "true", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
    conditions: ["browser"], plugins: [svelteFile, vueFile], logLevel: "error",
  });
  page(name, "");
}

function page(name, body) {
  writeFileSync(`${out}${name}.html`, `<!doctype html><html lang="en"><meta charset="utf-8"><title>${name}</title>` +
    `<link rel="icon" href="data:,"><script type="module" src="${name}.js"></script><body>${body}</body></html>`);
}
