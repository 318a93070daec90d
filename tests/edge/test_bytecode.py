"""The bytecode that is deployed: of the Worker's own Python, of the very sources beside it, and used in workerd."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.bytecode import MAGIC, TAG, Source, sources, write_bytecode
from tests.edge.workerd.config import MODULES, ROOT, STAGED, Edge, modules
from tests.edge.workerd.process import workerd

TELLS = """
import importlib.util, json
import answer
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        told = {"says": answer.SAYS, "magic": importlib.util.MAGIC_NUMBER.hex(), "at": answer.where()}
        return Response(json.dumps(told))
"""
ANSWER = "SAYS = {!r}\ndef where():\n    return where.__code__.co_filename\n"
#: Where the Worker finds its own modules.
MOUNTED = "/session/metadata"


@pytest.fixture(scope="module")
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile what these tests need with one start of Pyodide, which takes seconds: they find it in the cache."""
    folder = tmp_path_factory.mktemp("compiled")
    needed = [("main", TELLS), *(("answer", ANSWER.format(says)) for says in ("the bytecode", "one", "two"))]
    modules = [Source(folder / f"{place}.py", f"{MOUNTED}/{name}.py") for place, (name, _) in enumerate(needed)]
    for module, (_, text) in zip(modules, needed, strict=True):
        module.file.write_text(text, "utf-8")
    assert write_bytecode(modules) == ""


def test_every_module_that_is_deployed_has_its_bytecode() -> None:
    deployed = {module["name"] for module in modules(STAGED)}
    names = {name for name in deployed if name.endswith(".py")}
    assert {"main.py", "worker/entry.py", "python_modules/pydantic/main.py"} <= names
    for name in names:
        path = Path(name)
        assert str(path.parent / "__pycache__" / f"{path.stem}.{TAG}.pyc") in deployed, name


@pytest.mark.usefixtures("_compiled")
def test_workerd_runs_the_bytecode_and_not_the_source(tmp_path: Path) -> None:
    """The source is exchanged afterwards: what answers is what was compiled."""
    (tmp_path / "main.py").write_text(TELLS, "utf-8")
    (tmp_path / "answer.py").write_text(ANSWER.format("the bytecode"), "utf-8")
    assert write_bytecode(list(sources(tmp_path, MOUNTED))) == ""
    (tmp_path / "answer.py").write_text(ANSWER.format("the source"), "utf-8")
    with workerd([Edge("edge", tmp_path)], snapshot=False) as process:
        told = httpx.get(process.urls["edge"], timeout=30).json()
    assert told == {"says": "the bytecode", "magic": MAGIC.hex(), "at": f"{MOUNTED}/answer.py"}


@pytest.mark.usefixtures("_compiled")
def test_a_source_that_changes_is_never_staged_with_old_bytecode(tmp_path: Path) -> None:
    module = Source(tmp_path / "answer.py", f"{MOUNTED}/answer.py")
    written: dict[str, bytes] = {}
    for says in ("one", "two", "one"):
        module.file.write_text(ANSWER.format(says), "utf-8")
        assert write_bytecode([module]) == ""
        code = module.target.read_bytes()
        assert (code[:4], code[4]) == (MAGIC, 0b01), "of this Python, and not checked against a source"
        assert says.encode() in code
        assert written.setdefault(says, code) == code
    assert len(set(written.values())) == 2


def test_what_is_staged_is_of_its_sources(tmp_path: Path) -> None:
    """Compiled anew, each module comes to the bytecode that lies beside it."""
    staged = list(sources(STAGED, MOUNTED))
    assert len(staged) > 20
    for module in staged:
        copy = Source(tmp_path / module.file.name, module.name)
        copy.file.write_bytes(module.file.read_bytes())
        assert write_bytecode([copy]) == ""
        assert copy.target.read_bytes() == module.target.read_bytes(), module.name


def test_without_pyodide_the_build_says_so_and_is_right(tmp_path: Path) -> None:
    script = """
import runpy, sys
import deploy.bytecode as bytecode
from pathlib import Path
bytecode.PYODIDE, bytecode.CACHE = (), Path(sys.argv[1]) / "cache"
sys.argv = ["stage.py", "--no-snapshot", "--into", sys.argv[1] + "/out"]
import deploy.stage as stage
stage.MODULES = Path(sys.argv[-1]).parent / "modules"
stage.vendor = lambda: False
stage.main()
"""
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "NO BYTECODE in this build" in run.stdout
    assert "make bundle" in run.stdout
    assert not list((tmp_path / "out").rglob("*.pyc"))
    assert (tmp_path / "out" / "main.py").is_file()


def test_nothing_is_deployed_that_no_worker_reads() -> None:
    names = [file.name for file in MODULES.rglob("*")]
    assert not [name for name in names if name.endswith((".pyi", ".dist-info")) or name == "py.typed"]


def test_both_folders_have_the_same_pyodide() -> None:
    found = [
        json.loads((ROOT / folder / "package.json").read_text("utf-8"))["dependencies"]["pyodide"]
        for folder in ("deploy", "tests/edge")
    ]
    assert found[0] == found[1]
