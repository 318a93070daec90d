// The staged Worker on this machine: CPython in WebAssembly (Pyodide), the real `workers` SDK, and the KV of Cloudflare's
// own Miniflare. Development equipment; nothing of it is deployed.
//
//   node host.mjs            PORT (8788; 0: a free one), KV (a folder; none: in memory), SEED (a JSON file: key → [value,
//                            metadata], put where KV is empty), VARS (a JSON object of variables and secrets)
//
// Every request gets a `ctx` of its own, and what it hands to `waitUntil` is really awaited. Below /__host/ stand the
// levers of the tests:
//
//   POST /__host/kv          {"put": {key: [value, metadata]}, "delete": [key], "mode": "ok" | "fail" | "stall"}
//   POST /__host/rpc/{name}  [arguments]: calls the method as a service binding would, with plain objects
//   GET  /__host/behind      waits until all work behind responses has ended: {"done": 3, "failed": [], "reads": 7}
//   header x-host-cf         JSON that becomes `request.cf`
//
// What it does not show: the limits of CPU and memory, and the bans on randomness and I/O at import.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { loadPyodide } from "pyodide";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { PORT = "8788", KV, SEED, VARS = "{}" } = process.env;

const miniflare = new Miniflare({
  modules: true,
  script: "export default { fetch() { return new Response() } }",
  kvNamespaces: ["KV"],
  kvPersist: KV ? resolve(KV) : false,
  compatibilityDate: "2026-07-01",
});
const store = await miniflare.getKVNamespace("KV");
if (SEED && (await store.list({ limit: 1 })).keys.length === 0) {
  for (const [key, [value, metadata]] of Object.entries(JSON.parse(readFileSync(SEED, "utf8")))) {
    await store.put(key, value, metadata ? { metadata } : {});
  }
}

let mode = "ok";
let reads = 0;
// The SDK wraps a binding only if its constructor has this name.
class KvNamespace {
  constructor() {
    for (const method of ["get", "getWithMetadata", "put", "list", "delete"]) {
      this[method] = (...given) => {
        reads += 1;
        if (mode === "fail") return Promise.reject(new Error("KV is on fire"));
        if (mode === "stall") return new Promise(() => {});
        return store[method](...given);
      };
    }
  }
}

const env = { KV: new KvNamespace(), ALLOW_ANONYMOUS: "true", ...JSON.parse(VARS) };
class WorkerEntrypoint {
  constructor(ctx, env) {
    this.ctx = ctx;
    this.env = env;
  }
}
const python = await loadPyodide({ env: { PYTHONHASHSEED: "111", HOME: "/session" } });
python.registerJsModule("_pyodide_entrypoint_helper", {
  doAnImport: async (name) => {
    throw new Error(`no module ${name} here`);
  },
  patchWaitUntil() {},
  cloudflareWorkersModule: { env, WorkerEntrypoint, waitUntil() {} },
  cloudflareSocketsModule: {},
  workerEntrypoint: WorkerEntrypoint,
});
python.registerJsModule("_cloudflare_compat_flags", {
  python_workflows_implicit_dependencies: true,
  python_request_headers_preserve_commas: true,
});
for (const [at, folder] of [["/session/metadata", "build/worker_src"], ["/session/python_modules", "python_modules"]]) {
  python.FS.mkdirTree(at);
  python.FS.mount(python.FS.filesystems.NODEFS, { root: resolve(root, folder) }, at);
}
python.runPython("import sys; sys.path[:0] = ['/session/metadata', '/session/python_modules']; sys.dont_write_bytecode = True");
const before = performance.now();
const main = python.pyimport("main");
const imported = performance.now() - before;
const wrap = python.runPython("from workers import Request; Request");

let behind = [];
let done = 0;
let failed = [];
const instance = () => {
  const waitUntil = (work) => {
    behind.push(Promise.resolve(work).then(() => (done += 1), (error) => failed.push(String(error))));
  };
  return main.Default({ waitUntil }, env);
};

async function answer(request) {
  const url = new URL(request.url);
  if (url.pathname === "/__host/kv") {
    const { put = {}, delete: gone = [], mode: next = mode } = await request.json();
    for (const [key, [value, metadata]] of Object.entries(put)) await store.put(key, value, metadata ? { metadata } : {});
    for (const key of gone) await store.delete(key);
    mode = next;
    return Response.json({ mode });
  }
  if (url.pathname === "/__host/behind") {
    const waited = behind;
    behind = [];
    await Promise.all(waited);
    return Response.json({ done, failed, reads });
  }
  if (url.pathname.startsWith("/__host/rpc/")) {
    const given = await request.json();
    const result = await instance()[url.pathname.slice(12)].callRelaxed(...given);
    return Response.json({ plain: Object.getPrototypeOf(result) === Object.prototype, result });
  }
  const response = await instance().fetch.callRelaxed(wrap(request));
  return response.js_object ?? response;
}

const server = createServer(async (incoming, outgoing) => {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const init = { method: incoming.method, headers: incoming.headers };
  if (chunks.length && incoming.method !== "GET" && incoming.method !== "HEAD") init.body = Buffer.concat(chunks);
  try {
    const request = new Request(`http://${incoming.headers.host}${incoming.url}`, init);
    if (incoming.headers["x-host-cf"]) request.cf = JSON.parse(incoming.headers["x-host-cf"]);
    const response = await answer(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(Buffer.from(await response.arrayBuffer()));
  } catch (error) {
    outgoing.writeHead(500, { "content-type": "text/plain" });
    outgoing.end(`the host failed: ${error?.stack ?? error}`);
  }
});
server.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`the Worker answers on http://127.0.0.1:${server.address().port} (import took ${imported.toFixed(0)} ms)`);
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, async () => {
    server.close();
    await miniflare.dispose();
    console.log("stopped");
    process.exit(0);
  });
}
