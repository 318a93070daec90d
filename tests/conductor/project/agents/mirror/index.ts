export default ({ input }: { input: unknown }) => ({ got: input });
