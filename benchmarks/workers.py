"""The Workers that are measured, and the workerd that they stand in.

Rules:

- ours is the staged Worker as it is; a Worker here differs from it by a few lines, or stands beside it for comparison;
- workerd has one thread, and all Workers of a process share it: ours, the constant ones, and KV's, which is
  Miniflare's. So two Workers in one process meet the same machine at the same time, and a request waits for whatever
  the others do;
- what a thread has worked is told by Linux, to the nanosecond. Inside a Worker no clock can tell: it stands still
  between two waits.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.edge.workerd.config import ROOT, STAGED, Edge, script
from tests.edge.workerd.process import Workerd, workerd
from worker.local.seed import seed

HERE = Path(__file__).parent
FOLDERS = ROOT / "build" / "benchmarks"
#: The snapshot of the version map stays fresh for as long as anything here takes.
FRESH = {"FRESH_FOR": "36000", "STALE_FOR": "36000"}

#: What ours answers for one reference, written down.
ANSWER = (
    '{"environment":"prod","key":"user-42","snapshot":{"revision":"642651a7c2c80a8529290be7418b07af24129af5",'
    '"generation":20,"age_ms":0,"source":"kv"},"references":[{"path":"references[0]","reference":"my-prompt@prod",'
    '"component":"my-prompt","version":"v1.0.0","route":"pointer","type":"prompt"}]}'
)

#: The least that a Python Worker can do: it reads nothing, and the answer is JavaScript's own `Response`.
CONSTANT = f"""
from js import JSON, Response
from pyodide.ffi import to_js
from workers import WorkerEntrypoint

ANSWER = {ANSWER!r}
HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"))

class Default(WorkerEntrypoint):
    def fetch(self, request):
        return Response.new(ANSWER, headers=to_js(HEADERS))

    def resolve(self, *given):
        return JSON.parse(ANSWER)
"""

#: The same as the platform's documentation writes it.
DOCUMENTED = f"""
from workers import Response, WorkerEntrypoint

ANSWER = {ANSWER!r}
HEADERS = {{"content-type": "application/json", "cache-control": "no-store"}}

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(ANSWER, headers=HEADERS)
"""

#: The least that a Python Worker can do which reads what it was sent: one promise more is awaited.
READING = CONSTANT.replace(
    "    def fetch(self, request):\n",
    "    async def fetch(self, request):\n        (await request.js_object.arrayBuffer()).to_bytes()\n",
)

#: Ours, which has forgotten everything at each request.
COLD = """
from worker import entry

class Default(entry.Default):
    async def fetch(self, request, *more):
        entry._edge = None
        return await super().fetch(request, *more)

__all__ = ["Default"]
"""

#: Ours, and how large the memory of WebAssembly is, which never shrinks.
WITH_HEAP = """
import pyodide_js
from worker import entry

class Default(entry.Default):
    async def heap(self):
        return pyodide_js._module.HEAP8.length

__all__ = ["Default"]
"""


def alone(name: str, main: str) -> Path:
    """The folder of a Worker that is one file of Python."""
    folder = FOLDERS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(main, "utf-8")
    return folder


def with_ours(name: str, main: str, modules: Sequence[str] = ()) -> Path:
    """The folder of a Worker that is the staged one with another main file, and some modules of this folder."""
    folder = FOLDERS / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(STAGED, folder)
    for compiled in folder.rglob("main*.pyc"):
        compiled.unlink()
    (folder / "main.py").write_text(main, "utf-8")
    if modules:
        (folder / "benchmarks").mkdir()
    for module in modules:
        shutil.copy(HERE / f"{module}.py", folder / "benchmarks")
    return folder


def javascript(name: str, file: str, bindings: Sequence[Any]) -> dict[str, Any]:
    """A service in JavaScript, of a file of this folder."""
    worker = script(HERE / file, bindings)
    return {"name": name, "worker": {**worker, "compatibilityFlags": ["nodejs_compat", "experimental"]}}


@contextmanager
def serving(
    edges: Sequence[Edge],
    services: Sequence[Any] = (),
    *,
    entries: Mapping[str, object] | None = None,
    snapshot: bool = True,
) -> Iterator[Workerd]:
    """A workerd with these Workers, each on a socket, and KV filled. A snapshot is of the first, for one alone."""
    sockets = {service["name"]: service["name"] for service in services}
    with workerd(edges, services=services, sockets=sockets, snapshot=snapshot) as process:
        lever(process, put=seed() if entries is None else entries)
        yield process
        if "Traceback" in process.said:
            raise RuntimeError(process.said[-4000:])


def ours(variables: Mapping[str, str] = FRESH, folder: Path = STAGED) -> Edge:
    """The staged Worker, or another one in this folder, which answers everybody."""
    return Edge("edge", folder, {"ALLOW_ANONYMOUS": "true", **variables})


def lever(process: Workerd, **given: Any) -> dict[str, Any]:
    """Work the lever of KV; how often it was called so far."""
    answer: dict[str, Any] = _front(process, "/kv", given)
    return answer


def called(process: Workerd, method: str, *given: Any) -> Any:
    """What a method of ours answers over a service binding."""
    return _front(process, f"/rpc/{method}", list(given))["result"]


def _front(process: Workerd, path: str, body: object) -> Any:
    return httpx.post(process.urls["front"] + path, json=body, timeout=60).raise_for_status().json()


def worked(process: Workerd) -> float:
    """What workerd's threads have worked so far, in microseconds."""
    total = 0
    for thread in Path(f"/proc/{process.process.pid}/task").iterdir():
        total += int((thread / "schedstat").read_text("ascii").split()[0])
    return total / 1000
