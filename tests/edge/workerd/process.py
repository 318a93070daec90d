"""Starts workerd, and makes the snapshot of memory that Cloudflare makes at deploy and starts each isolate from.

Without such a snapshot a start takes some six seconds, with it half a second. It is kept in build/workerd/, under the
hash of all that is deployed, so that each staged Worker has its own, and only the first start makes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NoReturn

from tests.edge.workerd import python_bundle
from tests.edge.workerd.config import HERE, MODULES, ROOT, Edge, config

BUILD = ROOT / "build" / "workerd"
#: The snapshots that are kept; each is some 40 MB.
MOST_SNAPSHOTS = 12
#: A start with everything to be imported takes six seconds on an idle machine.
LONGEST_START = 120.0


@cache
def binary() -> str:
    """Where npm's `workerd` has the program for this machine."""
    command = ["node", "--print", "require('workerd').default"]
    return subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Workerd:
    """A running workerd: the URL of each socket, and the file of what it says."""

    process: subprocess.Popen[bytes]
    urls: Mapping[str, str]
    log: Path
    #: From the command to the last socket that listens, in seconds.
    started_in: float

    @property
    def said(self) -> str:
        """What it has said so far, on either stream."""
        return self.log.read_text("utf-8", errors="replace")


@contextmanager
def workerd(
    edges: Sequence[Edge],
    state: Path | None = None,
    *,
    snapshot: bool = True,
    services: Sequence[Any] = (),
    sockets: Mapping[str, str] | None = None,
    ports: Mapping[str, int] | None = None,
    extra: Sequence[str] = (),
) -> Iterator[Workerd]:
    """A workerd with these edges, stopped in the end. `state` is KV's folder; without it KV is forgotten."""
    given: list[str] = []
    if snapshot:
        given = [f"--python-load-snapshot={snapshot_of(edges[0]).name}", f"--python-snapshot-dir={BUILD}"]
    with tempfile.TemporaryDirectory(prefix="workerd-") as folder:
        state = state or Path(folder) / "kv"
        state.mkdir(parents=True, exist_ok=True)
        file = Path(folder) / "config.capnp"
        file.write_text(config(edges, state, services, sockets), "utf-8")
        at = [f"--socket-addr={name}=127.0.0.1:{port}" for name, port in (ports or {}).items()]
        listeners = len(edges) + 1 + len(sockets or ())
        options = [*given, *at, *extra]
        with running(file, options, Path(folder) / "log", listeners) as process:
            yield process


def until_stopped(process: Workerd) -> NoReturn:
    """Wait for a signal, which ends this with 0, or for workerd to end by itself, which is told."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    code = process.process.wait()
    sys.exit(f"workerd has ended by itself ({code}):\n{process.said[-2000:]}")


@contextmanager
def running(config_file: Path, given: Sequence[str], log: Path, sockets: int) -> Iterator[Workerd]:
    """`workerd serve`, from when it listens to when it is no longer wanted."""
    python_bundle.build(BUILD)
    told, tells = os.pipe()
    command = [binary(), "serve", "--import-path=/", "--experimental", f"--pyodide-bundle-disk-cache-dir={BUILD}"]
    command += [*given, f"--control-fd={tells}", str(config_file)]
    started = time.monotonic()
    with log.open("wb") as output:
        # A group of its own: a Ctrl-C in the terminal is for whoever started this, who then stops it.
        process = subprocess.Popen(
            command, pass_fds=[tells], stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    os.close(tells)
    try:
        with os.fdopen(told, encoding="utf-8") as events:
            urls = _listening(events, sockets)
            if urls is None:
                process.wait(10)
                raise RuntimeError(f"workerd did not start:\n{log.read_text('utf-8', errors='replace')[-4000:]}")
            yield Workerd(process, urls, log, time.monotonic() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listening(events: IO[str], sockets: int) -> dict[str, str] | None:
    """The URLs by socket, once all listen; None where it ended before."""
    urls: dict[str, str] = {}
    for line in events:
        event = json.loads(line)
        if event["event"] == "listen":
            urls[event["socket"]] = f"http://127.0.0.1:{event['port']}"
        if len(urls) >= sockets:
            return urls
    return None


def snapshot_of(edge: Edge) -> Path:
    """The snapshot of memory of this staged Worker, made if there is none yet."""
    python_bundle.build(BUILD)
    target = BUILD / f"memory-{_hash(edge.folder)}.bin"
    # Several test processes want the same one at once; one makes it.
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            _make_snapshot(edge, target)
        target.touch()
        for old in sorted(BUILD.glob("memory-*.bin"), key=lambda file: -file.stat().st_mtime)[MOST_SNAPSHOTS:]:
            old.unlink()
    return target


def _make_snapshot(edge: Edge, target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="snapshot-", dir=BUILD) as folder:
        file = Path(folder) / "config.capnp"
        state = Path(folder) / "kv"
        state.mkdir()
        # Nothing is bound: what is imported at the top of the Worker may use no binding.
        file.write_text(config([Edge(edge.name, edge.folder, bound=False)], state), "utf-8")
        given = ["--python-save-snapshot", f"--python-snapshot-dir={folder}"]
        made = Path(folder) / "snapshot.bin"
        with running(file, given, Path(folder) / "log", 2) as process:
            if not made.is_file():
                raise RuntimeError(f"workerd made no snapshot:\n{process.said[-4000:]}")
        made.rename(target)


def _hash(folder: Path) -> str:
    """Of all that is deployed, and of what it runs on."""
    digest = sha256((BUILD / f"{python_bundle.SLOT}.made-from").read_bytes())
    digest.update((ROOT / "wrangler.toml").read_bytes())
    digest.update(binary().encode())
    digest.update((HERE.parent / "package-lock.json").read_bytes())
    for root in (folder, MODULES):
        for file in sorted(root.rglob("*")):
            if file.is_file():
                digest.update(f"{file.relative_to(root)}\n{file.stat().st_size}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:20]
