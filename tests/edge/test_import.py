"""At import the Worker uses no randomness, no clock and no I/O, on CPython and in WebAssembly; and the guard bites."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.edge.guard import RUNTIME
from tests.edge.workerd.config import Edge
from tests.edge.workerd.process import workerd

ROOT = Path(__file__).parents[2]
SNAPSHOT = {"component-versions": {"my-prompt": {"prod": "v1.0.0"}}, "rollout-percentage": 10, "generation": 7}

#: What is forbidden, as modules that do it when they are imported, and what the guard says of it.
FORBIDDEN: dict[str, tuple[str, str]] = {
    "clock_time": ("import time; time.time()", "clock: time.time "),
    "clock_by_another_name": ("from time import monotonic as age; age()", "clock: time.monotonic "),
    "clock_perf": ("import time; time.perf_counter_ns()", "clock: time.perf_counter_ns "),
    "clock_now": ("import datetime; datetime.datetime.now(datetime.UTC)", "clock: datetime.now "),
    "clock_today": ("from datetime import date; date.today()", "clock: date.today "),
    "clock_localtime": ("import time; time.localtime()", "clock: time.localtime "),
    "clock_sleep": ("import time; time.sleep(0)", "clock: time.sleep "),
    "random_urandom": ("import os; os.urandom(8)", "randomness: os.urandom "),
    "random_swallowed": ("import os\ntry: os.urandom(8)\nexcept BaseException: pass", "randomness: os.urandom "),
    "random_number": ("import random; random.random()", "randomness: Random.random "),
    "random_choice": ("from random import choice; choice([1, 2])", "randomness: Random.getrandbits "),
    "random_seed": ("import random; random.seed(1)", "randomness: Random.seed "),
    "random_generator": ("import random; random.Random()", "randomness: Random.seed "),
    "random_secrets": ("import secrets; secrets.token_hex(8)", "randomness: os.urandom "),
    "random_uuid": ("import uuid; uuid.uuid4()", "randomness: os.urandom "),
    "io_open": ("open('/etc/hosts')", "I/O: open "),
    "io_path": ("from pathlib import Path; Path('/etc/hosts').read_text()", "I/O: open "),
    "io_write_beside_itself": ("open(__file__ + '.new', 'w')", "I/O: open "),
    "io_list": ("import os; os.listdir('/')", "I/O: os.listdir "),
    "io_socket": ("import socket; socket.socket()", "I/O: socket.__new__ "),
    "io_lookup": ("import socket; socket.getaddrinfo('localhost', 80)", "I/O: socket.getaddrinfo "),
    "io_urllib": ("import urllib.request as u; u.urlopen('http://127.0.0.1:1/')", "I/O: urllib.Request "),
}
#: What only JavaScript's side sees, since no Python calls it, or since it is JavaScript's own.
BELOW_PYTHON: dict[str, tuple[str, str]] = {
    "below_generator": ("import _random; _random.Random()", "randomness: getrandom"),
    "below_time": ("import time; next(iter(time.time, None))", "clock: Date.now"),
    "below_monotonic": ("import time; next(iter(time.monotonic, None))", "clock: performance.now"),
    "below_date": ("from js import Date; Date.new()", "clock: new Date()"),
    "below_random": ("from js import Math; Math.random()", "randomness: Math.random"),
    "below_uuid": ("from js import crypto; crypto.randomUUID()", "randomness: crypto.randomUUID"),
    "below_fetch": ("from js import fetch; fetch('http://127.0.0.1:1/')", "I/O: fetch"),
    "below_kv": ("import js, workers; js.Object.new(); workers.env.KV.get('component-versions')", "I/O: KV.get"),
    "below_timer": ("import asyncio; asyncio.get_event_loop().call_later(1, print)", "clock: setTimeout"),
}
#: What is allowed, and whether the Worker was imported whole.
ALLOWED: dict[str, str] = {
    "allowed_own_file": "from pathlib import Path; assert Path(__file__).read_text()",
    "allowed_describing": "import hashlib, re; hashlib.sha256(b'').digest(); re.compile('a')",
    "allowed_instant": "from datetime import UTC, datetime; datetime(2024, 11, 12, tzinfo=UTC).isoformat()",
    "all_samples_are_parsed": "from worker.entry import _ENSEMBLES; assert len(_ENSEMBLES) == {samples}",
    "the_snapshot_is_decoded": "from worker.entry import _SNAPSHOT; assert _SNAPSHOT.generation == 7",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Worker as it is deployed, staged with a snapshot."""
    folder = tmp_path_factory.mktemp("import")
    (folder / "given.json").write_text(json.dumps(SNAPSHOT), "utf-8")
    command = [sys.executable, "deploy/stage.py", "--snapshot", str(folder / "given.json")]
    command += ["--into", str(folder / "staged")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return folder / "staged"


def sources() -> dict[str, str]:
    allowed = {
        name: source.format(samples=len(list(ROOT.glob("ensembles/*.yaml")))) for name, source in ALLOWED.items()
    }
    return {**{name: source for name, (source, _) in FORBIDDEN.items()}, **allowed}


def test_on_cpython(bundle: Path) -> None:
    for name, source in sources().items():
        (bundle / f"{name}.py").write_text(source, "utf-8")
    command = [sys.executable, "-B", "tests/edge/guard.py", str(bundle), "main", *sources()]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found.pop("main") == []
    held(found, FORBIDDEN)


def test_in_webassembly(bundle: Path) -> None:
    runtime = f"import sys; assert {set(RUNTIME)} <= set(sys.modules)"
    modules = {**sources(), **{name: source for name, (source, _) in BELOW_PYTHON.items()}, "runtime": runtime}
    command = ["node", "tests/edge/import.mjs", str(bundle)]
    run = subprocess.run(command, cwd=ROOT, input=json.dumps(modules), check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    # The two that the platform's SDK lets through, and none besides.
    assert found.pop("packages") == ["randomness: getrandom"] * 2
    assert found.pop("main") == []
    held(found, {**FORBIDDEN, **BELOW_PYTHON})


TRIES = """
import importlib, json
from workers import Response, WorkerEntrypoint

refused = []
for name in {names!r}:
    try:
        importlib.import_module(name)
    except BaseException:
        refused.append(name)


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(json.dumps(refused))
"""
#: These end the whole runtime when they are imported in workerd, which is refusal enough.
FATAL = {"random_generator", "below_generator"}


def test_whatever_workerd_refuses_the_guard_finds(tmp_path: Path) -> None:
    forbidden = {name: source for name, (source, _) in {**FORBIDDEN, **BELOW_PYTHON}.items() if name not in FATAL}
    allowed = {name: source for name, source in ALLOWED.items() if "worker.entry" not in source}
    for name, source in {**forbidden, **allowed}.items():
        (tmp_path / f"{name}.py").write_text(source, "utf-8")
    (tmp_path / "main.py").write_text(TRIES.format(names=[*forbidden, *allowed]), "utf-8")
    with workerd([Edge("edge", tmp_path)], snapshot=False) as process:
        refused = set(httpx.get(process.urls["edge"], timeout=30).json())
    assert refused <= forbidden.keys()
    assert {"random_urandom", "random_number", "random_seed", "random_uuid", "below_timer", "below_uuid"} <= refused


def held(found: dict[str, list[str]], forbidden: dict[str, tuple[str, str]]) -> None:
    """What is forbidden was found, under its name; what is allowed was not."""
    for name, (_, says) in forbidden.items():
        used = found.pop(name)
        assert used, name
        assert used[0].startswith(says), name
    assert not any(found.values()), found
