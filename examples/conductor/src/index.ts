import { createAutoDiscoveryAPI } from 'conductor-resolver'
import { ExecutionState, HITLState } from '@ensemble-edge/conductor/cloudflare'
import { agents } from 'virtual:conductor-agents'
import { docs } from 'virtual:conductor-docs'
import { ensembles } from 'virtual:conductor-ensembles'

export default createAutoDiscoveryAPI({
  agents,
  ensembles,
  docs,
  auth: { allowAnonymous: true },
})

export { ExecutionState, HITLState }
