// The fewest lines that ask over RPC: a body is the input, the answer is what would run.
//
// docs/conductor.md shows the part between `docs:` and `docs: end`; a test holds that the two are the same.

// docs: rpc
import { overRpc } from "./resolver.ts";
import type { Binding } from "./resolver.ts";

export default {
  async fetch(request: Request, env: { RESOLVER: Binding }): Promise<Response> {
    const question = { input: await request.json(), key: "user-42", content: true };
    const answer = await overRpc(env.RESOLVER).resolveEnsemble("ab-test-historical", question);
    if ("problem" in answer) return Response.json(answer.problem, { status: answer.problem.status });
    return Response.json(answer.agents.filter((agent) => agent.selected));
  },
};
// docs: end
