// A Worker that calls others over RPC, as Conductor calls the resolver: one request makes many calls, one after the other,
// so that this Worker's own request counts for little.
//
//   POST /{binding}/{method}/{times}   [arguments] → what the last call answered

export default {
  async fetch(request, env) {
    const [binding, method, times] = new URL(request.url).pathname.slice(1).split("/");
    const given = await request.json();
    let answer;
    for (let call = 0; call < Number(times); call += 1) answer = await env[binding][method](...given);
    return Response.json(answer);
  },
};
