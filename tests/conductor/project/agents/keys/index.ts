// Reads what it is told to, as Conductor's own readers do.
interface Namespace {
  get(key: string, type?: string): Promise<unknown>;
  getWithMetadata(key: string): Promise<{ value: unknown; metadata: unknown }>;
}

interface Context {
  input: { reads: [binding: string, key: string, type?: string][] };
  env: Record<string, Namespace>;
}

export default async ({ input, env }: Context) => {
  const found = input.reads.map(async ([binding, key, type]) => {
    if (type !== "metadata") return env[binding]!.get(key, type);
    const { value, metadata } = await env[binding]!.getWithMetadata(key);
    return { value, metadata };
  });
  return { found: await Promise.all(found) };
};
