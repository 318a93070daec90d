// What stands between the Worker and the outside: KV, and GENERATION_URL. Each has a lever, so that tests see what the
// Worker does when it fails, stalls or is slow. It decides nothing else: what passes is answered by Miniflare's KV.
//
//   ok       at once
//   fail     KV: 500. The URL: 500
//   stall    never
//   slow     after `delay_ms`
//   hold     when the mode is set anew
//   refuse, nonsense, large     the URL alone: no connection; no number; more than 1 KiB
import { WorkerEntrypoint } from "cloudflare:workers";

const levers = { mode: "ok", delay: 0, turn: 0, calls: 0, underway: 0 };
const announced = { number: 0, mode: "ok", delay: 0, asked: [], underway: 0 };

export default {
  /** A call of KV's binding, as the platform makes it. */
  async fetch(request, env) {
    const { mode, turn, delay } = levers;
    levers.calls += 1;
    if (mode === "fail") return new Response("KV is on fire", { status: 500 });
    if (mode === "stall") await forever();
    levers.underway += 1;
    try {
      if (mode === "slow") await scheduler.wait(delay);
      while (mode === "hold" && levers.turn === turn) await scheduler.wait(1);
      const response = await env.STORE.fetch(request);
      // Whole, so that the call has ended when it is counted as ended.
      return new Response(response.body && (await response.arrayBuffer()), response);
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

function forever() {
  return scheduler.wait(3_600_000);
}
