// The staged Worker in Pyodide as tests/edge/host.mjs runs it, and beside it, in the same Python, a Worker that answers a
// constant: what ours answers for one reference, written down. For measuring only. KV is a table in this process that
// answers after a set time.
//
//   node benchmarks/wasm.mjs serve     PORT (0: a free one), VARS (a JSON object of variables), BUNDLE (a staged folder)
//       /constant                      the constant Worker; every other path is ours
//       header x-bench-cold            an isolate with nothing in memory answers
//       POST /bench {"delay": 10}      how many ms KV takes from now on; the answer has the CPU time of this process so
//                                      far in µs, and how often KV was read: {"cpu": 1234, "reads": 5}
//   node benchmarks/wasm.mjs loops     timing loops inside Pyodide, as JSON; VARS should let the snapshot stay fresh
//   node benchmarks/wasm.mjs start     what a start costs, as JSON
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { resolve } from "node:path";
import { root, runtime } from "../tests/edge/runtime.mjs";

const { PORT = "0", VARS = "{}", BUNDLE = "build/worker_src" } = process.env;
const written = readFileSync(resolve(root, "build/seed.json"), "utf8");
const seed = JSON.parse(written);
const CONSTANT = `
from workers import Response, WorkerEntrypoint

ANSWER = (
    '{"environment":"prod","key":"user-42","snapshot":{"revision":"695c6467a89ec77d49e86be097e405a0d1bf8d09",'
    '"generation":20,"age_ms":0,"source":"kv"},"references":[{"path":"references[0]","reference":"my-prompt@prod",'
    '"component":"my-prompt","version":"v1.0.0","route":"pointer"}]}'
)

class Constant(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(ANSWER, headers={"content-type": "application/json", "cache-control": "no-store"})

Constant
`;
const FORGET = `
import worker.entry

def forget():
    worker.entry._edge = None

forget
`;

let delay = 0;
let reads = 0;
const typed = (value, type) => (type === "arrayBuffer" ? new TextEncoder().encode(value).buffer : value);
// The SDK wraps a binding only if its constructor has this name.
class KvNamespace {
  getWithMetadata(keys, options) {
    reads += 1;
    const entry = (key) => (key in seed ? { value: typed(seed[key][0], options?.type), metadata: seed[key][1] } : null);
    const found = new Map(keys.map((key) => [key, entry(key)]));
    return delay ? new Promise((done) => setTimeout(done, delay, found)) : Promise.resolve(found);
  }
}

const env = { KV: new KvNamespace(), ALLOW_ANONYMOUS: "true", ...JSON.parse(VARS) };
const booted = performance.now();
const python = await runtime(BUNDLE, env);
const boot = performance.now() - booted;
python.FS.mkdirTree("/session/measure/benchmarks");
python.FS.mount(python.FS.filesystems.NODEFS, { root: resolve(root, "benchmarks") }, "/session/measure/benchmarks");
python.runPython("sys.path.append('/session/measure')");

/** Our Worker's class, the constant's, and how either is asked. */
function load() {
  const main = python.pyimport("main");
  const constant = python.runPython(CONSTANT);
  const forget = python.runPython(FORGET);
  const wrap = python.runPython("from workers import Request; Request");
  /** The Worker's answer. What Python lent is given back at once: it would pile up until the loop is idle. */
  async function answer(worker, request) {
    const wrapped = wrap(request);
    const instance = worker({ waitUntil: (work) => void Promise.resolve(work) }, env);
    const fetch = instance.fetch;
    const response = await fetch.callRelaxed(wrapped);
    const plain = response.js_object ?? response;
    for (const lent of [fetch, instance, wrapped, response]) lent.destroy?.();
    return plain;
  }
  return { ours: main.Default, constant, forget, answer };
}

async function serve() {
  const { ours, constant, forget, answer } = load();
  const server = createServer(async (incoming, outgoing) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const body = chunks.length ? Buffer.concat(chunks) : undefined;
    if (incoming.url === "/bench") {
      ({ delay = delay } = JSON.parse(body));
      const { user, system } = process.cpuUsage();
      return outgoing.end(JSON.stringify({ cpu: user + system, reads }));
    }
    const { method, headers } = incoming;
    const request = new Request(`http://${headers.host}${incoming.url}`, { method, headers, body });
    if (headers["x-bench-cold"]) forget();
    const response = await answer(incoming.url === "/constant" ? constant : ours, request);
    const sent = Buffer.from(await response.arrayBuffer());
    outgoing.writeHead(response.status, { ...Object.fromEntries(response.headers), "content-length": sent.length });
    outgoing.end(sent);
  });
  server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
}

