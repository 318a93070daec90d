// What leaves Conductor with a question: JSON text, without credentials, and no more than the resolver reads.

/** The resolver refuses a body that is larger. */
const LARGEST_CALL = 1024 * 1024;
/** Of a value that is too large as a whole, longer texts stay behind as well. */
const LONGEST_TEXT = 1024;

const CREDENTIALS = new Set(["authorization", "cookie", "set-cookie", "x-api-key", "proxy-authorization"]);

/** What a question says besides the ensemble's name. */
export interface Call {
  input?: unknown;
  context?: { outputs: Record<string, unknown>; state?: unknown };
  [field: string]: unknown;
}

/**
 * The call as JSON text. As text it arrives as it is: an object without a prototype, as Conductor's HTTP triggers make
 * them, crosses no service binding. Of one that is too large, input and outputs are cut down; `told` hears of it.
 */
export function written(call: Call, told: (message: string) => void): string {
  const text = textOf({ ...call, input: withoutCookies(call.input) });
  if (fits(text)) return text;
  told("the input is over 1 MiB, so only its numbers, booleans and short texts were sent; conditions see no more");
  const { input, context } = call;
  const outputs = Object.entries(context?.outputs ?? {}).map(([name, output]) => [name, scalars(output)]);
  const cut = {
    ...call,
    input: scalars(withoutCookies(input)),
    context: context && { outputs: Object.fromEntries(outputs) },
  };
  return textOf(cut);
}

function textOf(call: Call): string {
  return JSON.stringify(call, (name: string, value: unknown) =>
    /headers$/i.test(name) ? withoutCredentials(value) : value,
  );
}

/** Headers as an object or as pairs, without those that say who somebody is. */
function withoutCredentials(headers: unknown): unknown {
  if (typeof headers !== "object" || headers === null) return headers;
  const kept = ([name]: [string, unknown]) => !CREDENTIALS.has(String(name).toLowerCase());
  if (Array.isArray(headers)) return headers.filter((pair) => !Array.isArray(pair) || kept(pair as [string, unknown]));
  return Object.fromEntries(Object.entries(headers).filter(kept));
}

/** The input of an HTTP trigger has the cookies a second time, by their names. */
function withoutCookies(input: unknown): unknown {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return input;
  const { cookies, _setCookies, ...rest } = input as Record<string, unknown>;
  return rest;
}

function fits(text: string): boolean {
  // A UTF-16 unit has at most three bytes of UTF-8, so most texts need not be counted.
  return text.length * 3 <= LARGEST_CALL || new TextEncoder().encode(text).length <= LARGEST_CALL;
}

/** What is small at the top of a value. */
function scalars(value: unknown): unknown {
  if (small(value)) return value;
  if (typeof value !== "object" || Array.isArray(value)) return undefined;
  return Object.fromEntries(Object.entries(value as object).filter(([, found]) => small(found)));
}

function small(value: unknown): boolean {
  return value === null || (typeof value === "string" ? value.length <= LONGEST_TEXT : typeof value !== "object");
}
