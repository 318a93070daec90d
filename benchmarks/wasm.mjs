// The staged Worker in Pyodide as tests/edge/host.mjs runs it, and beside it, in the same Python, a Worker that answers a
// constant. For measuring only. KV is a table in this process that answers after a set time.
//
//   node benchmarks/wasm.mjs serve     PORT (0: a free one), VARS (a JSON object of variables)
//       /constant…                     the constant Worker; every other path is ours
//       POST /__bench/kv               {"delay": 10}: how many ms KV takes; the answer counts its reads so far
//       header x-bench-cold            an isolate with nothing in memory answers
//   node benchmarks/wasm.mjs run       reads a Python program from standard input, runs it inside Pyodide with the Worker
//                                      imported, and prints what it returns; `request()` and `call(name)` are there
//   node benchmarks/wasm.mjs start     what a start costs, as JSON
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { resolve } from "node:path";
import { root, runtime } from "../tests/edge/runtime.mjs";

const { PORT = "0", VARS = "{}" } = process.env;
const seed = JSON.parse(readFileSync(resolve(root, "build/seed.json"), "utf8"));
const CONSTANT = `
from workers import Response, WorkerEntrypoint

class Constant(WorkerEntrypoint):
    async def fetch(self, request):
        return Response('{"version":"v1.0.0"}', headers={"content-type": "application/json"})

Constant
`;

let delay = 0;
let reads = 0;
// The SDK wraps a binding only if its constructor has this name.
class KvNamespace {
  getWithMetadata(keys) {
    reads += 1;
    const entry = (key) => (key in seed ? { value: seed[key][0], metadata: seed[key][1] } : null);
    const found = new Map(keys.map((key) => [key, entry(key)]));
    return delay ? new Promise((done) => setTimeout(done, delay, found)) : Promise.resolve(found);
  }
}

const env = { KV: new KvNamespace(), ALLOW_ANONYMOUS: "true", ...JSON.parse(VARS) };
const python = await runtime("build/worker_src", env);

async function load() {
  const main = python.pyimport("main");
  const constant = python.runPython(CONSTANT);
  const wrap = python.runPython("from workers import Request; Request");
  const forget = python.runPython("import worker.entry\ndef forget(): worker.entry._edge = None\nforget");
  /** The Worker's answer. What Python lent is given back at once, as it would pile up until the loop is idle. */
  async function answer(worker, request) {
    const wrapped = wrap(request);
    const instance = worker({ waitUntil: (work) => void Promise.resolve(work) }, env);
    const fetch = instance.fetch;
    const response = await fetch.callRelaxed(wrapped);
    const plain = response.js_object ?? response;
    for (const lent of [fetch, instance, wrapped, response]) lent.destroy?.();
    return plain;
  }
  return { ours: main.Default, constant, answer, forget };
}

async function serve() {
  const { ours, constant, answer, forget } = await load();
  const server = createServer(async (incoming, outgoing) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const body = chunks.length ? Buffer.concat(chunks) : undefined;
    if (incoming.url === "/__bench/kv") {
      ({ delay = delay } = JSON.parse(body));
      return outgoing.end(JSON.stringify({ reads }));
    }
    const request = new Request(`http://${incoming.headers.host}${incoming.url}`, {
      method: incoming.method,
      headers: incoming.headers,
      body,
    });
    if (incoming.headers["x-bench-cold"]) forget();
    const response = await answer(incoming.url.startsWith("/constant") ? constant : ours, request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(Buffer.from(await response.arrayBuffer()));
  });
  server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
}

/** Runs a Python program inside Pyodide; it finds `request()`, `call(worker, request)` and what `load` gives. */
async function run() {
  const loaded = await load();
  const bodies = {
    one: ["/resolve", { references: ["my-prompt@prod"], key: "user-42" }],
    ten: ["/ensembles/ten-agents/resolve", { input: { user_id: 4, deep: true, items: [1, 2, 3, 4], channel: "mail" } }],
  };
  const request = (name) => {
    const [path, body] = bodies[name];
    const headers = { "content-type": "application/json", "user-agent": "bench" };
    return new Request(`http://bench${path}`, { method: "POST", body: JSON.stringify(body), headers });
  };
  python.registerJsModule("bench", { ...loaded, request, text: (name) => JSON.stringify(bodies[name][1]), env, ctx: { waitUntil() {} } });
  await loaded.answer(loaded.ours, request("ten"));
  console.log(await python.runPythonAsync(readFileSync(0, "utf8")));
}

await { serve, run }[process.argv[2]]();
