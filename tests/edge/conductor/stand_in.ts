// Stands in for the resolver's Python entrypoint (worker/entry.py), which Miniflare cannot run without Cloudflare's
// own Pyodide bundle: a Worker whose RPC methods have the same names, arguments and answers. It decides nothing. A call
// goes as JSON to the development host (tests/edge/host.mjs), which calls that method of the real Worker; `fetch` goes
// there as it is.
//
// So Conductor's RPC lines run as they will: a service binding, the platform's own RPC, and the real methods' answers.
// What it does not show: that Python's entrypoint is reached by workerd itself.
import { WorkerEntrypoint } from "cloudflare:workers";

export default class StandIn extends WorkerEntrypoint<{ HOST: string }> {
  resolveEnsemble(...args: unknown[]): Promise<unknown> {
    return this.#call("resolveEnsemble", args);
  }

  version(...args: unknown[]): Promise<unknown> {
    return this.#call("version", args);
  }

  fetch(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    return fetch(new Request(this.env.HOST + pathname + search, request));
  }

  async #call(method: string, args: unknown[]): Promise<unknown> {
    const response = await fetch(`${this.env.HOST}/__host/rpc/${method}`, {
      method: "POST",
      body: JSON.stringify(args),
    });
    if (!response.ok) throw new Error(await response.text());
    return ((await response.json()) as { result: unknown }).result;
  }
}
