// The staged Worker on this machine: CPython in WebAssembly (Pyodide), the real `workers` SDK, and the KV of Cloudflare's
// own Miniflare. Development equipment; nothing of it is deployed. One process is one isolate.
//
//   node host.mjs            PORT (8788; 0: a free one), KV (a folder; none: in memory), SEED (a JSON file: key → [value,
//                            metadata], put where KV is empty), VARS (a JSON object of variables and secrets),
//                            BUNDLE (the staged folder; build/worker_src), UNBOUND (anything: no KV binding)
//
// Every request gets a `ctx` of its own, and what it hands to `waitUntil` is really awaited. Below /__host/ stand the
// levers of the tests:
//
//   POST /__host/kv          {"put": {key: [value, metadata]}, "delete": [key], "mode": …, "delay_ms": 30}; the answer
//                            counts the calls of KV so far: {"mode": "ok", "reads": 7}
//                            modes: ok; fail; stall (never answers); slow (answers after delay_ms); hold (answers
//                            when the mode is set anew)
//   POST /__host/generation  {"number": 21, "mode": …, "delay_ms": 30}: what GENERATION_URL answers, whatever it is set to;
//                            the Worker has no other network here. The answer lists what was asked since the last call:
//                            {"asked": [["https://…", {"cacheTtl": 30}]]}
//                            modes: ok; fail (500); refuse (no connection); stall; slow; nonsense; large
//   POST /__host/rpc/{name}  [arguments]: calls the method as a service binding would, with plain objects
//   GET  /__host/behind      waits until all work behind responses has ended: {"done": 3, "failed": [], "reads": 7}
//   header x-host-cf         JSON that becomes `request.cf`
//   header x-host-body       anything: the body breaks off half-way
//
// What it does not show: the limits of CPU and memory. What the Worker does at import, import.mjs watches.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { Miniflare } from "miniflare";
import { runtime } from "./runtime.mjs";

const { PORT = "8788", KV, SEED, VARS = "{}", BUNDLE = "build/worker_src", UNBOUND } = process.env;

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
let delay = 0;
let reads = 0;
let release = () => {};
let released = Promise.resolve();
/** Lets a call of KV through, sooner or later, or never. */
function turn() {
  reads += 1;
  if (mode === "fail") return Promise.reject(new Error("KV is on fire"));
  if (mode === "stall") return new Promise(() => {});
  return mode === "slow" ? after(delay) : mode === "hold" ? released : undefined;
}
// The SDK wraps a binding only if its constructor has this name.
class KvNamespace {
  constructor() {
    for (const method of ["get", "getWithMetadata", "put", "list", "delete"]) {
      this[method] = (...given) => {
        const wait = turn();
        return wait ? wait.then(() => store[method](...given)) : store[method](...given);
      };
    }
  }
}

let announced = 0;
let announcing = "ok";
let announcedAfter = 0;
let asked = [];
/** The Worker's subrequests: there is only GENERATION_URL. No cache stands before it. */
async function subrequest(url, { cf } = {}) {
  asked.push([url, cf]);
  if (announcing === "refuse") throw new TypeError("fetch failed");
  if (announcing === "stall") return new Promise(() => {});
  if (announcing === "slow") await after(announcedAfter);
  if (announcing === "fail") return new Response('{"generation": 999}', { status: 500 });
  if (announcing === "large") return new Response(`{"generation": 999, "padding": "${"x".repeat(2000)}"}`);
  return new Response(announcing === "nonsense" ? "twenty-one" : JSON.stringify({ generation: announced }));
}

const env = { ...(UNBOUND ? {} : { KV: new KvNamespace() }), ALLOW_ANONYMOUS: "true", ...JSON.parse(VARS) };
const python = await runtime(BUNDLE, env);
globalThis.fetch = subrequest;
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
    const { put = {}, delete: gone = [], mode: next, delay_ms = delay } = await request.json();
    for (const [key, [value, metadata]] of Object.entries(put)) await store.put(key, value, metadata ? { metadata } : {});
    for (const key of gone) await store.delete(key);
    delay = delay_ms;
    if (next) {
      mode = next;
      release();
      released = new Promise((done) => (release = done));
    }
    return Response.json({ mode, reads });
  }
  if (url.pathname === "/__host/generation") {
    const given = await request.json();
    ({ number: announced = announced, mode: announcing = announcing, delay_ms: announcedAfter = announcedAfter } = given);
    const told = asked;
    asked = [];
    return Response.json({ asked: told });
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

/** A body whose sender hangs up. */
function brokenOff(body) {
  const sent = [body];
  return new ReadableStream({
    pull: (to) => (sent.length ? to.enqueue(sent.pop()) : to.error(new Error("the sender has hung up"))),
  });
}

const server = createServer(async (incoming, outgoing) => {
  try {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const init = { method: incoming.method, headers: incoming.headers };
    if (chunks.length && incoming.method !== "GET" && incoming.method !== "HEAD") init.body = Buffer.concat(chunks);
    if (incoming.headers["x-host-body"]) Object.assign(init, { body: brokenOff(init.body), duplex: "half" });
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
