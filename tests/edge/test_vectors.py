"""The published rollout vectors, asked as a request asks: over HTTP of the local edge, and of the Worker in workerd."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edge.hosts import eventually, isolate, lever, started, stopped
from worker.local.sqlite import SqliteStore

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "rollout.json").read_text("utf-8"))
#: An empty key is no key, and so cannot be asked.
ASKED = [vector for vector in VECTORS if vector["key"]]
GROUP = "ensemble: grouped\nrollout: {group: %s}\nagents: [{name: a, component: one}, {name: b, component: two}]\n"
QUICK = {"ALLOW_ANONYMOUS": "true", "FRESH_FOR": "0.05"}

Write = Callable[[dict[str, tuple[str, object]]], object]


@pytest.fixture(params=["the local edge", "workerd"])
def edge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[httpx.Client, Write]]:
    """An edge, and what writes into its KV."""
    if request.param == "workerd":
        with isolate(QUICK, entries={}) as worker:
            yield worker, lambda entries: lever(worker, put=entries)
        return
    file = tmp_path / "kv.sqlite3"
    kv = SqliteStore(file)
    kv.put_many([("any", "", None)])
    variables = [f"--var={name}={value}" for name, value in QUICK.items()]
    command = [sys.executable, "-m", "worker.local", "serve", *variables]
    process, client = started(command, {"PORT": "0", "KV": str(file)})
    yield client, lambda entries: kv.put_many([(key, *entry) for key, entry in entries.items()])
    stopped(process, client)


def asked(edge: httpx.Client, path: str, body: object) -> Any:
    # Half a surrogate pair has no UTF-8: it goes as an escape, as JavaScript sends it.
    return edge.post(path, content=json.dumps(body)).raise_for_status().json()


def runs_canary(edge: httpx.Client, vector: dict[str, Any]) -> bool:
    salt = vector["salt"]
    if len(salt) == 3:
        body = {"references": [f"{salt[0]}@{salt[1]}"], "key": vector["key"]}
        (found,) = asked(edge, "/resolve", body)["references"]
        return bool(found["route"] == "canary")
    body = {"environment": salt[1], "key": vector["key"]}
    agents = asked(edge, "/ensembles/grouped@v1.0.0/resolve", body)["agents"]
    routes = {agent["references"][0]["route"] for agent in agents}
    assert len(routes) == 1, "both or neither"
    return routes == {"canary"}


def test_the_vectors_hold(edge: tuple[httpx.Client, Write]) -> None:
    client, write = edge
    pointers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    # Two canaries of one pointer cannot be live at once, and neither can two percentages.
    worlds: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for vector in ASKED:
        worlds[[*vector["salt"], "v7.7.7"][2], vector["percentage"]].append(vector)
    (group,) = {vector["salt"][0] for vector in ASKED if len(vector["salt"]) == 2}
    write({"components/grouped/v1.0.0": (GROUP % group, {"type": "ensemble"})})
    for generation, ((version, percentage), vectors) in enumerate(worlds.items(), 1):
        for vector in vectors:
            name, environment = vector["salt"][:2]
            for component in ("one", "two") if len(vector["salt"]) == 2 else (name,):
                pointers[component] |= {environment: "v0.0.1", f"{environment}-canary": version}
        write(
            {
                "rollout-percentage": (json.dumps({"*": percentage}), None),
                "component-versions": (json.dumps(pointers), {"generation": generation}),
            }
        )
        eventually(lambda: client.get("/health").json()["snapshot"]["generation"], generation)
        for vector in vectors:
            assert runs_canary(client, vector) is vector["canary"], vector
