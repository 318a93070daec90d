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

/** A call as it is sent; `cut` says that conditions may miss something of the input. */
export interface Sent {
  text: string;
  cut: boolean;
}

/**
 * The call as JSON text. As text it arrives as it is: an object without a prototype, as Conductor's HTTP triggers make
 * them, crosses no service binding. Of an input that is too large only what is read goes along: `reads` are those of its
 * fields, where an earlier answer has told them. What is too large then is cut down.
 */
export function written(call: Call, reads?: string[]): Sent {
  const input = withoutCookies(call.input);
  const text = textOf({ ...call, input });
  if (fits(text)) return { text, cut: false };
  const read = reads && textOf({ ...call, input: picked(input, reads) });
  if (read !== undefined && fits(read)) return { text: read, cut: false };
  const outputs = Object.entries(call.context?.outputs ?? {}).map(([name, output]) => [name, scalars(output)]);
  const context = call.context && { outputs: Object.fromEntries(outputs) };
  return { text: textOf({ ...call, input: scalars(input), context }), cut: true };
}

function picked(value: unknown, names: string[]): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => names.includes(name)));
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
