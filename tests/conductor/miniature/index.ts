// A Conductor in miniature, in own words: what of the real one the drop-in meets, with the habits that make it hard.
//
// Each habit is marked `Habit:`. tests/conductor/real.sh holds that the real one has them too: there the same scenarios
// must come to the same results.
import { parse } from "yaml";

export type Env = Record<string, unknown>;
export type Outputs = Record<string, unknown>;

export interface AgentConfig {
  name: string;
  operation: string;
  config?: Record<string, unknown>;
  prompt?: string;
}

export interface Step {
  type?: string;
  agent?: string;
  id?: string;
  name?: string;
  input?: unknown;
  condition?: unknown;
  when?: unknown;
  steps?: Step[];
  then?: Step[];
  else?: Step[];
  step?: Step;
  items?: unknown;
  value?: unknown;
  cases?: Record<string, Step[]>;
  default?: Step[];
}

export interface Ensemble {
  name: string;
  trigger?: { type: string; path?: string; methods?: string[] }[];
  agents?: AgentConfig[];
  flow?: Step[];
  output?: unknown;
}

export interface Context {
  input: Record<string, unknown>;
  env: Env;
  previousOutputs?: Outputs;
}

export type Result<T> = { success: true; value: T } | { success: false; error: { message: string } };
type Handler = (context: Context) => unknown;

/** The fields of an ensemble that Conductor knows. */
const KNOWN = ["name", "description", "trigger", "agents", "flow", "input", "output", "state", "scoring"];

/** Habit: of a file's fields those that are not known are lost, `rollout` among them. */
export function parseEnsemble(text: string): Ensemble {
  const read = parse(text) as Ensemble;
  const kept = Object.fromEntries(Object.entries(read).filter(([field]) => KNOWN.includes(field))) as unknown as Ensemble;
  kept.flow ??= kept.agents?.map(({ name }) => ({ agent: name }));
  return kept;
}

/** Habit: an agent's file has its name, operation and config; a `prompt` or `component` beside them is lost. */
export function parseAgent(text: string): AgentConfig {
  const { name, operation, config } = parse(text) as AgentConfig;
  return { name, operation, config };
}

/** An ensemble that is written in TypeScript. */
export interface CodedEnsemble {
  toConfig(): Ensemble;
}

export function createEnsemble({ steps, ...rest }: Omit<Ensemble, "flow"> & { steps: Step[] }): CodedEnsemble {
  return { toConfig: () => ({ ...rest, flow: steps }) };
}

// Expressions

/** Habit: a path ends where it cannot be read on, so that `%`, `+` and `*` and what is behind them are dropped. */
function atPath(path: string, context: Outputs): unknown {
  const names = /^[\w-]+(?:\??\.[\w-]+)*/.exec(path.trim())?.[0].split(/\??\./) ?? [];
  let value: unknown = context;
  for (const name of names) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Outputs)[name];
  }
  return value;
}

