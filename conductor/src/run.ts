// One run of an ensemble: asked about once, run as the answer says, and asked about again where a step is still open.
import { readers } from "./components.js";
import type { ConductorExecutor, Definition, Ensemble, Env, Outputs, Result, Step } from "./parts.js";
import { Unanswered } from "./resolver.js";
import type { Agent, Component, Reference, Resolution, Resolver } from "./resolver.js";
import { written } from "./sent.js";
import type { Call } from "./sent.js";

/** What was run, for a log: with it the same can be run again. */
export interface RunLog {
  ensemble: string;
  key: string | null;
  generation: number | null;
  /** Component → version; both, where a run has two of one component. */
  versions: Record<string, string>;
  /** Who said what to run: the resolver, its last good answer, or Conductor's own file. */
  source: "resolver" | "last good" | "conductor";
}

/** What runs share: the resolver, the answers that may serve again, and what the Worker's owner has set. */
export interface Shared {
  resolver: Resolver;
  /** The Worker's bindings as they are. */
  bound: Env;
  /** Ensemble → an answer that holds for every input and key, as text: each run gets an object of its own. */
  lastGood: Map<string, { revision: string | null; text: string }>;
  /** Reference → what it was when it was read last, but for canaries. */
  lastRead: Map<string, Component>;
  /** Ensemble → the fields of the input that its conditions and key read. */
  reads: Map<string, string[]>;
  /** Ensemble → its file as it is written; Conductor's parsed form has lost fields that Conductor does not know. */
  files: Map<string, string>;
  environment?: string;
  latest: "pointer" | "as written";
  key(input: unknown, ensemble: string, auth: unknown): string | number | null | undefined;
  onRun(log: RunLog): void;
  warn(message: string): void;
}

export type Execute = ConductorExecutor["executeEnsemble"];

/** Run `ensemble` as the resolver says. It fails only where the ensemble itself fails. */
export async function run(
  shared: Shared,
  executor: ConductorExecutor,
  execute: Execute,
  ensemble: Ensemble,
  input: unknown,
): Promise<Result> {
  const run = new Run(shared, executor, ensemble, input);
  const what = await run.begin();
  try {
    return await execute.call(run.executor(), what, input);
  } finally {
    run.end();
  }
}

class Run {
  private source: RunLog["source"] = "conductor";
  private key: string | undefined;
  private generation: number | null = null;
  private readonly versions = new Map<string, Set<string>>();
  /** The agents of the last answer, by their paths. */
  private agents = new Map<string, Agent>();
  /** The definitions that are of this run alone. */
  private own: Definition[] = [];
  /** The resolver did not answer this run: it is not waited for a second time. */
  away = false;
  /** One question at a time, each with what the ones before it have decided. */
  private asking: Promise<unknown> = Promise.resolve();
  private readonly read = new Map<string, Promise<Component | undefined>>();

  constructor(
    private readonly shared: Shared,
    private readonly real: ConductorExecutor,
    private readonly ensemble: Ensemble,
    private readonly input: unknown,
  ) {}

  /** The ensemble as this run has to run it: an object that nobody else has. */
  async begin(): Promise<Ensemble> {
    const { shared, ensemble } = this;
    try {
      const key = shared.key(this.input, ensemble.name, this.real.auth);
      this.key = key === undefined || key === null ? undefined : String(key);
      const answer = await this.ask();
      this.keep(answer);
      return this.as(answer);
    } catch (error) {
      this.failed(error);
      const kept = this.away ? shared.lastGood.get(ensemble.name) : undefined;
      shared.warn(`${ensemble.name}: ${kept ? "its last good answer" : "Conductor's own file"} is run`);
      return kept ? this.as(JSON.parse(kept.text) as Resolution, "last good") : ensemble;
    }
  }

  /** An executor like the real one, for this run alone: no agent and no version outlives it. */
  executor(): ConductorExecutor {
    const own = Object.create(this.real) as ConductorExecutor;
    own.agentRegistry = new Agents(this.real.agentRegistry, this.own);
    own.env = {
      ...this.real.env,
      ...readers(this.shared.bound, (component, selector) => this.lookup(component, selector)),
    };
    own.executeStep = (step, flow, index) =>
      this.step(own, step, flow.executionContext, () => this.real.executeStep.call(own, step, flow, index));
    return own;
  }

