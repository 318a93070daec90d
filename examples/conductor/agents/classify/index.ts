interface Context {
  input: { question?: string }
}

export default function classify({ input }: Context): { topic: string } {
  return { topic: /\b(invoice|refund|price)/i.test(input.question ?? '') ? 'billing' : 'other' }
}
