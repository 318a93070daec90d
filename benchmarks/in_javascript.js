// What `POST /resolve` does, for pointers and canaries of one environment, written in JavaScript: the map is read from KV
// once and kept as an object, the body is parsed, the draw is the same SHA-256. It has no checks of what is sent and of
// what KV holds, no ranges, regions, groups, past, health, no words for what is wrong, and no second read of KV.
import { createHash } from "node:crypto";

let known;

async function read(kv) {
  const [map, rollout] = await Promise.all([kv.getWithMetadata("component-versions"), kv.get("rollout-percentage")]);
  return { pointers: JSON.parse(map.value), percentage: parseFloat(rollout), ...map.metadata };
}

function chosen({ pointers, percentage }, text, position, key) {
  const [component, environment = "prod"] = text.split("@");
  const found = pointers[component];
  const canary = found[`${environment}-canary`];
  let version = found[environment];
  let route = "pointer";
  if (canary !== undefined) {
    const digest = createHash("sha256").update(`${component}\n${environment}\n${canary}\n${key}`).digest();
    if (digest.readBigUInt64BE() * 100n < BigInt(percentage) << 64n) [version, route] = [canary, "canary"];
  }
  return { path: `references[${position}]`, reference: text, component, version, route, type: found.$type };
}

export default {
  async fetch(request, env) {
    known ??= await read(env.KV);
    const { references, key } = await request.json();
    const answer = {
      environment: "prod",
      key,
      snapshot: { revision: known.revision, generation: known.generation, age_ms: 0, source: "kv" },
      references: references.map((text, position) => chosen(known, text, position, key)),
    };
    return Response.json(answer, { headers: { "cache-control": "no-store" } });
  },
};
