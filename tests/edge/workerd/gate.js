// What stands between the Worker and the outside: KV, and GENERATION_URL. Each has a lever, so that tests see what the
// Worker does when it fails, stalls or is slow. It decides nothing else: what passes is answered by Miniflare's KV.
//
//   ok       at once
//   fail     KV: 500. The URL: 500
//   stall    never
//   slow     after `delay_ms`
//   hold     when the mode is set anew
//   again    KV alone: what the same call was answered last in this mode, without a look at KV
//   half     KV alone: of a value that is read by itself one half, and the other never
//   refuse, nonsense, large     the URL alone: no connection; no number; more than 1 KiB
import { WorkerEntrypoint } from "cloudflare:workers";

const levers = { mode: "ok", delay: 0, turn: 0, calls: 0, underway: 0 };
const answered = new Map();
const announced = { number: 0, mode: "ok", delay: 0, asked: [], underway: 0 };

export default {
  /** A call of KV's binding, as the platform makes it. */
  async fetch(request, env, ctx) {
    const { mode, turn, delay } = levers;
    levers.calls += 1;
    if (mode === "fail") return new Response("KV is on fire", { status: 500 });
    if (mode === "stall") await forever();
    if (mode === "again") return again(request, env);
    levers.underway += 1;
    try {
      if (mode === "slow") await scheduler.wait(delay);
      while (mode === "hold" && levers.turn === turn) await scheduler.wait(1);
      const response = await env.STORE.fetch(request);
      // Whole, so that the call has ended when it is counted as ended.
      const body = response.body && (await response.arrayBuffer());
      return new Response(mode === "half" && request.method === "GET" ? half(body, ctx) : body, response);
    } finally {
      levers.underway -= 1;
    }
  },
};

/** Whatever the Worker fetches. Its only address is GENERATION_URL; no cache stands before it. */
export class Outside extends WorkerEntrypoint {
  async fetch(request) {
    const { mode, number, delay } = announced;
    announced.asked.push([request.url, request.cf]);
    if (mode === "refuse") throw new TypeError("connection refused");
    if (mode === "stall") await forever();
    if (mode === "fail") return new Response('{"generation": 999}', { status: 500 });
    if (mode === "large") return new Response(`{"generation": 999, "padding": "${"x".repeat(2000)}"}`);
    if (mode === "nonsense") return new Response("twenty-one");
    announced.underway += 1;
    try {
      if (mode === "slow") await scheduler.wait(delay);
      return Response.json({ generation: number });
    } finally {
      announced.underway -= 1;
    }
  }
}

/** The levers, for front.js. */
export class Levers extends WorkerEntrypoint {
  kv({ mode, delay_ms: delay = levers.delay }) {
    if (mode) Object.assign(levers, { mode, turn: levers.turn + 1 });
    levers.delay = delay;
    return { mode: levers.mode, calls: levers.calls, underway: levers.underway + announced.underway };
  }

  generation({ number = announced.number, mode = announced.mode, delay_ms: delay = announced.delay }) {
    const { asked } = announced;
    Object.assign(announced, { number, mode, delay, asked: [] });
    return { asked };
  }
}

async function again(request, env) {
  const call = `${request.url} ${await request.clone().text()}`;
  if (!answered.has(call)) {
    const response = await env.STORE.fetch(request);
    answered.set(call, [await response.arrayBuffer(), { status: response.status, headers: response.headers }]);
  }
  return new Response(...answered.get(call));
}

function half(body, ctx) {
  // While this Worker waits for something, the runtime does not take the other half for one that nobody will send.
  ctx.waitUntil(forever());
  const { readable, writable } = new TransformStream();
  writable.getWriter().write(new Uint8Array(body, 0, body.byteLength >> 1));
  return readable;
}

function forever() {
  return scheduler.wait(3_600_000);
}
