// The conditions of a corpus, by a real Conductor's graph executor and by JavaScript itself: one JSON case on a line.
//
//   node conditions.mjs FOLDER      FOLDER has Conductor's src/ and node_modules/, as real.sh makes it
//
// A case is {condition, theirs, input, state, outputs}; the answer is [what Conductor says, what JavaScript says].
import { createRequire } from "node:module";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { build } = createRequire(new URL("../edge/package.json", import.meta.url))("esbuild");
const folder = resolve(process.argv[2]);
const outfile = join(mkdtempSync(join(tmpdir(), "conditions-")), "graph.cjs");
await build({
  entryPoints: [join(folder, "src/runtime/graph-executor.ts")],
  bundle: true,
  format: "cjs",
  platform: "node",
  external: ["cloudflare:*"],
  logLevel: "silent",
  outfile,
});
const { GraphExecutor } = await import(pathToFileURL(outfile));
// Workers refuse `new Function`, and so Conductor's fallback by it is false there.
const executor = new GraphExecutor(async () => undefined);
executor.evaluateJsExpression = () => false;

for await (const line of createInterface({ input: process.stdin })) {
  const { condition, theirs, input, state, outputs } = JSON.parse(line);
  let said;
  try {
    said = executor.evaluateCondition(condition, { input, state, results: new Map(Object.entries(outputs)) });
  } catch (error) {
    said = String(error);
  }
  const agents = Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, { output }]));
  const read = new Function("input", "trigger", "state", "agents", `return ${theirs}`);
  console.log(JSON.stringify([said, Boolean(read(input, input, state, agents))]));
}
