// Conductor asks the resolver: in the Worker's entry, `createAutoDiscoveryAPI` comes from here.
//
// Conductor has no place for this, and makes its executors itself, wherever something is run. So it is the methods of
// its classes that are stepped before, once for each bundle; an executor whose `env` is not ours works as ever.
import { Executor, ThinkAgent } from "@ensemble-edge/conductor";
import { createAutoDiscoveryAPI as create } from "@ensemble-edge/conductor/api";
import type { AutoDiscoveryAPIConfig } from "@ensemble-edge/conductor/api";
import { readers } from "./components.js";
import type { ConductorExecutor, Env } from "./parts.js";
import { resolverOf } from "./resolver.js";
import type { Address, Binding } from "./resolver.js";
import { look, run } from "./run.js";
import type { RunLog, Shared } from "./run.js";

export type { Address, Binding, RunLog };

export interface Options {
  /** Who is asked; by default the binding `RESOLVER`, or what the variables `RESOLVER_URL` and `RESOLVER_TOKEN` say. */
  resolver?: Binding | Address | ((env: any) => Binding | Address | undefined);
  /** How long one question may take, in milliseconds; 3000 if nothing is said. */
  timeout?: number;
  /** What decides the side of a canary; by default the ensemble's `rollout.key`, and without one chance. */
  key?: (input: any, ensemble: string, auth: any) => string | number | null | undefined;
  /** By default that of the resolver's deployment. */
  environment?: string;
  /** What `@latest` means: the environment's pointer, since Conductor writes it where nothing is said, or `latest`. */
  latest?: "pointer" | "as written";
  /** Hears of every run; by default it is one line of JSON on the console. */
  onRun?: (log: RunLog) => void;
  /** Hears of what went wrong, each thing once; by default the console. */
  onWarning?: (message: string) => void;
}

/** Conductor's own `createAutoDiscoveryAPI`, with the resolver before it. */
export function createAutoDiscoveryAPI(
  config: AutoDiscoveryAPIConfig & { resolver?: Options } = {},
): ReturnType<typeof create> {
  const { resolver: options, ...own } = config;
  return before(create(own), options ?? {}, filesOf(own.ensembles ?? []));
}

/** Any Worker of Conductor's, with the resolver before it. */
export function withResolver<W extends object>(worker: W, options: Options = {}): W {
  return before(worker, options, new Map());
}

/** Marks an `env` as ours. A symbol, so that a copy of it is ours too and nobody who lists names sees it. */
const SHARED = Symbol("conductor-resolver");

function before<W extends object>(worker: W, options: Options, files: Shared["files"]): W {
  install();
  const kept = { lastGood: new Map(), lastRead: new Map(), reads: new Map() };
  const envs = new WeakMap<Env, Env>();
  const warn = once(options.onWarning ?? ((message) => console.warn(`conductor-resolver: ${message}`)));
  const envOf = (env: Env): Env => {
    const known = envs.get(env) ?? ours(env, options, { ...kept, files, warn });
    envs.set(env, known);
    return known;
  };
  return new Proxy(worker, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      if (!HANDLERS.includes(name)) return value.bind(target);
      return (event: unknown, env: Env, ...more: unknown[]) => value.call(target, event, envOf(env), ...more);
    },
  });
}

const HANDLERS: (string | symbol)[] = ["fetch", "scheduled", "queue", "email"];

function ours(env: Env, options: Options, own: Pick<Shared, "lastGood" | "lastRead" | "reads" | "files" | "warn">): Env {
  const { resolver = byName, timeout = 3000, environment, latest = "pointer" } = options;
  const source = typeof resolver === "function" ? resolver(env) : resolver;
  if (!source) {
    own.warn("there is no resolver: bind it as RESOLVER, or set RESOLVER_URL; Conductor runs as ever");
    return env;
  }
  const { key = () => undefined, onRun = logged } = options;
  const shared: Shared = { ...own, bound: env, resolver: resolverOf(source, timeout), environment, latest, key, onRun };
  // Outside of a run, as where an agent is executed by itself.
  const lookup = (component: string, selector: string) => look(shared, component, selector);
  return { ...env, ...readers(env, lookup), [SHARED]: shared } as Env;
}

function byName(env: Env): Binding | Address | undefined {
  const { RESOLVER: binding, RESOLVER_URL: url, RESOLVER_TOKEN: token } = env;
  if (binding) return binding as Binding;
  return typeof url === "string" && url ? { url, token: typeof token === "string" ? token : undefined } : undefined;
}

/** Says each thing once for the isolate, and no more than a hundred. */
function once(say: (message: string) => void): (message: string) => void {
  const said = new Set<string>();
  return (message) => {
    if (said.has(message) || said.size >= 100) return;
    said.add(message);
    say(message);
  };
}

function logged(log: RunLog): void {
  console.log(JSON.stringify({ run: log }));
}

/** The ensembles' files by the names that they give themselves. */
function filesOf(ensembles: { config?: string }[]): Shared["files"] {
  const files = new Map<string, string>();
  for (const { config } of ensembles) {
    const [, name] = (typeof config === "string" && /^name:\s*["']?([^"'\s#]+)/m.exec(config)) || [];
    if (name && config) files.set(name, config);
  }
  return files;
}

let installed = false;

/** Steps before Conductor's classes. Throws at start, so at deploy, where this Conductor has not what is relied on. */
function install(): void {
  if (installed) return;
  const executor = Executor.prototype as ConductorExecutor;
  const think = ThinkAgent.prototype as { execute(context: unknown): Promise<unknown>; thinkConfig: object };
  const wanted = {
    "Executor.executeEnsemble": executor.executeEnsemble,
    "Executor.executeStep": executor.executeStep,
    "ThinkAgent.execute": think.execute,
  };
  const missing = Object.entries(wanted).filter(([, method]) => typeof method !== "function");
  if (missing.length)
    throw new Error(`conductor-resolver fits Conductor 0.5; this one has no ${missing.map(([name]) => name)}`);
  installed = true;

  const { executeEnsemble } = executor;
  executor.executeEnsemble = function (this: ConductorExecutor, ensemble, input) {
    const shared = (this.env as { [SHARED]?: Shared })[SHARED];
    return shared ? run(shared, this, executeEnsemble, ensemble, input) : executeEnsemble.call(this, ensemble, input);
  };

  // A think agent keeps the first prompt that it has rendered, and agents outlive requests: the second user would get
  // the first one's. So each execution has an agent of its own.
  const { execute } = think;
  think.execute = function (this: typeof think, context) {
    const fresh = Object.create(Object.getPrototypeOf(this), Object.getOwnPropertyDescriptors(this));
    fresh.thinkConfig = { ...this.thinkConfig };
    return execute.call(fresh, context);
  };
}
