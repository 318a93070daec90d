// The parts of Conductor that are imported, for building without it. Not shipped: whoever has Conductor has its types.
declare module "@ensemble-edge/conductor" {
  export const Executor: { prototype: object };
  export const ThinkAgent: { prototype: object };
}

declare module "@ensemble-edge/conductor/api" {
  export interface AutoDiscoveryAPIConfig {
    ensembles?: { name: string; config?: string }[];
  }
  export function createAutoDiscoveryAPI(config?: AutoDiscoveryAPIConfig): object;
}
