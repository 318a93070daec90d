// The Worker of a project, in miniature: its agents and ensembles are made once for each isolate.
import { Executor, agentOf, parseAgent, parseEnsemble } from "./index.ts";
import type { BaseAgent, CodedEnsemble, Ensemble, Env } from "./index.ts";

export interface AutoDiscoveryAPIConfig {
  agents?: { name: string; config: string; handler?: () => Promise<unknown> }[];
  ensembles?: { name: string; config?: string; instance?: unknown }[];
  docs?: unknown[];
  auth?: unknown;
  logging?: unknown;
}

interface Project {
  agents: Map<string, BaseAgent>;
  ensembles: Map<string, Ensemble>;
}

export function createAutoDiscoveryAPI({ agents = [], ensembles = [] }: AutoDiscoveryAPIConfig = {}) {
  let project: Project | undefined;
  return {
    async fetch(request: Request, env: Env, _ctx: unknown): Promise<Response> {
      project ??= await discovered(agents, ensembles);
      const path = new URL(request.url).pathname;
      const [, kind, name = ""] = /^\/api\/v1\/execute\/(ensemble|agent)\/(.+)$/.exec(path) ?? [];
      if (kind) {
        const { input = {} } = (await request.json().catch(() => ({}))) as { input?: Record<string, unknown> };
        if (kind === "ensemble") return executed(project, project.ensembles.get(name), env, input);
        const done = await project.agents.get(name)?.execute({ input, env });
        return done?.success ? Response.json({ success: true, data: done.data }) : Response.json({ message: done?.error }, { status: 500 });
      }
      for (const ensemble of project.ensembles.values()) {
        if (!ensemble.trigger?.some((trigger) => trigger.type === "http" && trigger.path === path)) continue;
        const answer = await executed(project, ensemble, env, await inputOf(request));
        const { output, message } = (await answer.json()) as { output?: unknown; message?: string };
        return Response.json(answer.ok ? output : { error: "Ensemble execution failed", message }, { status: answer.status });
      }
      return Response.json({ error: "Not Found" }, { status: 404 });
    },
  };
}

async function discovered(
  agents: NonNullable<AutoDiscoveryAPIConfig["agents"]>,
  ensembles: NonNullable<AutoDiscoveryAPIConfig["ensembles"]>,
): Promise<Project> {
  const project: Project = { agents: new Map(), ensembles: new Map() };
  const add = (agent: BaseAgent | undefined) => agent && project.agents.set(agent.getName(), agent);
  for (const { config, handler } of agents) {
    const found = (await handler?.()) as { default?: () => unknown } | undefined;
    add(agentOf(parseAgent(config), found?.default));
  }
  for (const { config, instance } of ensembles) {
    const ensemble = config ? parseEnsemble(config) : (instance as CodedEnsemble).toConfig();
    project.ensembles.set(ensemble.name, ensemble);
  }
  return project;
}

async function executed(project: Project, ensemble: Ensemble | undefined, env: Env, input: Record<string, unknown>): Promise<Response> {
  if (!ensemble) return Response.json({ message: "Ensemble not found" }, { status: 404 });
  // Habit: the executor is made for each request, but the agents of the project are the isolate's.
  const executor = new Executor({ env });
  for (const agent of project.agents.values()) executor.registerAgent(agent);
  const result = await executor.executeEnsemble(ensemble, input);
  if (result.success) return Response.json({ success: true, output: result.value.output });
  return Response.json({ message: result.error.message }, { status: 500 });
}

/** What an HTTP trigger gives: the body, and beside it the request's parts. */
async function inputOf(request: Request): Promise<Record<string, unknown>> {
  const url = new URL(request.url);
  const body = (await request.json().catch(() => ({}))) as Record<string, unknown>;
  // Habit: some of it has no prototype, which no service binding takes.
  const query = Object.assign(Object.create(null), Object.fromEntries(url.searchParams)) as Record<string, unknown>;
  const params = Object.create(null) as Record<string, unknown>;
  // Habit: what says who somebody is stands among the headers, and the cookies a second time.
  const headers = Object.fromEntries(request.headers);
  const pairs = (request.headers.get("cookie") ?? "").split("; ").map((pair) => pair.split("="));
  const cookies = Object.fromEntries(pairs.filter(([name]) => name)) as Record<string, unknown>;
  const { method } = request;
  return { ...query, ...body, body, params, query, cookies, method, path: url.pathname, headers, url: url.href, _setCookies: [] };
}
