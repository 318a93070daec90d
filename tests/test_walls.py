"""The walls of docs/design.md, held: who may import what, and what may stand in a committed file."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What the pure core may lean on: values in, values out. No clock, no randomness, no I/O.
PURE = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions",
    "functools", "hashlib", "itertools", "json", "math", "operator", "re", "types", "typing", "zlib",
    "msgspec", "nodesemver", "pydantic", "pydantic_core", "resolver", "yaml",
}  # fmt: skip
PLATFORM = {"workers", "js", "pyodide"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(str(node.module).split(".")[0])
    return found


def modules(path: Path) -> set[str]:
    """The modules that a file imports, by their whole names; `from worker import kv` counts as worker.kv."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            of_package = node.module in ("worker", "worker.local", "resolver", "edgit")
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if of_package else {str(node.module)}
    return found


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def python_files() -> list[Path]:
    """Every file that is committed or is about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted({ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})


@pytest.mark.parametrize("path", sources("resolver"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_is_pure(path: Path) -> None:
    assert imports(path) <= PURE
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in {
                "now",
                "today",
                "utcnow",
                "open",
                "print",
                "input",
                "eval",
                "exec",
                "hash",
                "__import__",
            }, f"{path.name}:{node.lineno} calls {called}"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_entry_knows_the_platform(path: Path) -> None:
    assert path == ROOT / "worker" / "entry.py" or not imports(path) & PLATFORM


@pytest.mark.parametrize("path", sources("worker"), ids=lambda path: path.name)
def test_the_worker_knows_nothing_of_the_operators_side(path: Path) -> None:
    assert "edgit" not in imports(path)


#: For development on CPython; the rest of worker/ is deployed and must not need them.
LOCAL = ROOT / "worker" / "local"


@pytest.mark.parametrize("path", [p for p in sources("worker") if LOCAL not in p.parents], ids=lambda p: p.name)
def test_the_worker_imports_nothing_of_the_local_edge(path: Path) -> None:
    assert not imports(path) & {"click", "cloudflare", "uvicorn", "sqlite3", "rich", "socket"}
    assert not any(name.startswith("worker.local") for name in modules(path))


@pytest.mark.parametrize("path", sources("edgit"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_operators_side_shares_with_the_worker_only_the_local_kv_file(path: Path) -> None:
    assert {name for name in modules(path) if name.split(".")[0] == "worker"} <= {"worker.local.sqlite"}


def test_the_local_kv_file_knows_nothing_of_either_side() -> None:
    assert imports(LOCAL / "sqlite.py") <= {
        "__future__",
        "collections",
        "contextlib",
        "json",
        "pathlib",
        "sqlite3",
    }


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_one_module_knows_cloudflares_sdk(path: Path) -> None:
    assert path == ROOT / "edgit" / "kv" / "cloudflare.py" or "cloudflare" not in imports(path)


def test_no_committed_file_names_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert not [file for file in files if file.name in ("uv.lock", "pylock.toml")]
    hosts = ["pypi" + ".org", "files.python" + "hosted.org", "registry." + "npmjs.org", "registry." + "yarnpkg.com"]
    for file in files:
        text = file.read_text("utf-8", errors="replace") if file.is_file() else ""
        assert not [host for host in hosts if host in text], file
