"""Whether the tests would notice: each operator and constant of a module is changed, one at a time, and the tests run.

    python -m tests.mutation [MODULE…] [--processes 2]
        by default the modules that decide; prints what survived, and a table

Not a part of `make test`: it takes an hour. It works on copies of the tree, and changes nothing here. A mutant that the
tests do not catch is a missing test, or a change that nobody can see; a text that only people read is not changed.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
MODULES = (
    "resolver/rollout.py",
    "resolver/snapshot.py",
    "resolver/plan.py",
    "resolver/version.py",
    "resolver/reference.py",
)
#: The tests that are asked, those that catch most first.
TESTS = (
    "tests/resolver/test_{module}.py",
    "tests/worker/test_kept.py",
    "tests/resolver/test_plan.py",
    "tests/resolver/test_rollout.py",
    "tests/resolver/test_samples.py",
    "tests/worker/test_pins.py",
    "tests/worker/test_app.py",
)
LONGEST = 180
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
}


Undo = Callable[[], object]


@dataclass(frozen=True)
class Mutant:
    """A module with one change, told by its line and what it was and is."""

    module: str
    line: int
    change: str
    source: str


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every change of one operator or constant."""
    tree = ast.parse(source)
    silent = set(_unseen(tree))
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        for change, undo in _changes(node):
            yield Mutant(module, getattr(node, "lineno", 0), change, ast.unparse(tree))
            undo()


def _unseen(tree: ast.AST) -> Iterator[int]:
    """What no test could notice: docstrings, types, options of decorators and fields, and how texts are shortened."""
    for node in ast.walk(tree):
        hidden: list[ast.AST | None] = []
        if isinstance(node, ast.AnnAssign | ast.arg):
            hidden = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            hidden = [node.returns]
        elif isinstance(node, ast.ClassDef):
            hidden = [*node.decorator_list, *node.keywords]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "field":
            hidden = [*node.keywords]
        elif isinstance(node, ast.Slice):
            hidden = [node.upper]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            hidden = [node.value]
        elif isinstance(node, ast.JoinedStr):
            hidden = [part for part in node.values if isinstance(part, ast.Constant)]
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name)
            and target.id[:1].isupper()
            and isinstance(node.value, ast.Subscript | ast.BinOp)
            for target in node.targets
        ):
            # An alias of a type.
            hidden = [node.value]
        for part in hidden:
            if part is not None:
                yield from (id(inner) for inner in ast.walk(part))


def _changes(node: ast.AST) -> Iterator[tuple[str, Undo]]:
    """Change the node, tell how, and give what undoes it."""
    if isinstance(node, ast.Compare):
        compared = list(node.ops)
        for at, operator in enumerate(compared):
            node.ops[at] = COMPARISONS[type(operator)]()
            yield _told(operator, node.ops[at], lambda: setattr(node, "ops", list(compared)))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        did = node.op
        node.op = OPERATORS[type(did)]()
        yield _told(did, node.op, lambda: setattr(node, "op", did))
    elif isinstance(node, ast.BoolOp):
        before = node.op
        node.op = ast.Or() if isinstance(before, ast.And) else ast.And()
        yield _told(before, node.op, lambda: setattr(node, "op", before))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node.op = ast.UAdd()
        operand = node.operand
        node.operand = ast.Call(ast.Name("bool", ast.Load()), [operand], [])
        yield "not x -> x", lambda: vars(node).update(op=ast.Not(), operand=operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | str | bytes):
        value = node.value
        node.value = _other(value)
        yield f"{value!r} -> {node.value!r}", lambda: setattr(node, "value", value)


def _told(before: ast.AST, after: ast.AST, undo: Undo) -> tuple[str, Undo]:
    return f"{type(before).__name__} -> {type(after).__name__}", undo


def _other(value: bool | int | str | bytes) -> bool | int | str | bytes:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value + "x" if isinstance(value, str) else value + b"x"


def caught(mutant: Mutant, tree: Path) -> bool:
    """Whether some test fails for it, in this copy of the tree."""
    file = tree / mutant.module
    original = file.read_text("utf-8")
    file.write_text(mutant.source, "utf-8")
    name = Path(mutant.module).stem
    tests = [test.format(module=name) for test in TESTS]
    known = list(dict.fromkeys(test for test in tests if (tree / test).is_file()))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *known]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
    try:
        run = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=LONGEST, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        run = 1
    finally:
        file.write_text(original, "utf-8")
    return run != 0


def copied(folder: Path, number: int) -> Path:
    """A copy of what the tests need."""
    target = folder / str(number)
    for name in ("resolver", "worker", "tests", "ensembles"):
        ignored = shutil.ignore_patterns("node_modules", "__pycache__", "edge")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, target)
    return target


def main() -> None:
    """Change, ask, and tell."""
    parser = argparse.ArgumentParser(description="Whether the tests notice a change of one operator or constant.")
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(given.processes):
            trees.put(copied(Path(folder), number))

        def ask(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                return caught(mutant, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(given.processes) as pool:
            for module in given.modules:
                source = (ROOT / module).read_text("utf-8")
                # What unparse alone changes must pass.
                if ask(Mutant(module, 0, "", ast.unparse(ast.parse(source)))):
                    raise SystemExit(f"{module}: the tests fail without any change")
                every = list(mutants(module, source))
                survived = 0
                for mutant, noticed in zip(every, pool.map(ask, every), strict=True):
                    if not noticed:
                        survived += 1
                        print(f"survived  {mutant.module}:{mutant.line}  {mutant.change}", flush=True)
                print(f"{module}: {len(every) - survived} of {len(every)} caught", flush=True)


if __name__ == "__main__":
    main()
