// Repeats the published rollout vectors in another language, from their description alone; exits 1 on a difference.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const vectors = JSON.parse(readFileSync(new URL("rollout.json", import.meta.url)));
let wrong = 0;
for (const { salt, key, bucket, percentage, canary } of vectors) {
  const hash = createHash("sha256").update([...salt, key].join("\n")).digest().readBigUInt64BE(0);
  // percentage × 2^64 / 100 in exact integers: the decimal's digits over a power of ten.
  const [whole, fraction = ""] = percentage.split(".");
  const digits = BigInt(whole + fraction);
  const below = hash * 100n * 10n ** BigInt(fraction.length) < digits * 2n ** 64n;
  if (String(hash) !== bucket || below !== canary) {
    console.error("differs:", JSON.stringify({ salt, key, bucket: String(hash), percentage, canary: below }));
    wrong += 1;
  }
}
console.log(`${vectors.length - wrong} of ${vectors.length} vectors repeated`);
process.exit(wrong ? 1 : 0);
