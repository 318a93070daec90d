// What the template's Vite plugins make.
declare module 'virtual:conductor-agents' {
  export const agents: { name: string; config: string; handler?: () => Promise<unknown> }[];
}
declare module 'virtual:conductor-ensembles' {
  export const ensembles: { name: string; config: string }[];
}
declare module 'virtual:conductor-docs' {
  export const docs: { name: string; content: string }[];
}