function literal(text: string, context: Outputs): unknown {
  if (/^(["']).*\1$/.test(text)) return text.slice(1, -1);
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (text === "true" || text === "false") return text === "true";
  return text === "null" ? null : expression(text, context);
}

function expression(text: string, context: Outputs): unknown {
  const [, left, operator, right] = /^(.+?)\s*(===|!==|>|<)\s*(.+)$/.exec(text) ?? [];
  if (!left || !operator || !right) return atPath(text, context);
  const [a, b] = [literal(left.trim(), context), literal(right.trim(), context)] as [number, number];
  return { "===": a === b, "!==": a !== b, ">": a > b, "<": a < b }[operator];
}

export function interpolated(template: unknown, context: Outputs): unknown {
  if (Array.isArray(template)) return template.map((item) => interpolated(item, context));
  if (typeof template === "object" && template !== null) {
    return Object.fromEntries(Object.entries(template).map(([name, value]) => [name, interpolated(value, context)]));
  }
  if (typeof template !== "string") return template;
  const whole = /^\$\{([^}]*)\}$/.exec(template);
  if (whole) return expression(whole[1]!.trim(), context);
  return template.replace(/\$\{([^}]*)\}/g, (written, path: string) => String(expression(path.trim(), context) ?? written));
}

// Agents

export abstract class BaseAgent {
  constructor(protected config: AgentConfig) {}

  getName(): string {
    return this.config.name;
  }

  async execute(context: Context): Promise<{ success: boolean; data?: unknown; error?: string }> {
    try {
      return { success: true, data: await this.run(context) };
    } catch (error) {
      return { success: false, error: (error as Error).message };
    }
  }

  protected abstract run(context: Context): Promise<unknown>;
}

export class FunctionAgent extends BaseAgent {
  constructor(
    config: AgentConfig,
    private handler: Handler,
  ) {
    super(config);
  }

  protected async run(context: Context): Promise<unknown> {
    return this.handler(context);
  }
}

interface Namespace {
  get(key: string, type?: string): Promise<string | null>;
}

interface Model {
  run(model: string, asked: { messages: { role: string; content: string }[] }): Promise<{ response: string }>;
}

export class ThinkAgent extends BaseAgent {
  private thinkConfig: { model?: string; provider?: string; systemPrompt?: string; prompt?: string };

  constructor(config: AgentConfig) {
    super(config);
    this.thinkConfig = { ...config.config };
  }

  protected async run({ input, env }: Context): Promise<unknown> {
    const config = this.thinkConfig;
    if (!config.systemPrompt && config.prompt) config.systemPrompt = await promptOf(config.prompt, env);
    // Habit: the rendered prompt is kept where the template was, so that the next user gets this one's text.
    config.systemPrompt = config.systemPrompt?.replace(/\{\{(\s*[\w.]+\s*)\}\}/g, (_, path: string) => {
      return String(atPath(path, { input }) ?? "");
    });
    // Habit: a model of Workers AI's own is not known by its name; the provider has to be named.
    if (config.provider !== "workers-ai") throw new Error(`Unknown AI provider: ${config.provider ?? "cloudflare"}`);
    const messages = [{ role: "user", content: JSON.stringify(input) }];
    if (config.systemPrompt) messages.unshift({ role: "system", content: config.systemPrompt });
    const { response } = await (env.AI as Model).run(config.model ?? "", { messages });
    return { content: response };
  }
}

async function promptOf(reference: string, env: Env): Promise<string> {
  if (reference.includes("\n") || !/^[\w-]+\/[\w/-]+(@[\w.-]+)?$/.test(reference)) return reference;
  // Habit: a reference without a version is one to the newest.
  const [path, version = "latest"] = reference.split("@");
  const found =
    (await (env.EDGIT as Namespace | undefined)?.get(`components/${path}/${version}`)) ||
    (await (env.COMPONENTS as Namespace | undefined)?.get(`${path}/${version}`));
  if (found) return found;
  throw new Error(`Failed to resolve prompt "${reference}": Component not found: ${path}@${version}`);
}

/** `operation: html`: a layout by its URI, from a loader that keeps what it has read. */
export class HtmlAgent extends BaseAgent {
  protected async run({ input, env }: Context): Promise<unknown> {
    const uri = String((this.config.config?.template as Record<string, unknown> | undefined)?.inline ?? "");
    const partial = /^\{\{> template:\/\/([\w/-]+)(?:@([\w.-]+))? *\}\}$/.exec(uri);
    if (!partial) return { html: uri };
    const loader = new ComponentLoader(env.COMPONENTS as Namespace);
    const text = await loader.load(`templates/${partial[1]}@${partial[2] ?? "latest"}`);
    return { html: text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => String(input[name] ?? "")) };
  }
}

/** Habit: what was read is kept for an hour, whether it was a version or a pointer. One loader lasts for one execution. */
class ComponentLoader {
  private kept = new Map<string, { text: string; until: number }>();

  constructor(private kv: Namespace) {}

  async load(key: string): Promise<string> {
    const kept = this.kept.get(key);
    if (kept && kept.until > Date.now()) return kept.text;
    const text = await this.kv.get(key, "text");
    if (!text) throw new Error(`Component not found: ${key}`);
    this.kept.set(key, { text, until: Date.now() + 3600_000 });
    return text;
  }
}

export function agentOf(config: AgentConfig, handler?: Handler): BaseAgent | undefined {
  if (config.operation === "think") return new ThinkAgent(config);
  if (config.operation === "html") return new HtmlAgent(config);
  const own = handler ?? (config.config?.handler as Handler | undefined);
  return own && new FunctionAgent(config, own);
}

const BUILT_IN: Record<string, Handler> = {
  hitl: () => {
    throw new Error('Suspend action requires "approvalData" in input');
  },
};

// Running

export class Executor {
  protected env: Env;
  protected agentRegistry = new Map<string, BaseAgent>();

  constructor({ env }: { env: Env; ctx?: unknown }) {
    this.env = env;
  }

  registerAgent(agent: BaseAgent): void {
    this.agentRegistry.set(agent.getName(), agent);
  }

  async executeEnsemble(ensemble: Ensemble, input: Record<string, unknown>): Promise<Result<{ output: unknown }>> {
    for (const agent of ensemble.agents ?? []) this.registerInline(agent);
    const executionContext: Outputs = { input, trigger: input, state: {}, scoring: {} };
    const flow = ensemble.flow ?? [];
    if (!flow.length) return failure(`Ensemble "${ensemble.name}" has no flow steps defined`);
    // Habit: a flow of nothing but agents runs from first to last, and their conditions are not looked at.
    const graph = flow.some((step) => step.type);
    const result = graph ? await this.graph(ensemble, executionContext) : await this.line(ensemble, executionContext);
    if (!result.success) return result;
    const output = ensemble.output ? interpolated(ensemble.output, executionContext) : result.value;
    return { success: true, value: { output } };
  }

