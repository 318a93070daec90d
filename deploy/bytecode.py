"""Bytecode beside the sources, so that the Worker's start need not compile them: it halves the import.

It must be of the Worker's own Python, CPython 3.14. A machine that deploys need not have one, but it has Node for
wrangler, and npm's `pyodide` is that very Python: `compile.mjs` runs it. What was compiled once is kept in
build/bytecode/ under the hash of its source, so that only what has changed is compiled again.

A `.pyc` is taken without a look at its source (PEP 552, unchecked): files have no times in a Worker, and hashing all
sources would cost what was won. So it is written together with its source, here, and nowhere else.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "bytecode"
#: Where npm may have installed it: beside wrangler, or for the tests. Both are of one version.
PYODIDE = tuple(ROOT / folder / "node_modules" / "pyodide" / "pyodide.mjs" for folder in ("deploy", "tests/edge"))
#: What the bytecode of CPython 3.14 begins with, and how its files are called.
MAGIC = bytes.fromhex("2b0e0d0a")
TAG = "cpython-314"


class Source(NamedTuple):
    """A module: its file here, and its name in the Worker, which stack traces show."""

    file: Path
    name: str

    @property
    def target(self) -> Path:
        """Where its bytecode is looked for."""
        return self.file.parent / "__pycache__" / f"{self.file.stem}.{TAG}.pyc"


def sources(folder: Path, mounted: str) -> Iterator[Source]:
    """All modules below a folder, which the Worker finds at `mounted`."""
    for file in sorted(folder.rglob("*.py")):
        yield Source(file, f"{mounted}/{file.relative_to(folder).as_posix()}")


def write_bytecode(modules: list[Source]) -> str:
    """Write the bytecode of these modules beside them. What there is to say of it: empty, or why there is none."""
    cached = {module: CACHE / f"{_hash(module)}.pyc" for module in modules}
    missing = {file: module for module, file in cached.items() if not file.is_file()}
    if missing and (why := _compile(missing)):
        for module in modules:
            module.target.unlink(missing_ok=True)
        return why
    for module, file in cached.items():
        module.target.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, module.target)
    return ""


def _compile(missing: dict[Path, Source]) -> str:
    """Fill the cache; why it cannot be filled."""
    pyodide = next((file for file in PYODIDE if file.is_file()), None)
    if pyodide is None:
        return "npm's `pyodide` is not installed: `make bundle` installs it beside wrangler"
    CACHE.mkdir(parents=True, exist_ok=True)
    work = [[str(module.file), module.name, str(file)] for file, module in missing.items()]
    command = ["node", str(ROOT / "deploy" / "compile.mjs"), str(pyodide), MAGIC.hex()]
    try:
        run = subprocess.run(command, input=json.dumps(work), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "there is no `node` on the PATH"
    return run.stderr.strip() if run.returncode else ""


def _hash(module: Source) -> str:
    return sha256(f"{module.name}\0".encode() + MAGIC + module.file.read_bytes()).hexdigest()
