// The fewest lines that ask over RPC: a body is the input, the answer is what would run.
//
// docs/conductor.md shows the part between `docs:` and `docs: end`; a test holds that the two are the same.

// docs: rpc
import type { Resolver } from "./resolver.ts";

export default {
  async fetch(request: Request, env: { RESOLVER: Resolver }): Promise<Response> {
    const input: unknown = await request.json();
    const answer = await env.RESOLVER.resolveEnsemble("ab-test-historical", { input, key: "user-42", content: true });
    if ("problem" in answer) return Response.json(answer.problem, { status: answer.problem.status });
    return Response.json(answer.agents.filter((agent) => agent.selected));
  },
};
// docs: end