  /** Habit: an agent that is registered already is left as it is, whatever the ensemble says of it. */
  private registerInline(config: AgentConfig): void {
    if (this.agentRegistry.has(config.name)) return;
    // Habit: a `prompt` beside the config is the text itself.
    const prompted = config.operation === "think" && config.prompt && !config.config?.systemPrompt;
    const own = prompted ? { ...config, config: { ...config.config, systemPrompt: config.prompt } } : config;
    const agent = agentOf(own);
    if (agent) this.agentRegistry.set(config.name, agent);
  }

  private async line(ensemble: Ensemble, outputs: Outputs): Promise<Result<unknown>> {
    const flow = ensemble.flow!;
    const around = { ensemble, executionContext: outputs };
    for (const [index, step] of flow.entries()) {
      const done = await this.executeStep(step, around, index);
      if (!done.success) return done;
    }
    return { success: true, value: outputOf(outputs, flow.at(-1)!.agent!) };
  }

  async executeStep(step: Step, around: { ensemble: Ensemble; executionContext: Outputs }, index: number): Promise<Result<void>> {
    const { ensemble, executionContext } = around;
    const before = index > 0 ? ensemble.flow![index - 1] : undefined;
    // Habit: without an input a step gets the output of the step before, looked for by its agent and not by its id.
    const input = step.input
      ? interpolated(step.input, executionContext)
      : before?.agent
        ? (outputOf(executionContext, before.agent) ?? {})
        : executionContext.input;
    const agent = this.resolveAgent(step.agent!);
    if (!agent) return failure(`Agent not found: ${step.agent}`);
    const context = { input: input as Record<string, unknown>, env: this.env, previousOutputs: executionContext };
    const response = await agent.execute(context);
    if (!response.success) return failure(`Agent "${step.agent}" execution failed: ${response.error}`);
    // Habit: the output stands under the step's id, else its name, else its agent.
    executionContext[step.id || step.name || step.agent!] = { output: response.data, success: true };
    return { success: true, value: undefined };
  }

  private resolveAgent(reference: string): BaseAgent | undefined {
    const [name, version] = reference.split("@") as [string, string?];
    // Habit: a built-in agent goes before one of the same name that a user has.
    if (!version && BUILT_IN[name]) return new FunctionAgent({ name, operation: "code" }, BUILT_IN[name]);
    // Habit: of an agent with a version there is only the one that is registered.
    return this.agentRegistry.get(reference) ?? this.agentRegistry.get(name);
  }

  private async graph(ensemble: Ensemble, outputs: Outputs): Promise<Result<unknown>> {
    const flow = ensemble.flow!;
    const results: Outputs = {};
    const within = { ensemble, executionContext: outputs };
    const step = async (at: Step, more: Outputs): Promise<unknown> => {
      const seen = () => ({ ...outputs, ...Object.fromEntries(Object.entries(results).map(([k, v]) => [k, { output: v }])), ...more });
      const each = async (steps: Step[] = []) => {
        const all: unknown[] = [];
        for (const inner of steps) all.push(await step(inner, more));
        return all;
      };
      if (at.agent) {
        const condition = at.when ?? at.condition;
        if (condition !== undefined && !interpolated(condition, seen())) {
          return { skipped: true, reason: "condition evaluated to false" };
        }
        const given = { ...at, input: at.input && interpolated(at.input, seen()) };
        const index = flow.findIndex((other) => other.agent && (other.id === at.id || other.agent === at.agent));
        const done = await this.executeStep(given, within, Math.max(index, 0));
        if (!done.success) throw new Error(done.error.message);
        return outputOf(outputs, at.id || at.agent);
      }
      if (at.type === "parallel") return Promise.all((at.steps ?? []).map((inner) => step(inner, more)));
      if (at.type === "branch") return each(interpolated(at.condition, seen()) ? at.then : at.else);
      if (at.type === "switch") {
        const chosen = at.cases?.[String(interpolated(at.value, seen()))] ?? at.default;
        return chosen ? each(chosen) : null;
      }
      if (at.type !== "foreach") throw new Error(`the miniature has no ${at.type}`);
      const items = interpolated(at.items, seen()) as unknown[];
      return Promise.all(items.map((item, index) => step(at.step!, { ...more, item, index })));
    };
    try {
      for (const [index, at] of flow.entries()) {
        const key = at.agent ? at.id || at.agent : `${at.type}_${index}`;
        results[key] = await step(at, {});
        outputs[key] = { output: results[key], success: true };
      }
    } catch (error) {
      return failure(`graph-execution: ${(error as Error).message}`);
    }
    return { success: true, value: Object.values(results).at(-1) ?? null };
  }
}

function outputOf(outputs: Outputs, name: string): unknown {
  return (outputs[name] as { output?: unknown } | undefined)?.output;
}

function failure(message: string): { success: false; error: { message: string } } {
  return { success: false, error: { message } };
}
