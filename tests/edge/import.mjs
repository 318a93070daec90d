// Imports the staged Worker in WebAssembly under guard.py, watches JavaScript's side as well, and prints what was used.
//
//   node import.mjs BUNDLE   standard input: a JSON object, module → its source (none: an empty object)
//                            prints {"packages": […], "main": […], module: […]}
//
// This is the one thing that still runs in Pyodide on Node, since workerd cannot show it: there a clock at import stands
// still and says nothing, Math.random() answers, and a refusal can be swallowed. test_import.py holds that whatever workerd
// does refuse is found here too.
//
// guard.py sees what Python calls. What a C or Rust extension does inside goes through JavaScript: random numbers, clocks,
// timers, network, bindings. Of those only the clock on a file's card is the runtime's own (`FSNode`: a file was looked up).
//
// `packages` is what the platform's SDK lets through while pydantic_core is imported (`allow_bad_entropy_calls`): one
// random seed of Rust's hash maps at its import, one when its first validator is built. Both are done first, here as there;
// after them nothing may use anything.
import nodeCrypto from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { root, runtime } from "./runtime.mjs";

const [bundle = "build/worker_src"] = process.argv.slice(2);
const modules = JSON.parse(readFileSync(0, "utf8") || "{}");

let seen = [];
function watch(owner, name, what) {
  const real = owner[name];
  owner[name] = function (...given) {
    const [, , caller = ""] = new Error().stack.split("\n");
    if (!caller.includes("new FSNode")) seen.push(what);
    return real.apply(this, given);
  };
}
class KvNamespace {
  async get() {}
}
watch(KvNamespace.prototype, "get", "I/O: KV.get");

const python = await runtime(bundle, { KV: new KvNamespace() });
python.FS.mkdirTree("/session/guard");
python.FS.writeFile("/session/guard/guard.py", readFileSync(resolve(root, "tests/edge/guard.py"), "utf8"));
for (const [name, source] of Object.entries(modules)) python.FS.writeFile(`/session/guard/${name}.py`, source);
const usedBy = python.runPython(`
import importlib, json, sys
sys.path.append("/session/guard")
import guard
watch = guard.Watch(sys.path)
lambda name: json.dumps(guard.used_by(lambda: importlib.import_module(name), watch))
`);

watch(nodeCrypto, "randomFillSync", "randomness: getrandom");
watch(crypto, "getRandomValues", "randomness: crypto.getRandomValues");
watch(crypto, "randomUUID", "randomness: crypto.randomUUID");
watch(Math, "random", "randomness: Math.random");
watch(Date, "now", "clock: Date.now");
watch(performance, "now", "clock: performance.now");
watch(globalThis, "setTimeout", "clock: setTimeout");
watch(globalThis, "fetch", "I/O: fetch");
globalThis.Date = new Proxy(Date, {
  construct(real, given, target) {
    if (given.length === 0) seen.push("clock: new Date()");
    return Reflect.construct(real, given, target);
  },
});

function used(load) {
  seen = [];
  const python = load();
  return [...python, ...seen];
}
const found = {
  packages: used(() => {
    const report = JSON.parse(usedBy("pydantic_core"));
    python.runPython("import pydantic_core; pydantic_core.SchemaValidator({'type': 'any'}); None");
    return report;
  }),
};
for (const name of ["main", ...Object.keys(modules)]) found[name] = used(() => JSON.parse(usedBy(name)));
console.log(JSON.stringify(found));
process.exit(0);
