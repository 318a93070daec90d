// One isolate of the staged Worker in Pyodide, over a KV that is a table in this process: what a case takes of it.
//
//   node benchmarks/growth.mjs CASE.json     BUNDLE (build/worker_src): the folder of the staged Worker
//
// A case, its steps and what is answered for each are described in growth.py, which runs the same cases on CPython. Here
// `memory` is the size of the WebAssembly memory, which never shrinks: what it is at the end is what it was at its peak.
import { readFileSync } from "node:fs";
import { runtime } from "../tests/edge/runtime.mjs";

const { kv, steps } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const stored = new Map();
const bytes = new TextEncoder();
const keep = (entries) => {
  for (const [key, [value, metadata]] of Object.entries(entries)) {
    stored.set(key, { text: value, arrayBuffer: bytes.encode(value).buffer, metadata });
  }
};
// The SDK wraps a binding only if its constructor has this name.
class KvNamespace {
  async getWithMetadata(keys, { type = "text" } = {}) {
    await new Promise((answered) => setTimeout(answered, 1));
    const one = (key) => ({ value: stored.get(key)?.[type] ?? null, metadata: stored.get(key)?.metadata ?? null });
    return Array.isArray(keys) ? new Map(keys.map((key) => [key, one(key)])) : one(keys);
  }
}
keep(kv);

const env = { KV: new KvNamespace(), ALLOW_ANONYMOUS: "true" };
const python = await runtime(process.env.BUNDLE ?? "build/worker_src", env);
// The Worker's clock is Python's, moved on by hand.
const advance = python.runPython(`
import time
_real, _moved = time.monotonic, 0.0
time.monotonic = lambda: _real() + _moved
def advance(seconds):
    global _moved
    _moved += seconds
advance`);
const main = python.pyimport("main");
const wrap = python.runPython("from workers import Request; Request");

let behind = [];
const waitUntil = (work) => behind.push(Promise.resolve(work));
async function send([method, path, body]) {
  const init = { method, headers: { "content-type": "application/json" } };
  if (body !== null) init.body = JSON.stringify(body);
  const answer = await main.Default({ waitUntil }, env).fetch.callRelaxed(wrap(new Request(`http://edge${path}`, init)));
  const response = answer.js_object ?? answer;
  await response.arrayBuffer();
  return response.status;
}

/** Runs something, and says for how many milliseconds at most the event loop did not turn meanwhile. */
async function watched(work) {
  let [longest, last, running] = [0, performance.now(), true];
  const turn = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  await new Promise((turned) => setImmediate(turned));
  running = false;
  turn();
  return longest;
}

const results = [];
for (const { put = {}, after = 0, calls, rounds = 1 } of steps) {
  keep(put);
  advance(after);
  const taken = [];
  let status;
  const before = performance.now();
  const block = await watched(async () => {
    for (let round = 0; round < rounds; round += 1) {
      const began = performance.now();
      for (const call of calls) status = await send(call);
      taken.push(((performance.now() - began) * 1000) / calls.length);
    }
    await Promise.all(behind.splice(0));
  });
  const total = performance.now() - before;
  taken.sort((a, b) => a - b);
  results.push({ us: taken[taken.length >> 1], block, total, memory: python._module.HEAP8.length / 1024 / 1024, status });
}
console.log(JSON.stringify(results));
process.exit(0);
