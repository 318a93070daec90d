// Compiles modules by the Worker's own Python, which npm's `pyodide` is. Used by bytecode.py.
//
//   node compile.mjs PYODIDE MAGIC    standard input: a JSON list of [source file, its name in the Worker, target file]
//                                     PYODIDE is its pyodide.mjs, MAGIC what its bytecode must begin with, in hexadecimal
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [pyodide, magic] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(pyodide).href);
const python = await loadPyodide();
const compiled = python.runPython(`
import importlib._bootstrap_external as bootstrap
import importlib.util

magic = importlib.util.MAGIC_NUMBER.hex()

def compiled(source, name):
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    return bootstrap._code_to_hash_pyc(code, importlib.util.source_hash(source.encode()), False)

compiled
`);
const found = python.globals.get("magic");
if (found !== magic) {
  console.error(`${pyodide} makes bytecode ${found}, and the Worker's Python reads ${magic}: is it npm's pyodide 314?`);
  process.exit(1);
}
for (const [file, name, target] of JSON.parse(readFileSync(0, "utf8"))) {
  const bytes = compiled(readFileSync(file, "utf8"), name).toJs();
  // Beside it first: another process may be looking for it.
  writeFileSync(`${target}.${process.pid}`, bytes);
  renameSync(`${target}.${process.pid}`, target);
}
process.exit(0);
