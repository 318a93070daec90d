// Bundles a Conductor project as the template's Vite plugins do: its agents, ensembles and docs are virtual modules.
//
//   node build.mjs '{"conductor": folder, "resolver": file, "entry": file, "projects": [folder], "out": file}'
//
// `conductor` is what `@ensemble-edge/conductor` stands for: Conductor's own src/, or the miniature beside this file.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, extname, join, resolve } from "node:path";

const require = createRequire(new URL("../edge/package.json", import.meta.url));
const { build } = require("esbuild");
const { parse } = require("yaml");

const { conductor, resolver, entry, projects, out } = JSON.parse(process.argv[2]);

function files(folder, extensions) {
  if (!existsSync(folder)) return [];
  const found = readdirSync(folder, { recursive: true }).filter((file) => extensions.includes(extname(file)));
  return found.sort().map((file) => join(folder, file));
}

const yamls = (kind) => projects.flatMap((project) => files(resolve(project, kind), [".yaml", ".yml"]));
/** A file's text as the template embeds it, so that what is not ASCII comes out as it does there. */
const embedded = (file) => `atob(${JSON.stringify(readFileSync(file).toString("base64"))})`;

const virtual = {
  agents() {
    const entries = yamls("agents").map((file) => {
      let declared;
      try {
        declared = parse(readFileSync(file, "utf8"))?.handler;
      } catch {
        // Conductor says what is wrong with it when it starts.
      }
      const handler = resolve(dirname(file), declared ?? "index.ts");
      const name = JSON.stringify(basename(dirname(file)));
      if (!existsSync(handler)) return `{ name: ${name}, config: ${embedded(file)} }`;
      return `{ name: ${name}, config: ${embedded(file)}, handler: () => import(${JSON.stringify(handler)}) }`;
    });
    return `export const agents = [${entries.join(",\n")}];`;
  },
  ensembles() {
    const written = yamls("ensembles").map(
      (file) => `{ name: ${JSON.stringify(basename(file, extname(file)))}, config: ${embedded(file)} }`,
    );
    const coded = projects
      .flatMap((project) => files(resolve(project, "ensembles"), [".ts"]))
      .map((file, n) => [`import instance${n} from ${JSON.stringify(file)};`, `{ name: "${basename(file, ".ts")}", instance: instance${n} }`]);
    return [...coded.map(([line]) => line), `export const ensembles = [${[...written, ...coded.map(([, at]) => at)].join(",\n")}];`].join("\n");
  },
  docs: () => "export const docs = [];",
  scripts: () => "export const scripts = []; export const scriptsMap = new Map();",
};

const first = (...candidates) => candidates.find(existsSync);
const standins = {
  name: "conductor",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^virtual:conductor-/ }, ({ path }) => ({ path, namespace: "virtual" }));
    onLoad({ filter: /.*/, namespace: "virtual" }, ({ path }) => {
      return { contents: virtual[path.replace("virtual:conductor-", "")](), resolveDir: dirname(entry), loader: "ts" };
    });
    onResolve({ filter: /^@ensemble-edge\/conductor/ }, ({ path }) => {
      const name = path.replace(/^@ensemble-edge\/conductor\/?/, "") || "index";
      return { path: first(join(conductor, `${name}.ts`), join(conductor, name, "index.ts")) };
    });
    onResolve({ filter: /^conductor-resolver$/ }, () => ({ path: resolver }));
  },
};

await build({
  entryPoints: [entry],
  outfile: out,
  bundle: true,
  format: "esm",
  target: "es2022",
  conditions: ["workerd", "worker", "browser"],
  external: ["node:*", "cloudflare:*", "mjml"],
  // Conductor's dependencies name Node's modules without `node:`.
  alias: Object.fromEntries(["fs", "path", "stream", "url", "util", "zlib", "crypto", "buffer", "events", "os", "process"].map((name) => [name, `node:${name}`])),
  loader: { ".yaml": "text", ".yml": "text" },
  nodePaths: [resolve(new URL("../edge/node_modules", import.meta.url).pathname)],
  // What is CommonJS requires Node's modules, which workerd has.
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire("/");' },
  logLevel: "error",
  plugins: [standins],
});
