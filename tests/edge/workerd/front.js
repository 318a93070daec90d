// A Worker beside the resolver, bound to it as Conductor is: it makes RPC calls over a real service binding, for tests that
// speak HTTP to it. It also works the levers of gate.js, and fills KV.
//
//   POST /rpc/{method}   [arguments]: the call, with plain objects. ?edge= names the binding (EDGE)
//   POST /run            JavaScript, the body of an async function of `edge` (the binding) and `env`; what it gives back
//                        comes as JSON. For arguments that JSON has not: undefined, dates, cycles
//   POST /kv             {"put": {key: [value, metadata]}, "delete": [key], "get": [key], "list": prefix,
//                        "mode": …, "delay_ms": 30} → {"calls": of KV so far, "underway": now, "found": {key: …}}
//   POST /generation     {"number": 21, "mode": …, "delay_ms": 30} → {"asked": [[url, cf]]} since the last call

const answers = {
  async rpc(request, env, [method], edge) {
    const result = await edge[method](...(await request.json()));
    const plain = Object.getPrototypeOf(result) === Object.prototype;
    return { plain, result };
  },

  async run(request, env, _, edge) {
    const call = env.EVAL.newAsyncFunction(await request.text(), "run", "edge", "env");
    return { result: (await call(edge, env)) ?? null };
  },

  async kv(request, env) {
    const { put = {}, delete: gone = [], get = [], list, ...levers } = await request.json();
    const found = {};
    for (const key of get) {
      const { value, metadata } = await env.KV.getWithMetadata(key);
      found[key] = value === null ? null : [value, metadata];
    }
    for (const [key, [value, metadata]] of Object.entries(put)) {
      await env.KV.put(key, value, metadata == null ? {} : { metadata });
    }
    for (const key of gone) await env.KV.delete(key);
    let page = { list_complete: list === undefined };
    while (!page.list_complete) {
      page = await env.KV.list({ prefix: list, cursor: page.cursor });
      for (const { name, metadata = null } of page.keys) found[name] = metadata;
    }
    return { ...(await env.LEVERS.kv(levers)), found };
  },

  async generation(request, env) {
    return env.LEVERS.generation(await request.json());
  },
};

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const [name, ...rest] = url.pathname.slice(1).split("/");
    const edge = url.searchParams.get("edge") ?? "EDGE";
    try {
      return Response.json(await answers[name](request, env, rest, env[edge]));
    } catch (error) {
      return Response.json({ thrown: `${error?.name}: ${error?.message}`, stack: error?.stack }, { status: 500 });
    }
  },
};
