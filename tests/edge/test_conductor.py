"""Conductor's side of the service binding: the Worker that docs/conductor.md shows, asking the real resolver.

All of them run in one workerd: two resolvers, one as production and one as `[env.debug]` with a token, and the
Conductors, each by the environment of its wrangler.toml that it is deployed as, each at a socket of its own.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edge.hosts import Isolate, free_port, lever, refreshed
from tests.edge.workerd.config import ROOT, Edge, Embed, script
from tests.edge.workerd.process import workerd
from worker.local.seed import seed

CONDUCTOR = ROOT / "tests/edge/conductor"
DOCS = ROOT / "docs/conductor.md"
TOKEN = "a token for the tests"

pytestmark = pytest.mark.xdist_group("conductor")

#: An ensemble that has to be asked about three times, and what is published while it runs.
STAGED = """
ensemble: staged
rollout:
  key: ${input.user_id}
agents:
  - name: extract
    operation: think
    component: extraction-prompt@v1.0.5
  - name: validate
    operation: code
    component: validation-config
    condition: ${extract.output.operation === "think"}
  - name: apologize
    operation: think
    component: my-prompt
    condition: ${extract.output.operation !== "think"}
  - name: regret
    operation: think
    component: my-prompt
    condition: ${apologize.output}
  - name: conclude
    operation: think
    component: validation-config
    condition: ${validate.output.operation === "code"}
  - name: report
    operation: think
    component: my-prompt
    condition: ${state.verbose}
"""
STAGED_NEXT = "ensemble: staged\nagents:\n  - name: other\n    operation: think\n    component: my-prompt\n"

#: Where the debug environment differs from production.
DEBUG = {
    "my-prompt": "v1.1.0",
    "extraction-prompt": "v1.0.4",
    "analysis-prompt": "v1.9.1",
    "validation-config": "v1.5.0",
}


def published(generation: int, **moved: dict[str, str]) -> dict[str, tuple[str, object]]:
    """The seed with the ensemble above and the debug pointers, and with pointers moved."""
    store = seed()
    pointers: dict[str, dict[str, str]] = json.loads(store["component-versions"][0])
    for name, version in DEBUG.items():
        pointers[name]["debug"] = version
    pointers["staged"] = {"prod": "v1.0.0", "latest": "v1.0.0"}
    for name, moves in moved.items():
        pointers[name.replace("_", "-")] |= moves
    metadata = {"generation": generation, "revision": f"generation {generation}"}
    store["component-versions"] = (json.dumps(pointers), metadata)
    store["components/staged/v1.0.0"] = (STAGED, {"type": "ensemble"})
    store["components/staged/v2.0.0"] = (STAGED_NEXT, {"type": "ensemble"})
    return store


@dataclass
class Watched:
    """A way to the production resolver on which one can listen, and act after the first question."""

    url: str = ""
    asked: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    after_first: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class World:
    """The resolvers, and the Conductors by the host name that they are deployed at."""

    prod: Isolate
    debug: Isolate
    conductors: Mapping[str, httpx.Client]
    watched: Watched

    def test(self, host: str, body: object, **query: str) -> httpx.Response:
        return self.conductors[host].post("/test", json=body, params=query)

    def version(self, host: str, **query: str) -> httpx.Response:
        return self.conductors[host].get("/version", params=query)


@contextmanager
def watching(target: str) -> Iterator[Watched]:
    """A proxy that hands every request on and keeps what was asked and answered."""
    watched = Watched()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = httpx.post(target + self.path, content=body)
            watched.asked.append((self.path, json.loads(body), answer.json()))
            if len(watched.asked) == 1:
                watched.after_first()
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(answer.content)))
            # Said aloud: workerd would ask again on a connection that is only about to close.
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    watched.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield watched
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def deployments(prod: str, debug: str, watched: str, gone: str, silent: str) -> dict[str, dict[str, Any]]:
    """Host name → what its Conductor is deployed with, beginning with the file's own two environments."""
    config = tomllib.loads((CONDUCTOR / "wrangler.toml").read_text("utf-8"))
    shared = {name: config[name] for name in ("main", "compatibility_date")}
    own = {name: {**shared, **value} for name, value in config["env"].items()}
    own["prod"] = {**shared, "vars": config["vars"], "services": config["services"]}

    def deployed(environment: str, services: object = None, **vars: str) -> dict[str, Any]:
        base = own[environment]
        return {
            **base,
            "vars": {**base["vars"], **vars},
            "services": base["services"] if services is None else services,
        }

    return {
        "prod.example.com": deployed("prod"),
        "smallest.example.com": {**deployed("prod"), "main": "smallest.ts"},
        "http.example.com": deployed("prod", [], RESOLVER_URL=prod),
        "bound.example.com": deployed("prod", RESOLVER_URL="https://edge-resolver"),
        "debug.example.com": deployed("debug"),
        "http.debug.example.com": deployed("debug", [], RESOLVER_URL=debug + "/", RESOLVER_TOKEN=TOKEN),
        "bound.debug.example.com": deployed("debug", RESOLVER_URL="https://edge-resolver-debug", RESOLVER_TOKEN=TOKEN),
        "no-token.example.com": deployed("debug", RESOLVER_URL="https://edge-resolver-debug"),
        "wrong-token.example.com": deployed("debug", [], RESOLVER_URL=debug, RESOLVER_TOKEN="another"),
        "watched.example.com": deployed("prod", [], RESOLVER_URL=watched),
        "gone-http.example.com": deployed("prod", [], RESOLVER_URL=gone),
        "gone-rpc.example.com": deployed("prod", [{"binding": "RESOLVER", "service": "gone"}]),
        "silent-http.example.com": deployed("prod", [], RESOLVER_URL=silent, RESOLVER_BUDGET="250"),
        "silent-rpc.example.com": deployed(
            "prod", [{"binding": "RESOLVER", "service": "silent"}], RESOLVER_BUDGET="250"
        ),
    }


