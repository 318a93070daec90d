// Evaluates JavaScript for test_expression_node.py: one JSON request a line, one JSON answer a line.
//
// A request is [text, input, variables, outputs]; `input` is JSON text itself, so that Node decodes it by its own rules.
// The helpers say what the language takes away from JavaScript (inherited members, exceptions) and what the filters are;
// every operator, conversion and method in them is Node's own.

import { createInterface } from "node:readline";

const isObject = (value) => typeof value === "object" && value !== null;

const helpers = {
  // of[key], for own members only.
  get(of, key) {
    if (of === null || of === undefined) return undefined;
    const name = key();
    return (isObject(of) || typeof of === "string") && Object.hasOwn(Object(of), name) ? of[name] : undefined;
  },
  // The same of an agent's output, which is its own member `output`.
  getOfAgent(of, key) {
    return key() === "output" ? of : helpers.get(of, key);
  },
  // key in of, for own members only.
  has(key, of) {
    return isObject(of) && Object.hasOwn(of, key);
  },
  // of.method(...args); undefined where there is no such method.
  call(of, method, args) {
    const known = typeof of === "string" || (Array.isArray(of) && method === "includes");
    return known ? of[method](...args()) : undefined;
  },
  // A text with values in it; an undefined one leaves its placeholder, the first of the pair, as it stands.
  text(pieces) {
    const written = ([placeholder, value]) => (value === undefined ? placeholder : String(value));
    return pieces.map((piece) => (typeof piece === "string" ? piece : written(piece))).join("");
  },
  filters: {
    uppercase: (v) => String(v).toUpperCase(),
    lowercase: (v) => String(v).toLowerCase(),
    capitalize: (v) => String(v).charAt(0).toUpperCase() + String(v).slice(1).toLowerCase(),
    trim: (v) => String(v).trim(),
    split: (v, separator = " ") => String(v).split(String(separator)),
    join: (v, separator = ", ") => (Array.isArray(v) ? v.join(separator) : undefined),
    length: (v) => (typeof v === "string" || Array.isArray(v) ? v.length : 0),
    first: (v) => (Array.isArray(v) ? v[0] : undefined),
    last: (v) => (Array.isArray(v) ? v.at(-1) : undefined),
    slice: (v, start, end) => (Array.isArray(v) ? v.slice(start, end) : []),
    reverse: (v) => (Array.isArray(v) ? v.slice().reverse() : []),
    sort: (v) => (Array.isArray(v) ? v.slice().sort() : []),
    abs: (v) => Math.abs(Number(v)),
    round: (v) => Math.round(Number(v)),
    floor: (v) => Math.floor(Number(v)),
    ceil: (v) => Math.ceil(Number(v)),
    string: (v) => String(v),
    number: (v) => Number(v),
    boolean: (v) => Boolean(v),
    keys: (v) => (isObject(v) ? Object.keys(v) : []),
    values: (v) => (isObject(v) ? Object.values(v) : []),
    default: (v, fallback) => v ?? fallback,
    json: (v) => JSON.stringify(v),
  },
};

// A value with its type: numbers as the bits of their double, undefined as a word of its own.
function tagged(value) {
  if (value === undefined) return "undefined";
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") return { text: value };
  if (typeof value === "number") {
    const bits = Buffer.alloc(8);
    bits.writeDoubleBE(Number.isNaN(value) ? NaN : value);
    return { number: bits.toString("hex") };
  }
  if (Array.isArray(value)) return value.map(tagged);
  return { object: Object.keys(value).map((key) => [key, tagged(value[key])]) };
}

function answer([text, input, variables, outputs]) {
  const scope = { input: JSON.parse(input), variables, outputs };
  try {
    const names = [...Object.keys(helpers), ...Object.keys(scope)];
    const run = new Function(...names, `"use strict"; return (${text}\n);`);
    return tagged(run(...Object.values(helpers), ...Object.values(scope)));
  } catch (error) {
    return { error: error instanceof SyntaxError ? "SyntaxError" : String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
}
