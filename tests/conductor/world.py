"""A Conductor, real or miniature, in one workerd with the staged resolver: bound to it, and to the KV that it reads.

"direct"   the Worker with the drop-in, bound to the resolver
"watched"  the same, by way of beside.js, which listens and can be cut
"http"     the same over HTTP, with a token
"refused"  the same, without it
"debug"    the same, bound to the resolver of the debug environment
"options"  optioned.ts: everything that can be said
"plain"    the Worker as its template has it, without the drop-in
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.edge.hosts import Isolate, free_port, lever, refreshed
from tests.edge.workerd.config import ROOT, Edge, Embed, script
from tests.edge.workerd.process import workerd

HERE = Path(__file__).parent
NODE_MODULES = ROOT / "tests/edge/node_modules"
BUILD = ROOT / "build" / "conductor"
EXAMPLE = ROOT / "examples/conductor"
PROJECT = HERE / "project"
MINIATURE = HERE / "miniature"
TOKEN = "a token for the tests"

#: The line of an entry that the drop-in changes.
OWN = "import { createAutoDiscoveryAPI } from '@ensemble-edge/conductor/api'"
CHANGED = "import { createAutoDiscoveryAPI } from 'conductor-resolver'"


@dataclass(frozen=True)
class Conductor:
    """Where a Conductor's sources are, the entry of a project as it is without the drop-in, and the projects."""

    name: str
    sources: Path
    entry: Path
    projects: tuple[Path, ...]


def run(*command: str | Path) -> str:
    """What a command says. Raises `RuntimeError` with all of it where it fails."""
    path = f"{NODE_MODULES / '.bin'}:{os.environ['PATH']}"
    given = [str(part) for part in command]
    env = {**os.environ, "PATH": path}
    done = subprocess.run(given, capture_output=True, text=True, cwd=ROOT, env=env, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def package() -> Path:
    """The drop-in, compiled."""
    out = BUILD / "conductor-resolver"
    run("tsc", "--project", ROOT / "conductor", "--outDir", out)
    return out / "index.js"


def bundle(conductor: Conductor, name: str, entry: str, resolver: Path) -> Path:
    """The Worker of an entry, as one file."""
    file, out = (BUILD / f"{conductor.name}-{name}{suffix}" for suffix in (".ts", ".js"))
    file.write_text(entry, "utf-8")
    parts = {"conductor": conductor.sources, "resolver": resolver, "entry": file, "out": out}
    asked = {part: str(path) for part, path in parts.items()}
    run("node", HERE / "build.mjs", json.dumps(asked | {"projects": [str(project) for project in conductor.projects]}))
    return out


def bundles(conductor: Conductor) -> tuple[Path, Path, Path]:
    """The project's Worker with the drop-in, by one changed line, without it, and with all its options."""
    text = conductor.entry.read_text("utf-8")
    lines = text.splitlines()
    assert lines.count(OWN) + lines.count(CHANGED) == 1, f"{conductor.entry} has not the one line"
    resolver = package()
    return (
        bundle(conductor, "with", text.replace(OWN, CHANGED), resolver),
        bundle(conductor, "without", text.replace(CHANGED, OWN), resolver),
        bundle(conductor, "options", (HERE / "optioned.ts").read_text("utf-8"), resolver),
    )


@dataclass(frozen=True)
class World:
    """The Conductors by their names, the resolver, and what listens between."""

    conductors: Mapping[str, httpx.Client]
    resolver: Isolate
    beside: httpx.Client
    said: Any

    def publish(self, store: Mapping[str, tuple[str, object]]) -> None:
        """Put entries into KV, and wait until the resolver has seen them."""
        lever(self.resolver, put=store)
        refreshed(self.resolver)

    def runs(self, name: str, input: object, at: str = "direct") -> Any:
        """The output of an ensemble by Conductor's own call."""
        answer = self.conductors[at].post(f"/api/v1/execute/ensemble/{name}", json={"input": input})
        return answer.json().get("output", answer.json()) if answer.is_success else answer.text

    def agent(self, name: str, input: object, at: str = "direct") -> Any:
        """The output of an agent that is executed by itself."""
        answer = self.conductors[at].post(f"/api/v1/execute/agent/{name}", json={"input": input})
        return answer.json().get("data", answer.json()) if answer.is_success else answer.text

    def asked(self, away: str | None = None) -> list[list[Any]]:
        """What "watched" has asked since the last time; `away` cuts the way or mends it."""
        return list(self.beside.get("/", params={} if away is None else {"away": away}).json()["asked"])

    def logs(self, name: str = "run") -> list[dict[str, Any]]:
        """What the drop-in has logged of runs so far; `seen` are those that optioned.ts heard of."""
        begin = f'{{"{name}":'
        return [json.loads(line[line.index(begin) :])[name] for line in self.said().splitlines() if begin in line]


def service(name: str, bundle: Path, bindings: list[Any], *, kv: bool = True) -> dict[str, Any]:
    """A Conductor Worker as a service of workerd's."""
    worker = {
        "modules": [{"name": "index.js", "esModule": Embed(bundle)}],
        "compatibilityDate": "2026-07-01",
        "compatibilityFlags": ["nodejs_compat", "experimental"],
        "bindings": [
            *([{"name": "EDGIT", "kvNamespace": "kv-store"}] if kv else []),
            {"name": "AI", "service": {"name": "beside", "entrypoint": "AI"}},
            *bindings,
        ],
        "globalOutbound": "this-machine",
    }
    return {"name": name, "worker": worker}


@contextmanager
def world(conductor: Conductor) -> Iterator[World]:
    """Build it, start it, and stop it in the end."""
    BUILD.mkdir(parents=True, exist_ok=True)
    changed, plain, options = bundles(conductor)
    port = free_port()
    quick = {"RESOLVER_TOKEN": TOKEN, "FRESH_FOR": "0.2", "RETRY_FOR": "0.2"}
    edges = [Edge("edge", variables=quick), Edge("edge-debug", variables=quick | {"ENVIRONMENT": "debug"})]
    resolver = {"name": "RESOLVER", "service": "edge"}
    services = [
        service("direct", changed, [resolver]),
        service("watched", changed, [{"name": "RESOLVER", "service": {"name": "beside", "entrypoint": "Resolver"}}]),
        service(
            "http",
            changed,
            [
                {"name": "RESOLVER_URL", "text": f"http://127.0.0.1:{port}"},
                {"name": "RESOLVER_TOKEN", "text": TOKEN},
            ],
        ),
        service("refused", changed, [{"name": "RESOLVER_URL", "text": f"http://127.0.0.1:{port}"}]),
        service("debug", changed, [{"name": "RESOLVER", "service": "edge-debug"}]),
        service("options", options, [{"name": "SOMEWHERE", "service": "edge"}]),
        service("plain", plain, []),
        {"name": "beside", "worker": script(HERE / "beside.js", [{"name": "EDGE", "service": "edge"}])},
        {"name": "this-machine", "network": {"allow": ["local", "private"]}},
    ]
    sockets = {name: name for name in ("direct", "watched", "http", "refused", "debug", "options", "plain", "beside")}
    with (
        workerd(edges, services=services, sockets=sockets, ports={"edge": port}) as process,
        Isolate(process) as asked,
        ExitStack() as clients,
    ):
        asked.headers["authorization"] = f"Bearer {TOKEN}"
        opened = {
            name: clients.enter_context(httpx.Client(base_url=process.urls[name], timeout=60)) for name in sockets
        }
        yield World(opened, asked, opened["beside"], lambda: process.said)