  end(): void {
    const versions = [...this.versions].map(([component, found]) => [component, [...found].join(", ")]);
    const { source, generation, key = null } = this;
    try {
      this.shared.onRun({
        ensemble: this.ensemble.name,
        key,
        generation,
        versions: Object.fromEntries(versions),
        source,
      });
    } catch (error) {
      this.shared.warn(`onRun has failed: ${error}`);
    }
  }

  private async ask(outputs?: Outputs): Promise<Resolution> {
    const { shared, ensemble, key } = this;
    const { environment } = shared;
    const call: Call = { input: this.input, expand: true, key, environment };
    call.definition = shared.files.get(ensemble.name) ?? ensemble;
    if (outputs) {
      call.context = context(outputs);
      call.generation = this.generation ?? undefined;
    }
    const known = shared.reads.get(ensemble.name);
    const first = written(call, known);
    let answer = await shared.resolver.ensemble(ensemble.name, first.text);
    if (answer.reads) remembered(shared.reads, ensemble.name, answer.reads);
    if (!first.cut) return answer;
    // Now it is known what is read, which is seldom what is large.
    const second = written(call, answer.reads);
    if (second.text !== first.text) answer = await shared.resolver.ensemble(ensemble.name, second.text);
    if (second.cut) shared.warn(`${ensemble.name}: ${CUT}`);
    return answer;
  }

  private as(answer: Resolution, source: RunLog["source"] = "resolver"): Ensemble {
    this.source = source;
    if (source === "resolver") this.key = answer.key;
    this.generation = answer.snapshot.generation;
    this.decided(answer);
    if (answer.definition.version) this.ran({ component: answer.ensemble, version: answer.definition.version });
    for (const agent of answer.agents)
      if (agent.selected !== false) agent.references.forEach((found) => this.ran(found));
    const { expanded } = answer;
    this.own = withFunctions(expanded.agents ?? [], this.ensemble.agents ?? []);
    // An empty flow is an error to Conductor. A `switch` without cases is a step that does nothing.
    const flow = expanded.flow?.length ? expanded.flow : [{ type: "switch", value: "", cases: {} }];
    // Of Conductor's own file everything but agents and flow is here already, as Conductor has read it.
    const rest = answer.definition.version ? expanded : this.ensemble;
    return { ...rest, name: this.ensemble.name, agents: this.own, flow };
  }

  private decided(answer: Resolution): void {
    this.agents = new Map(answer.agents.map((agent) => [agent.path, agent]));
  }

  /** Keep an answer for when the resolver is away, if it is the same for every input and every key. */
  private keep(answer: Resolution): void {
    const { revision } = answer.snapshot;
    const { lastGood } = this.shared;
    const routes = [answer.definition, ...answer.agents.flatMap(({ references }) => references)];
    const always =
      routes.every(({ route }) => route !== "canary") && answer.agents.every(({ reason }) => ALWAYS.includes(reason));
    if (!always || lastGood.get(this.ensemble.name)?.revision === revision) return;
    remembered(lastGood, this.ensemble.name, { revision, text: JSON.stringify(answer) });
  }

  private ran({ component, version }: Pick<Reference, "component" | "version">): void {
    if (version === null) return;
    const found = this.versions.get(component);
    if (found) found.add(version);
    else this.versions.set(component, new Set([version]));
  }

  /** One step of an agent. What is open is decided now; one that will not run is skipped as the graph executor does. */
  private async step(
    own: ConductorExecutor,
    step: Step,
    outputs: Outputs,
    real: () => Promise<Result>,
  ): Promise<Result> {
    const name = step.id || step.name || step.agent;
    const reason = step.open === undefined ? undefined : await this.skipped(step.open, outputs);
    if (reason !== undefined) {
      outputs[name] = { output: { skipped: true, reason }, success: true };
      return { success: true, value: undefined };
    }
    const result = await real();
    // Conductor looks for the output of the step before under its agent's name, which is not its id.
    if (OF_THE_RUN.test(step.agent) && name !== step.agent) outputs[step.agent] = outputs[name];
    return result;
  }

  /** Why the open step at `path` does not run; undefined where it does. */
  private async skipped(path: string, outputs: Outputs): Promise<string | undefined> {
    const decide = async (): Promise<void> => {
      if (this.away || typeof this.agents.get(path)?.selected === "boolean") return;
      try {
        const needed = (this.agents.get(path)?.needs ?? []).map((name) => [name, null]);
        // What will not run has no output, and nothing may wait for it.
        this.decided(await this.ask({ ...Object.fromEntries(needed), ...outputs }));
      } catch (error) {
        this.failed(error);
      }
    };
    await (this.asking = this.asking.then(decide));
    const agent = this.agents.get(path);
    if (agent?.selected) return undefined;
    return agent?.selected === false ? "condition evaluated to false" : "its condition could not be decided";
  }

