// Fetches the library that shows /docs into dist/, from npm and by its hash: `node docs/reference/fetch.mjs`.
//
// Only the one file that browsers run is wanted. `npm ci` would install the hundred packages that it was built from.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const here = import.meta.dirname;
const { dependencies, integrity } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const [[name, version]] = Object.entries(dependencies);
const place = mkdtempSync(join(tmpdir(), "notify-reference-"));
try {
  execFileSync("npm", ["pack", "--silent", "--pack-destination", place, `${name}@${version}`], {
    cwd: place,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const archive = join(place, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`);
  const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
  if (found !== integrity) throw new Error(`${name}@${version} is ${found}, and not what package.json says`);
  const script = execFileSync("tar", ["-xzOf", archive, "package/dist/browser/standalone.js"], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  const whole = `/*! ${name} ${version} | MIT License | https://github.com/scalar/scalar */\n` + script
    // The source map stays behind, so nothing may ask for it; and a page that is well has nothing to say in the console.
    .replace(/\n\/\/# sourceMappingURL=\S+\s*$/, "\n")
    .replace(/typeof window<`u`&&console\.info\(`@scalar\/api-reference@[\d.]+`\);/, "");
  mkdirSync(join(here, "dist"), { recursive: true });
  const made = join(here, "dist", "scalar.js.gz");
  writeFileSync(`${made}.new`, gzipSync(whole, { level: 9 }));
  renameSync(`${made}.new`, made);
} finally {
  rmSync(place, { recursive: true, force: true });
}
