// Asking the resolver: over a service binding, or over HTTP. Each question ends within its time, with an answer or an
// `Unanswered`.
import type { Definition, Ensemble } from "./parts.js";

/** The service binding: the resolver's own methods, each with its call as JSON text. */
export interface Binding {
  resolveEnsemble(name: string, call: string): Promise<unknown>;
  component(reference: string, call: string): Promise<unknown>;
}

/** The resolver at a URL. `fetch` carries the requests where it is not the network's own. */
export interface Address {
  url: string;
  token?: string;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** One reference of an agent, and the version that it runs. */
export interface Reference {
  component: string;
  version: string | null;
  route: string | null;
}

/** One agent of the answer. `selected` is null while what its condition reads does not exist. */
export interface Agent {
  name: string;
  path: string;
  selected: boolean | null;
  reason: string;
  needs?: string[];
  references: Reference[];
}

/** The answer to a question about an ensemble. */
export interface Resolution {
  ensemble: string;
  definition: { version: string | null; route: string };
  key: string;
  snapshot: { revision: string | null; generation: number | null };
  agents: Agent[];
  expanded: Ensemble & { agents?: Definition[] };
  /** The fields of the input that conditions and key read; not there where they may read any. */
  reads?: string[];
}

/** The answer to a question about one component. */
export interface Component {
  component: string;
  version: string;
  route: string;
  content: string;
  type?: string;
}

/** RFC 9457: what was wrong, where, and what exists instead. */
interface Problem {
  status: number;
  title: string;
  detail: string;
}

/** Why there is no answer. `away` says that the question was not at fault: another time it may be answered. */
export class Unanswered extends Error {
  constructor(
    message: string,
    readonly away: boolean,
    readonly status?: number,
  ) {
    super(message);
  }
}

/** What the drop-in asks. Every call ends within its time, or with an `Unanswered`. */
export interface Resolver {
  ensemble(name: string, call: string): Promise<Resolution>;
  component(reference: string, key: string | undefined): Promise<Component>;
}

/** The resolver behind a binding or a URL, each of whose calls ends within `ms`. */
export function resolverOf(source: Binding | Address, ms: number): Resolver {
  // A service binding has a callable stub under every name, so only a text tells that it is none.
  const ask = "url" in source && typeof source.url === "string" ? overHttp(source) : overRpc(source as Binding);
  return {
    ensemble: (name, call) => within(ms, ask.ensemble(name, call)) as Promise<Resolution>,
    component: (reference, key) => within(ms, ask.component(reference, key)) as Promise<Component>,
  };
}

interface Asking {
  ensemble(name: string, call: string): Promise<unknown>;
  component(reference: string, key: string | undefined): Promise<unknown>;
}

function overRpc(binding: Binding): Asking {
  return {
    ensemble: async (name, call) => binding.resolveEnsemble(name, call),
    component: async (reference, key) => binding.component(reference, JSON.stringify({ key })),
  };
}

function overHttp({ url, token, fetch: send = (...request) => fetch(...request) }: Address): Asking {
  const base = url.replace(/\/+$/, "");
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const ask = async (target: string, body?: string): Promise<Response> => {
    const response = await send(base + target, { method: body === undefined ? "GET" : "POST", headers, body });
    if (response.ok) return response;
    const problem = response.headers.get("content-type")?.startsWith("application/problem+json");
    if (!problem) throw new Unanswered(`status ${response.status} without a problem document`, true);
    throw unanswered((await response.json()) as Problem);
  };
  return {
    ensemble: async (name, call) => (await ask(`/ensembles/${encodeURIComponent(name)}/resolve`, call)).json(),
    component: async (reference, key) => {
      const path = reference.split("/").map(encodeURIComponent).join("/");
      const response = await ask(`/components/${path}${key === undefined ? "" : `?key=${encodeURIComponent(key)}`}`);
      const [version, route] = ["version", "route"].map((name) => response.headers.get(`x-component-${name}`));
      return { component: reference.replace(/@.*$/, ""), version, route, content: await response.text() };
    },
  };
}

/** These say that the question was at fault; asked again it has the same answer. */
const AT_FAULT = [400, 404, 405, 413, 422];

function unanswered({ status, title, detail }: Problem): Unanswered {
  return new Unanswered(`${title}: ${detail}`, !AT_FAULT.includes(status), status);
}

async function within(ms: number, answer: Promise<unknown>): Promise<unknown> {
  let timer!: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Unanswered(`no answer within ${ms} ms`, true)), ms);
  });
  try {
    const said = (await Promise.race([answer, late])) as { problem?: Problem };
    if (said.problem) throw unanswered(said.problem);
    return said;
  } catch (error) {
    if (error instanceof Unanswered) throw error;
    throw new Unanswered(error instanceof Error ? error.message : String(error), true);
  } finally {
    clearTimeout(timer);
  }
}
