// An ensemble in TypeScript, whose agent is a function: no JSON holds it.
import { createEnsemble } from '@ensemble-edge/conductor'

const handler = ({ input }: { input: { n: number } }) => ({ handled: input.n })

export default createEnsemble({
  name: 'coded',
  agents: [{ name: 'coded-own', operation: 'code', config: { handler } }],
  steps: [
    { agent: 'coded-own', input: { n: '${input.n}' }, when: '${input.n % 2 === 1}' },
    { agent: 'mirror', input: { n: '${input.n}' }, when: '${input.n % 2 === 0}' },
  ],
})