def conductor(name: str, deployed: dict[str, Any]) -> dict[str, Any]:
    """A Conductor as a service of workerd's, which strips the types itself."""
    files = [deployed["main"], "resolver.ts"]
    services = {"gone": ("down", "Gone"), "silent": ("down", "Silent")}
    bindings: list[Any] = [{"name": key, "text": text} for key, text in deployed["vars"].items()]
    for bound in deployed["services"]:
        service, entrypoint = services.get(bound["service"], (bound["service"], None))
        target = {"name": service} if entrypoint is None else {"name": service, "entrypoint": entrypoint}
        bindings.append({"name": bound["binding"], "service": target})
    worker = {
        "modules": [{"name": file, "esModule": Embed(CONDUCTOR / file)} for file in files],
        "compatibilityDate": deployed["compatibility_date"],
        "compatibilityFlags": ["experimental", "typescript_strip_types"],
        "bindings": bindings,
        # The platform's own lets nobody reach this machine.
        "globalOutbound": "this-machine",
    }
    return {"name": name, "worker": worker}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    edges = [
        Edge("edge-resolver", variables={"ALLOW_ANONYMOUS": "true", "FRESH_FOR": "0.2", "RETRY_FOR": "0.2"}),
        Edge("edge-resolver-debug", variables={"ENVIRONMENT": "debug", "RESOLVER_TOKEN": TOKEN}),
    ]
    ports = {edge.name: free_port() for edge in edges}
    prod, debug = (f"http://127.0.0.1:{port}" for port in ports.values())
    # One port that nobody listens on, and one where nobody ever answers.
    with closing(socket.socket()) as closed, closing(socket.socket()) as deaf, watching(prod) as watched:
        closed.bind(("127.0.0.1", 0))
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        gone, silent = (f"http://127.0.0.1:{end.getsockname()[1]}" for end in (closed, deaf))
        conductors = deployments(prod, debug, watched.url, gone, silent)
        services = [
            *(conductor(host, deployed) for host, deployed in conductors.items()),
            {"name": "down", "worker": script(CONDUCTOR / "down.js")},
            {"name": "this-machine", "network": {"allow": ["local", "private"]}},
        ]
        sockets = {host: host for host in conductors}
        with (
            workerd(edges, services=services, sockets=sockets, ports=ports) as process,
            Isolate(process, "edge-resolver") as asked,
            Isolate(process, "edge-resolver-debug") as other,
            ExitStack() as open_clients,
        ):
            lever(asked, put=published(20))
            clients = {
                host: open_clients.enter_context(httpx.Client(base_url=process.urls[host], timeout=30))
                for host in conductors
            }
            yield World(asked, other, clients, watched)
            assert "Traceback" not in process.said


def ran(response: httpx.Response) -> list[tuple[str, str, str, str]]:
    """Agent, operation, version and content of what ran; each of these agents has one component."""
    return [
        (agent["agent"], agent["operation"], component["version"], component["content"])
        for agent in response.raise_for_status().json()["ran"]
        for component in agent["components"]
    ]


def content(name: str, version: str) -> str:
    return published(1)[f"components/{name}/{version}"][0]


#: Every way to the production resolver: RPC, HTTP over the network, HTTP through the binding.
WAYS = ["prod.example.com", "http.example.com", "bound.example.com"]


