// How Conductor asks the resolver: over a service binding, or over HTTP. A Conductor Worker takes this file as it is.
//
// - Both ways are a `Resolver`: `overRpc` makes one of the binding, `overHttp` one of a URL.
// - A failure is a value, `{ problem }`, with the status that HTTP would have. Once `bounded`, a resolver never throws.
// - Only types that can be struck out: the file runs wherever types are stripped, and needs no package.
//
// docs/conductor.md shows the parts between `docs:` and `docs: end`; a test holds that the two are the same.

/** What a call may say; docs/http.md explains every field. */
export interface Question {
  input?: unknown;
  context?: { outputs?: Record<string, unknown>; [name: string]: unknown };
  environment?: string;
  key?: string | number;
  at?: string;
  region?: string;
  content?: boolean;
}

/** One reference of an agent, and the version that it runs. */
export interface Reference {
  path: string;
  reference: string;
  component: string;
  version: string | null;
  route: "pinned" | "pointer" | "canary" | "range" | "region" | null;
  note?: string;
  error?: string;
  content?: string;
}

/** One agent. `selected` is null while the outputs in `needs` do not exist, or until the run itself tells. */
export interface Agent {
  name: string;
  operation: string | null;
  path: string;
  selected: boolean | null;
  reason: string;
  references: Reference[];
  condition?: string;
  needs?: string[];
}

export interface Resolution {
  ensemble: string;
  definition: { version: string | null; route: string };
  environment: string;
  key: string;
  snapshot: { revision: string | null; generation: number | null; age_ms: number; source: string };
  agents: Agent[];
}

export interface Versions {
  environment: string;
  components: Record<string, string>;
  at?: string;
}

/** RFC 9457: what was wrong, where, and what exists instead. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  field?: string;
}

export type Answer<T> = T | { problem: Problem };

/** What Conductor asks. */
export interface Resolver {
  resolveEnsemble(name: string, question: Question): Promise<Answer<Resolution>>;
  version(question?: Pick<Question, "environment" | "at">, component?: string): Promise<Answer<Versions>>;
}

// docs: rpc
/** The service binding: the same calls as methods, each with its question as JSON text. */
export interface Binding {
  resolveEnsemble(name: string, question: string): Promise<Answer<Resolution>>;
  version(question: string, component?: string): Promise<Answer<Versions>>;
  fetch(url: string, init: RequestInit): Promise<Response>;
}

/** The resolver behind a service binding. As text a question arrives as it is, whatever stands in its input. */
export function overRpc(binding: Binding): Resolver {
  return {
    resolveEnsemble: (name, question) => binding.resolveEnsemble(name, JSON.stringify(question)),
    version: (question = {}, component) => binding.version(JSON.stringify(question), component),
  };
}
// docs: end

// docs: http
/** The resolver at `url`. `send` carries the requests: the network's `fetch`, or that of a service binding. */
export function overHttp(
  url: string,
  token?: string,
  send: (url: string, init: RequestInit) => Promise<Response> = (url, init) => fetch(url, init),
): Resolver {
  const call = async <T>(target: string, body?: Question): Promise<Answer<T>> => {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    const method = body === undefined ? "GET" : "POST";
    const response = await send(url.replace(/\/+$/, "") + target, { method, headers, body: JSON.stringify(body) });
    if (response.ok) return (await response.json()) as T;
    if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
      return { problem: (await response.json()) as Problem };
    }
    throw new Error(`status ${response.status} without a problem document, so not from the resolver itself`);
  };
  return {
    resolveEnsemble: (name, question) => call(`/ensembles/${encodeURIComponent(name)}/resolve`, question),
    version: (question = {}, component) => call(`/version?${new URLSearchParams(given({ ...question, component }))}`),
  };
}

/** The fields that say something. */
export function given(fields: Record<string, string | null | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter((field): field is [string, string] => field[1] != null));
}
// docs: end

// docs: bounded
/** The same resolver, whose every call ends within `ms`; one that fails or is late ends as a 503. */
export function bounded(resolver: Resolver, ms: number): Resolver {
  const within = async <T>(ask: () => Promise<Answer<T>>): Promise<Answer<T>> => {
    let timer!: ReturnType<typeof setTimeout>;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
    });
    try {
      return await Promise.race([ask(), late]);
    } catch (error) {
      const detail = `the resolver was asked, and failed: ${error instanceof Error ? error.message : error}`;
      const title = "No answer from the resolver";
      return { problem: { type: "urn:conductor:no-answer", title, status: 503, detail } };
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    resolveEnsemble: (name, question) => within(() => resolver.resolveEnsemble(name, question)),
    version: (question, component) => within(() => resolver.version(question, component)),
  };
}
// docs: end
