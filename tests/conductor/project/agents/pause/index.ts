export default async ({ input }: { input: { ms?: number } }) => {
  await new Promise((resolve) => setTimeout(resolve, input.ms ?? 0));
  return { over: true };
};