@pytest.mark.parametrize("host", WAYS)
@pytest.mark.parametrize(("user", "variant", "version"), [(4, "variant-a", "v1.5.0"), (7, "variant-b", "v1.8.0")])
def test_each_user_runs_one_variant(world: World, host: str, user: int, variant: str, version: str) -> None:
    response = world.test(host, {"input": {"user_id": user}}, key="user-42")
    assert ran(response) == [(variant, "think", version, content("my-prompt", version))]
    answer = response.json()
    assert answer["ran"][0]["input"] == {"user_id": user}
    assert [agent["reason"] for agent in answer["skipped"]] == ["condition"]
    assert (answer["ensemble"], answer["environment"], answer["key"]) == ("ab-test-historical", "prod", "user-42")


@pytest.mark.parametrize("host", WAYS)
@pytest.mark.parametrize("sent", ["customer data from Tuesday", None, [None, {"a": None}], 0, {}])
def test_the_input_is_any_json_value(world: World, host: str, sent: object) -> None:
    response = world.test(host, {"input": sent}, ensemble="canary", environment="staging")
    assert ran(response) == [("answer", "think", "v1.1.0", content("my-prompt", "v1.1.0"))]
    assert response.json()["ran"][0]["input"] == sent


@pytest.mark.parametrize("host", WAYS)
@pytest.mark.parametrize(
    "query", [{}, {"environment": "prod-eu"}, {"component": "my-prompt", "at": "2024-11-12T14:47:00Z"}]
)
def test_the_version_is_the_resolvers_to_the_byte(world: World, host: str, query: dict[str, str]) -> None:
    ours, theirs = world.version(host, **query), world.prod.get("/version", params=query)
    assert ours.raise_for_status().content == theirs.content
    assert ours.headers["content-type"] == theirs.headers["content-type"]


@pytest.mark.parametrize("host", WAYS)
def test_a_problem_is_handed_on_with_its_status(world: World, host: str) -> None:
    unknown = world.test(host, {"input": None}, ensemble="ab-test-historicla")
    theirs = world.prod.post("/ensembles/ab-test-historicla/resolve", json={"input": None})
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    assert unknown.json() == theirs.json()
    assert "ab-test-historical" in unknown.json()["detail"]
    assert world.test(host, {"input": None}, at="yesterday").status_code == 400
    assert world.version(host, environment="nope").json()["field"] == "environment"


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("gone-http.example.com", ""),
        ("gone-rpc.example.com", ""),
        ("silent-http.example.com", "no answer within 250 ms"),
        ("silent-rpc.example.com", "no answer within 250 ms"),
    ],
)
def test_a_resolver_that_is_down_is_a_503(world: World, host: str, why: str) -> None:
    for response in (world.test(host, {"input": {"user_id": 4}}), world.version(host)):
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        problem = response.json()
        assert problem["title"] == "No answer from the resolver"
        assert problem["detail"].startswith("the resolver was asked, and failed: " + why)


@pytest.mark.parametrize("host", ["debug.example.com", "http.debug.example.com", "bound.debug.example.com"])
def test_the_debug_environment_runs_debugs_pointers(world: World, host: str) -> None:
    """Over RPC the binding is the permission; over HTTP the token is."""
    response = world.test(host, {"input": "customer data from Tuesday"}, ensemble="group")
    assert response.json()["environment"] == "debug"
    assert ran(response) == [
        (agent, "think", DEBUG[name], content(name, DEBUG[name]))
        for agent, name in (("extract", "extraction-prompt"), ("analyze", "analysis-prompt"))
    ]
    shown = world.debug.get("/version", headers={"authorization": f"Bearer {TOKEN}"})
    assert world.version(host).content == shown.content
    assert shown.json() == {"environment": "debug", "components": DEBUG}


@pytest.mark.parametrize(
    ("host", "detail"), [("no-token.example.com", "send the deployment's token"), ("wrong-token.example.com", "is not")]
)
def test_a_refused_token_is_conductors_own_mistake(world: World, host: str, detail: str) -> None:
    for response in (world.test(host, {"input": None}), world.version(host)):
        assert (response.status_code, response.json()["status"]) == (502, 502)
        assert detail in response.json()["detail"]


def test_the_past_runs_without_a_debug_environment(world: World) -> None:
    response = world.test("prod.example.com", {"input": "x"}, ensemble="canary", at="2024-11-12T14:47:00Z")
    assert ran(response) == [("answer", "think", "v1.1.0", content("my-prompt", "v1.1.0"))]


