// The classes that a project's entry exports for Durable Objects; nothing here uses one.
export * from "./index.ts";
export class ExecutionState {}
export class HITLState {}