const BODIES = {
  one: ["/resolve", { references: ["my-prompt@prod"], key: "user-42" }],
  ten: ["/ensembles/ten-agents/resolve", { input: { user_id: 4, deep: true, items: [1, 2, 3, 4], channel: "mail" } }],
};
/** A new request, as the host makes one. */
function request(name) {
  const [path, body] = BODIES[name];
  const headers = { "content-type": "application/json", accept: "*/*", "user-agent": "benchmark" };
  return new Request(`http://bench${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

// Where the time of a request goes, step by step: each as the Worker does it, and where the Worker leaves the SDK's way,
// that way too. Medians of rounds, in microseconds.
const STEPS = `
import json, statistics, time
import lab
from pyodide.ffi import to_js
from workers import Request, Response
from benchmarks import expressions, resolve
from resolver.plan import Request as Asked, choose
from resolver.reference import parse_reference
import worker.app as app, worker.entry as entry

edge = entry._edge
asked = Request(lab.request("one"))
lent = app.Platform(entry.CloudflareStore(None, 30), lambda work: work.close())
plain = {name: app.Request("POST", path, "", {}, json.dumps(body).encode())
         for name, (path, body) in json.loads(lab.bodies).items()}
head = (("content-type", "application/json"), ("cache-control", "no-store"), ("server-timing", "total;dur=0.123"))
text = json.dumps({"text": "x" * 300}).encode()

async def handle(name):
    answer = await edge.handle(plain[name], lent)
    assert answer.status == 200, answer.body

STEPS = {
    "a request made, by the host": lambda: lab.request("one"),
    "a body made and read": lambda: entry._body(lab.request("one"), entry.Headers(asked.js_object.headers)),
    "a body made and read, the SDK's way": lambda: Request(lab.request("one")).bytes(),
    "method and URL": lambda: (asked.js_object.method, asked.js_object.url),
    "one header": lambda: entry.Headers(asked.js_object.headers).get("content-length"),
    "all headers, the SDK's way": lambda: {str(n).lower(): str(v) for n, v in asked.headers.items()},
    "the edge: one reference": lambda: handle("one"),
    "the edge: ten agents": lambda: handle("ten"),
    "a response": lambda: entry._response(app.Response(200, head, text)),
    "a response, the SDK's way": lambda: Response(text, status=200, headers=dict(head)),
    "a promise awaited": lambda: lab.promise(),
}

async def timed(step, calls=150):
    started = time.perf_counter()
    for _ in range(calls):
        found = step()
        if hasattr(found, "__await__") or hasattr(found, "then"):
            await found
    return (time.perf_counter() - started) / calls * 1e6

async def steps(rounds=15):
    times = {name: [] for name in STEPS}
    for _ in range(rounds):
        for name, step in STEPS.items():
            times[name].append(await timed(step))
    return {name: statistics.median(taken) for name, taken in times.items()}

seed = json.loads(lab.seed)
`;

async function loops() {
  const loaded = load();
  const calls = { one: [loaded.ours, "one"], ten: [loaded.ours, "ten"], constant: [loaded.constant, "one"] };
  const ask = async (name) => (await loaded.answer(calls[name][0], request(calls[name][1]))).arrayBuffer();
  await ask("one");
  python.registerJsModule("lab", {
    request,
    bodies: JSON.stringify(BODIES),
    seed: written,
    promise: async () => 1,
  });
  await python.runPythonAsync(STEPS);
  const found = { whole: {} };
  found.steps = JSON.parse(await python.runPythonAsync("json.dumps(await steps())"));
  found.resolve = JSON.parse(python.runPython("json.dumps(resolve.measure(seed, 20))"));
  found.expressions = JSON.parse(python.runPython("json.dumps(expressions.measure_ours(10))"));
  // A whole call, as the host makes it, beside the constant's: rounds in turn, a breath between them for what is lent.
  for (const name in calls) found.whole[name] = [];
  for (let round = 0; round < 30; round++) {
    for (const name in calls) {
      await new Promise((done) => setTimeout(done, 1));
      const started = performance.now();
      for (let i = 0; i < 100; i++) await ask(name);
      found.whole[name].push(((performance.now() - started) / 100) * 1000);
    }
  }
  console.log(JSON.stringify(found));
}

// How an isolate starts: what each package costs to import, in the order in which the Worker imports them, in time or, by
// a second process, in memory.
async function start() {
  const kind = process.argv[3];
  const before = python._module.HEAP8.length;
  const found = JSON.parse(python.runPython(`from benchmarks import startup; startup.traced("main", "${kind}")`));
  const heap = [before, python._module.HEAP8.length];
  console.log(JSON.stringify({ boot, heap, ...found }));
}

try {
  await { serve, loops, start }[process.argv[2]]();
} catch (error) {
  console.error(String(error?.message ?? error));
  process.exit(1);
}
if (process.argv[2] !== "serve") process.exit(0);
