// Conductor's readers of components ask KV; here they ask the resolver first.
//
//   EDGIT          components/prompts/extraction/v1.0.0     utils/component-resolver
//   COMPONENTS     prompts/extraction/v1.0.0                the same, where EDGIT has nothing
//   COMPONENTS     templates/components/header@latest       runtime/component-loader
//   COMPONENTS_KV  prompts/extraction/prod, components/extraction/prod     sdk/edgit
//
// Every other key, and what the resolver does not have, goes on to the binding.
import type { Env } from "./parts.js";
import type { Component } from "./resolver.js";

const BINDINGS = ["EDGIT", "COMPONENTS", "COMPONENTS_KV"];

const DIRECTORIES = "prompts|templates|queries|configs|scripts|schemas|docs|agents|ensembles";
const VERSION = "[vV]?[0-9][^/@]*|[\\^~<>=*][^/@]*";
const KEY = new RegExp(`^(?:components/(?=.)|(?=(?:${DIRECTORIES})/))(.+)[/@]((?:${VERSION}|[A-Za-z][\\w-]*))$`);

/** What a key of one of the layouts names: a component, with `prompts/` or the like before it, and its selector. */
export function componentOf(key: string): { component: string; selector: string } | undefined {
  const [, component, selector] = KEY.exec(key) ?? [];
  if (!component || !selector || new RegExp(`^(?:${DIRECTORIES})$`).test(component)) return undefined;
  return { component, selector };
}

/** Looks a component up; undefined where the resolver has none, or does not answer. */
export type Lookup = (component: string, selector: string) => Promise<Component | undefined>;

interface Namespace {
  get(key: unknown, options?: unknown): Promise<unknown>;
  getWithMetadata(key: unknown, options?: unknown): Promise<unknown>;
}

/** The namespaces that components are read from, asking `lookup` before those of `env`. */
export function readers(env: Env, lookup: Lookup): Env {
  // One that is not bound is there as well, so that no KV is needed for what the resolver has.
  const bound = BINDINGS.map((name) => env[name]).find(Boolean);
  return Object.fromEntries(
    BINDINGS.map((name) => [name, namespace((env[name] ?? bound) as Namespace | undefined, lookup)]),
  );
}

function namespace(real: Namespace | undefined, lookup: Lookup): Namespace {
  const find = async (key: unknown): Promise<Component | undefined> => {
    const named = typeof key === "string" ? componentOf(key) : undefined;
    return named && lookup(named.component, named.selector);
  };
  const own: Namespace = {
    async get(key, options) {
      const found = await find(key);
      return found ? as(options, found.content) : (real?.get(key, options) ?? null);
    },
    async getWithMetadata(key, options) {
      const found = await find(key);
      if (!found) return real?.getWithMetadata(key, options) ?? { value: null, metadata: null, cacheStatus: null };
      const { version, type } = found;
      return { value: await as(options, found.content), metadata: { version, type }, cacheStatus: null };
    },
  };
  const nothing = { list: async () => ({ keys: [], list_complete: true, cacheStatus: null }) };
  return new Proxy((real ?? nothing) as Namespace, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name as keyof Namespace];
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A content in the type that `get` was asked for. */
function as(options: unknown, content: string): unknown {
  const type = typeof options === "string" ? options : (options as { type?: string } | undefined)?.type;
  if (type === "json") return JSON.parse(content);
  if (type === "arrayBuffer") return new Response(content).arrayBuffer();
  return type === "stream" ? new Response(content).body : content;
}
