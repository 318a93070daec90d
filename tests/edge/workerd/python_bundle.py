"""What workerd downloads when a Worker is in Python, made here from npm's `pyodide`: its slot for development.

workerd holds all its JavaScript for Python itself. It lacks three files of Pyodide: the interpreter in WebAssembly, the
script around it, and the standard library. They come as one Cap'n Proto message, and in the script some functions are
exchanged for workerd's own, which a Worker is permitted to call. Which ones, says workerd's build, in its public
repository (src/pyodide/helpers.bzl). Each must be found as often as it was when this was written: another Pyodide may
need others.

A Worker takes the bundle that lies in the slot where it has the flag `python_workers_development`.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import capnp

HERE = Path(__file__).parent
PYODIDE = HERE.parent / "node_modules" / "pyodide"
#: The version that workerd takes for the compatibility date in wrangler.toml. test_workerd.py holds the two together.
VERSION = "314.0.6"
#: The name of the file that workerd looks for.
SLOT = "pyodide_dev.capnp.bin"

_THROWS = '(()=>{throw new Error("there is no eval in a Worker")})()'
_IMPORTED = (
    "addEventListener",
    "getRandomValues",
    "location",
    "monotonicDateNow",
    "newWasmModule",
    "patchedApplyFunc",
    "patchedLoadLibData",
    "patched_PyEM_CountFuncParams",
    "wasmInstantiate",
)
_LOAD = "function loadLibData(){"
#: What is exchanged in the script, how often it must be found, and for what.
EXCHANGED: tuple[tuple[str, int, str], ...] = (
    ("new WebAssembly.Module", 4, "newWasmModule"),
    ("WebAssembly.instantiate", 3, "wasmInstantiate"),
    ("Date.now", 22, "monotonicDateNow"),
    ("crypto.getRandomValues(", 1, "getRandomValues(Module,"),
    ("eval(func)", 2, _THROWS),
    ("eval(data)", 1, _THROWS),
    ("eval(UTF8ToString(ptr))", 3, _THROWS),
    (
        _LOAD,
        1,
        f"{_LOAD}const found=patchedLoadLibData(Module,libName,flags.rpath);"
        f"return flags.loadAsync?Promise.resolve(found):found}}function unused(){{",
    ),
    # Where a library lies must be the same after the memory was restored.
    ("getMemory(", 1, "Module.getMemoryPatched(Module,libName,"),
    (
        "export default _createPyodideModule;",
        1,
        f'import{{{",".join(_IMPORTED)}}}from"pyodide-internal:builtin_wrappers";'
        "export{_createPyodideModule,_createPyodideModule as default};",
    ),
)


def exchanged(script: str) -> str:
    """Pyodide's script with workerd's own functions. Raises `SystemExit` where one is not found as expected."""
    for wanted, times, instead in EXCHANGED:
        found = script.count(wanted)
        if found != times:
            raise SystemExit(
                f"pyodide.asm.mjs has `{wanted}` {found} times, and {times} were expected: is this Pyodide {VERSION}? "
                "EXCHANGED in tests/edge/workerd/python_bundle.py says what workerd's own build exchanges."
            )
        script = script.replace(wanted, instead)
    return script


def build(folder: Path) -> Path:
    """The file in the slot, in this folder; made only where it is not there yet."""
    target = folder / SLOT
    stamp = folder / f"{SLOT}.made-from"
    found = json.loads((PYODIDE / "package.json").read_text("utf-8"))["version"]
    if found != VERSION:
        raise SystemExit(f"{PYODIDE} is Pyodide {found}, and {VERSION} is wanted: tests/edge/package.json")
    made_from = f"{found} {sha256(Path(__file__).read_bytes()).hexdigest()}"
    if target.is_file() and stamp.is_file() and stamp.read_text("utf-8") == made_from:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    schema = capnp.load(str(HERE / "bundle.capnp"))
    script = exchanged((PYODIDE / "pyodide.asm.mjs").read_text("utf-8"))
    contents: list[tuple[str, str, bytes]] = [
        ("pyodide.asm", "src", script.encode()),
        ("pyodide.asm.wasm", "wasm", (PYODIDE / "pyodide.asm.wasm").read_bytes()),
        ("python_stdlib.zip", "data", (PYODIDE / "python_stdlib.zip").read_bytes()),
    ]
    message = schema.Bundle.new_message()
    modules = message.init("modules", len(contents))
    for module, (name, kind, content) in zip(modules, contents, strict=True):
        module.name = f"pyodideRuntime-internal:{name}"
        module.type = "internal"
        setattr(module, kind, content)
    # Beside it first: another process may be looking for it.
    new = target.with_suffix(".new")
    with new.open("wb") as file:
        message.write(file)
    new.rename(target)
    stamp.write_text(made_from, "utf-8")
    return target
