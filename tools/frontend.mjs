// Builds static/src into static/dist.
//
//   node tools/frontend.mjs build   write static/dist
//   node tools/frontend.mjs check   fail when static/dist differs from what the sources give
//
// The output is committed, so that running the site needs no Node.
import { build } from "esbuild";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const source = join(root, "static", "src");
const target = join(root, "static", "dist");

const entries = ["site.css", "app.js", "wallet.js", "upload.js", "demo-wallet.js"];

/** Every file under a directory, as paths relative to it, in a stable order. */
function filesUnder(directory) {
  const found = readdirSync(directory, { recursive: true }).map(String);
  return found.filter((name) => statSync(join(directory, name)).isFile()).sort();
}

/** The whole content of static/dist as a map from relative path to bytes. */
async function bundle() {
  const result = await build({
    absWorkingDir: root,
    entryPoints: entries.map((name) => join("static", "src", name)),
    outdir: target,
    write: false,
    bundle: true,
    splitting: true,
    format: "esm",
    target: ["es2022"],
    minify: true,
    legalComments: "none",
    chunkNames: "chunk-[hash]",
    logLevel: "warning",
  });
  const output = new Map(result.outputFiles.map((file) => [relative(target, file.path), Buffer.from(file.contents)]));
  for (const name of filesUnder(join(source, "img"))) {
    output.set(join("img", name), readFileSync(join(source, "img", name)));
  }
  return output;
}

function write(output) {
  rmSync(target, { recursive: true, force: true });
  for (const [name, bytes] of output) {
    mkdirSync(dirname(join(target, name)), { recursive: true });
    writeFileSync(join(target, name), bytes);
    console.log(`${String(bytes.length).padStart(8)}  static/dist/${name}`);
  }
}

function stale(output) {
  const present = new Set(filesUnder(target));
  const differing = [...output].filter(
    ([name, bytes]) => !present.delete(name) || !readFileSync(join(target, name)).equals(bytes),
  );
  return [...differing.map(([name]) => name), ...present];
}

const command = process.argv[2];
if (command === "build") {
  write(await bundle());
} else if (command === "check") {
  const names = stale(await bundle());
  if (names.length > 0) {
    console.error(`static/dist is stale: ${names.join(", ")}. Run: node tools/frontend.mjs build`);
    process.exit(1);
  }
  console.log("static/dist is up to date");
} else {
  console.error("usage: node tools/frontend.mjs build|check");
  process.exit(2);
}
