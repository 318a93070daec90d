// A project's entry with everything that can be said.
import { createAutoDiscoveryAPI } from '@ensemble-edge/conductor/api'
import { withResolver } from 'conductor-resolver'
import { agents } from 'virtual:conductor-agents'
import { ensembles } from 'virtual:conductor-ensembles'

export default withResolver(createAutoDiscoveryAPI({ agents, ensembles, auth: { allowAnonymous: true } }), {
  resolver: (env) => env.SOMEWHERE,
  timeout: 5000,
  key: (input, ensemble) => `${ensemble}/${input.name}`,
  environment: 'staging',
  latest: 'as written',
  onRun: (log) => console.log(JSON.stringify({ seen: log })),
  onWarning: (message) => console.log(JSON.stringify({ warned: { message } })),
})
