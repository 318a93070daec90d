// What of Conductor the drop-in touches, as types of its own: Conductor is a peer, and on no registry.

/** The Worker's bindings and variables. */
export type Env = Record<string, unknown>;

/** An agent's inline definition in an ensemble. */
export interface Definition {
  name?: string;
  config?: Record<string, unknown>;
  [field: string]: unknown;
}

/** A step that runs an agent. `open` is the path of one that is decided only when it is reached. */
export interface Step {
  agent: string;
  id?: string;
  name?: string;
  open?: string;
}

/** An ensemble in Conductor's parsed form. */
export interface Ensemble {
  name: string;
  agents?: Definition[];
  flow?: unknown[];
  [field: string]: unknown;
}

export type Result = { success: true; value: unknown } | { success: false; error: unknown };

/** What a run has so far, as Conductor keeps it: outputs by a step's id, name or agent, beside `input` and `state`. */
export type Outputs = Record<string, unknown>;

/** Conductor's executor, and what of it the drop-in stands before. Conductor makes one for each request. */
export interface ConductorExecutor {
  env: Env;
  auth?: unknown;
  agentRegistry: Map<string, unknown>;
  executeEnsemble(ensemble: Ensemble, input: unknown): Promise<Result>;
  executeStep(step: Step, flow: { executionContext: Outputs }, index: number): Promise<Result>;
}
