// What stands beside Conductor in the tests: a model, and a way to the resolver that listens and can be cut.
//
//   AI        Workers AI as far as Conductor asks it: the answer is the system prompt, so that one sees what was rendered
//   Resolver  the resolver's methods, handed on to EDGE; what was asked is kept
//   GET /     {"asked": [[method, …arguments]]} since the last time; ?away=throws or ?away=hangs cuts it, ?away= mends it
import { WorkerEntrypoint } from "cloudflare:workers";

export class AI extends WorkerEntrypoint {
  async run(model, { messages }) {
    return { response: messages.find(({ role }) => role === "system")?.content ?? "" };
  }
}

let asked = [];
let away = "";

export class Resolver extends WorkerEntrypoint {
  resolveEnsemble(...call) {
    return this.handed("resolveEnsemble", call);
  }

  component(...call) {
    return this.handed("component", call);
  }

  async handed(method, call) {
    asked.push([method, ...call]);
    if (away === "throws") throw new Error("cut");
    if (away === "hangs") await new Promise((resolve) => setTimeout(resolve, 60_000));
    return this.env.EDGE[method](...call);
  }
}

export default {
  async fetch(request) {
    away = new URL(request.url).searchParams.get("away") ?? away;
    const answer = Response.json({ asked });
    asked = [];
    return answer;
  },
};
