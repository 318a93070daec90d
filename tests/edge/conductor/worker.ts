// A Conductor in miniature. It decides as the real one must, and its agents only echo what they would have run.
//
//   POST /test      {"input": any JSON value} → which agents ran, on which contents; GET runs them without an input.
//                   In the query: `ensemble` (else the variable ENSEMBLE), and `environment`, `key`, `at`, `region`,
//                   which go to the resolver
//   GET  /version   the resolver's answer; in the query `environment`, `at`, `component`
//
// docs/conductor.md shows the parts between `docs:` and `docs: end`; a test holds that the two are the same.
import { bounded, given, overHttp, overRpc } from "./resolver.ts";
import type { Agent, Answer, Binding, Problem, Question, Resolution, Resolver } from "./resolver.ts";

// docs: transport
export interface Env {
  /** The service binding. */
  RESOLVER?: Binding;
  /** Set, it makes the calls HTTP; they go through the binding where there is one. */
  RESOLVER_URL?: string;
  /** The resolver's token, a secret of this Worker as well. Only HTTP wants it. */
  RESOLVER_TOKEN?: string;
  /** How long one question may take, in milliseconds; 3000 if nothing is said. */
  RESOLVER_BUDGET?: string;
  /** The ensemble that `/test` runs. */
  ENSEMBLE: string;
}

function resolverOf(env: Env): Resolver {
  const { RESOLVER: binding, RESOLVER_URL: url, RESOLVER_TOKEN: token } = env;
  if (!url && !binding) throw new Error("no resolver: bind RESOLVER as a service, or set the variable RESOLVER_URL");
  const send = binding && ((url: string, init: RequestInit) => binding.fetch(url, init));
  const resolver = url ? overHttp(url, token, send) : overRpc(binding!);
  return bounded(resolver, Number(env.RESOLVER_BUDGET ?? 3000));
}
// docs: end

// docs: run
interface Run {
  ensemble: string;
  environment: string;
  key: string;
  revision: string | null;
  ran: unknown[];
  skipped: Pick<Agent, "name" | "reason" | "needs">[];
}

/** Run an ensemble: versions and contents are those of the first answer, whatever is published meanwhile. */
async function run(resolver: Resolver, ensemble: string, question: Question): Promise<Answer<Run>> {
  const first = await resolver.resolveEnsemble(ensemble, { ...question, content: true });
  if ("problem" in first) return first;
  const pinned = first.definition.version ? `${first.ensemble}@${first.definition.version}` : first.ensemble;
  const outputs: Record<string, unknown> = {};
  const ran: unknown[] = [];
  const skipped: Run["skipped"] = [];
  let decided = new Map(first.agents.map((agent) => [agent.path, agent]));
  for (const agent of first.agents) {
    if (decided.get(agent.path)?.needs?.every((name) => Object.hasOwn(outputs, name))) {
      // What it waited for has run. Only who runs is taken from this answer.
      const next = await resolver.resolveEnsemble(pinned, { ...question, key: first.key, context: { outputs } });
      if ("problem" in next) return next;
      decided = new Map(next.agents.map((agent) => [agent.path, agent]));
    }
    const { selected, name, reason, needs } = decided.get(agent.path) ?? agent;
    if (selected) {
      ran.push((outputs[name] = execute(agent, question.input)));
    } else {
      skipped.push({ name, reason, needs });
      // One that will not run has no output, and nothing waits for it; one that is undecided may still run.
      if (selected === false) outputs[name] ??= null;
    }
  }
  const { environment, key, snapshot } = first;
  return { ensemble: first.ensemble, environment, key, revision: snapshot.revision, ran, skipped };
}
// docs: end

/** Where the real Conductor runs the agent's operation, this one says what it would have run, and on what. */
function execute(agent: Agent, input: unknown): unknown {
  const components = agent.references.map(({ component, version, route, content }) => {
    return { component, version, route, content };
  });
  return { agent: agent.name, operation: agent.operation, input, components };
}

// docs: handlers
/** The caller's mistakes keep their status; a token that the resolver refuses is this Worker's own mistake. */
function refused(problem: Problem): Response {
  const status = problem.status === 401 ? 502 : problem.status;
  const headers: Record<string, string> = { "content-type": "application/problem+json", "cache-control": "no-store" };
  if (status === 503) headers["retry-after"] = "1";
  return new Response(JSON.stringify({ ...problem, status }), { status, headers });
}

function answered(answer: Answer<object>): Response {
  return "problem" in answer ? refused(answer.problem) : Response.json(answer);
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    const query = url.searchParams;
    const said = (...names: string[]) => given(Object.fromEntries(names.map((name) => [name, query.get(name)])));
    if (request.method === "GET" && url.pathname === "/version") {
      return answered(await resolverOf(env).version(said("environment", "at"), said("component").component));
    }
    if (url.pathname === "/test" && ["GET", "POST"].includes(request.method)) {
      const question: Question = said("environment", "key", "at", "region");
      if (request.method === "POST") {
        const body: unknown = await request.json().catch(() => undefined);
        if (typeof body !== "object" || body === null || !("input" in body)) {
          return refused(problem(400, "Malformed request", 'the body is JSON, {"input": any value}'));
        }
        question.input = body.input;
      }
      return answered(await run(resolverOf(env), said("ensemble").ensemble ?? env.ENSEMBLE, question));
    }
    return refused(problem(404, "Not found", "there are GET and POST /test, and GET /version"));
  },
};
// docs: end

function problem(status: number, title: string, detail: string): Problem {
  return { type: `urn:conductor:${title.toLowerCase().replace(" ", "-")}`, title, status, detail };
}