def test_a_run_keeps_its_versions_while_others_are_published(world: World) -> None:
    def publish() -> None:
        moved = published(21, validation_config={"prod": "v1.5.0"}, staged={"prod": "v2.0.0"})
        lever(world.prod, put={"component-versions": moved["component-versions"]})
        refreshed(world.prod)

    world.watched.asked.clear()
    world.watched.after_first = publish
    try:
        response = world.test("watched.example.com", {"input": {"user_id": 4}}, ensemble="staged")
    finally:
        world.watched.after_first = lambda: None
        lever(world.prod, put={"component-versions": published(22)["component-versions"]})
        refreshed(world.prod)

    assert response.status_code == 200, response.text
    config = content("validation-config", "v1.4.0")
    assert ran(response) == [
        ("extract", "think", "v1.0.5", content("extraction-prompt", "v1.0.5")),
        ("validate", "code", "v1.4.0", config),
        ("conclude", "think", "v1.4.0", config),
    ]
    answer = response.json()
    assert (answer["key"], answer["revision"]) == ("4", "generation 20")
    assert answer["skipped"] == [
        {"name": "apologize", "reason": "condition"},
        {"name": "regret", "reason": "condition"},
        {"name": "report", "reason": "needs", "needs": ["state"]},
    ]

    paths, asked, answers = zip(*world.watched.asked, strict=True)
    assert paths == ("/ensembles/staged/resolve", *["/ensembles/staged%40v1.0.0/resolve"] * 2)
    assert asked[0] == {"input": {"user_id": 4}, "content": True}
    assert asked[1].keys() == {"input", "key", "context"}
    assert [list(question["context"]["outputs"]) for question in asked[1:]] == [
        ["extract"],
        ["extract", "validate", "apologize"],
    ]
    # What was published meanwhile did reach the resolver; the run was not to see it.
    assert [given["snapshot"]["generation"] for given in answers] == [20, 21, 21]
    assert answers[1]["agents"][1]["references"][0]["version"] == "v1.5.0"


def test_the_smallest_worker_asks_as_well(world: World) -> None:
    response = world.test("smallest.example.com", {"user_id": 7})
    (agent,) = response.raise_for_status().json()
    assert (agent["name"], agent["references"][0]["content"]) == ("variant-b", content("my-prompt", "v1.8.0"))


def test_a_get_runs_without_an_input(world: World) -> None:
    response = world.conductors[WAYS[0]].get("/test?ensemble=canary&at=2024-11-12T14:47:00Z")
    assert [version for _, _, version, _ in ran(response)] == ["v1.1.0"]
    assert "input" not in response.json()["ran"][0]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b'{"data": 1}'])
def test_a_body_without_input_is_told_what_is_wanted(world: World, body: bytes) -> None:
    response = world.conductors[WAYS[0]].post("/test", content=body)
    assert response.status_code == 400
    assert '{"input": any value}' in response.json()["detail"]


def test_another_path_is_told_what_there_is(world: World) -> None:
    response = world.conductors[WAYS[0]].get("/tests")
    assert response.status_code == 404
    assert response.json()["detail"] == "there are GET and POST /test, and GET /version"


# What the docs show


def parts(file: Path) -> dict[str, str]:
    """The marked parts of a source by their names; of one without marks all of it, by the name of the file."""
    text = file.read_text("utf-8")
    marked = re.findall(r"^// docs: (\w+)\n(.*?)^// docs: end\n", text, re.DOTALL | re.MULTILINE)
    found = {f"{file.name}: {name}": part for name, part in marked}
    return found or {file.name: text}


def test_the_docs_show_what_runs() -> None:
    blocks = re.findall(
        r"^<!-- ([\w.]+(?:: \w+)?) -->\n```\w+\n(.*?)^```$", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == len(dict(blocks)), "a part is shown twice"
    files = ("smallest.ts", "resolver.ts", "worker.ts", "wrangler.toml")
    assert dict(blocks) == {name: part for file in files for name, part in parts(CONDUCTOR / file).items()}


def test_the_binding_names_the_resolvers_deployments() -> None:
    resolver = tomllib.loads((ROOT / "wrangler.toml").read_text("utf-8"))
    config = tomllib.loads((CONDUCTOR / "wrangler.toml").read_text("utf-8"))
    assert config["services"] == [{"binding": "RESOLVER", "service": resolver["name"]}]
    assert config["env"].keys() == resolver["env"].keys()
    for name, environment in config["env"].items():
        # wrangler calls a Worker's environment by both names.
        assert environment["services"] == [{"binding": "RESOLVER", "service": f"{resolver['name']}-{name}"}]
