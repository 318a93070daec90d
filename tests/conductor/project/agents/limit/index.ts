export default ({ input }: { input: { amount?: number } }) => ({ ok: (input.amount ?? 0) < 100 });