  private failed(error: unknown): void {
    this.away ||= !(error instanceof Unanswered) || error.away;
    this.shared.warn(`${this.ensemble.name}: ${error instanceof Error ? error.message : error}`);
  }

  /** A component that is read while the run lasts: with the run's key, and once. */
  private lookup(component: string, selector: string): Promise<Component | undefined> {
    const reference = `${component}@${selector}`;
    const found = this.read.get(reference) ?? this.find(component, selector);
    this.read.set(reference, found);
    return found;
  }

  private async find(component: string, selector: string): Promise<Component | undefined> {
    const found = await look(this.shared, component, selector, this, this.key);
    if (found) this.ran(found);
    return found;
  }
}

/**
 * A component by its selector; undefined where the resolver has none. While it is away, what was read last is taken.
 * `latest` is what Conductor puts where a reference has no version, so it is the pointer.
 */
export async function look(
  shared: Shared,
  component: string,
  selector: string,
  asker: { away: boolean } = { away: false },
  key?: string,
): Promise<Component | undefined> {
  if (selector === "latest" && shared.latest === "pointer") {
    shared.warn(LATEST);
    selector = shared.environment ?? "";
  }
  const reference = selector ? `${component}@${selector}` : component;
  try {
    if (asker.away) return shared.lastRead.get(reference);
    const found = await shared.resolver.component(reference, key);
    if (found.route !== "canary") remembered(shared.lastRead, reference, found);
    return found;
  } catch (error) {
    if (error instanceof Unanswered && error.status === 404) return undefined;
    shared.warn(`${reference}: ${error instanceof Error ? error.message : error}`);
    if (error instanceof Unanswered && !error.away) return undefined;
    asker.away = true;
    return shared.lastRead.get(reference);
  }
}

/** Keep a value by its key, and no more than a hundred. */
function remembered<T>(values: Map<string, T>, key: string, value: T): void {
  const [oldest] = values.keys();
  if (values.size >= 100 && oldest !== undefined && !values.has(key)) values.delete(oldest);
  values.set(key, value);
}

const CUT =
  "the input is over 1 MiB, so only its numbers, booleans and short texts were sent; conditions see no more";

/** The names that a run has for agents of its own: of a version, `a@v1.0.0`, and of a step, `a#flow[0]`. */
const OF_THE_RUN = /[@#]/;

/** The reasons that no input and no key has a part in. */
const ALWAYS = ["unconditional", "not in the flow", "during the run"];

const LATEST =
  "a component was asked for as @latest, which Conductor writes where a reference names no version: " +
  'the environment\'s pointer is taken. `latest: "as written"` leaves it';

/** The agents that this run may use: Conductor's, but for those that the run defines itself. */
class Agents extends Map<string, unknown> {
  private readonly own: Set<string | undefined>;

  constructor(real: Map<string, unknown>, own: Definition[]) {
    super();
    this.own = new Set();
    for (const [name, agent] of real) super.set(name, agent);
    this.own = new Set(own.map(({ name }) => name));
  }

  /** Not yet there, so that Conductor makes it: it leaves alone what is registered already. */
  override has(name: string): boolean {
    return !this.own.has(name) && super.has(name);
  }

  override set(name: string, agent: unknown): this {
    this.own?.delete(name);
    return super.set(name, agent);
  }
}

/** Definitions with the functions that Conductor's own have in `config`: JSON has none. */
function withFunctions(definitions: Definition[], own: Definition[]): Definition[] {
  return definitions.map((definition) => {
    const config = own.find(({ name }) => name === definition.name)?.config ?? {};
    const functions = Object.entries(config).filter(([, value]) => typeof value === "function");
    if (!functions.length) return definition;
    return { ...definition, config: { ...Object.fromEntries(functions), ...definition.config } };
  });
}

/** The outputs of what ran, as conditions read them. */
function context(found: Outputs): NonNullable<Call["context"]> {
  const { input, trigger, scoring, state, ...steps } = found;
  const outputs = Object.entries(steps).map(([name, step]) => [
    name,
    (step as { output?: unknown } | null)?.output ?? null,
  ]);
  return { outputs: Object.fromEntries(outputs.filter(([name]) => !OF_THE_RUN.test(String(name)))), state };
}
