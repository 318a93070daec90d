"""The two addresses that edgit talks to besides KV and metrics: the edge, and GitHub."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from edgit import edge
from edgit.errors import EdgitError, NotReached
from edgit.git.process import Git
from edgit.remote import workflow as github
from tests.edgit.repo import make
from tests.worker.fakes import Behind, FakeClock, FakeStore
from worker.edge import Edge, Platform
from worker.http import Request, handle
from worker.settings import read_settings


@dataclass
class Server:
    """A server that answers as it is told, and remembers what it was asked."""

    url: str = ""
    asked: list[tuple[str, str, str | None, str]] = field(default_factory=list)


@contextmanager
def serving(answer: Callable[[int, str, str], tuple[int, object]]) -> Iterator[Server]:
    """`answer` gets how many questions came before, the method and the path; it gives status and JSON."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            number = len(server.asked)
            server.asked.append((self.command, self.path, self.headers.get("authorization"), body))
            status, value = answer(number, self.command, self.path)
            data = b"" if status == 204 else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _any

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def snapshot(generation: int | None, revision: str | None = "abc") -> tuple[int, object]:
    told = {"generation": generation, "revision": revision, "source": "kv"}
    return 200, {"status": "ok", "snapshot": told, "problems": []}


def wait(server: Server, generation: int, timeout: float = 60.0) -> float:
    clock = Clock()
    with edge.connect(server.url, {"RESOLVER_TOKEN": "secret"}) as client:
        return edge.wait_until_published(client, generation, "abc", timeout=timeout, clock=clock, sleep=clock.sleep)


def test_the_edge_shows_a_generation_when_several_answers_in_a_row_do() -> None:
    # One isolate has it early; the wait begins anew when another one has not.
    told = [6, 7, 7, 6, 6, 7, 7, 7, 7, 7]
    with serving(lambda number, _m, _p: snapshot(told[number])) as server:
        took = wait(server, 7)
    assert len(server.asked) == len(told)
    assert took == pytest.approx(3 * edge.EVERY)
    assert {(method, path, token, body) for method, path, token, body in server.asked} == {
        ("GET", "/health", "Bearer secret", "")
    }


def test_a_later_generation_will_do_and_the_same_one_of_another_ledger_will_not() -> None:
    with serving(lambda *_: snapshot(9, "other")) as server:
        assert wait(server, 7) == 0
        with pytest.raises(NotReached, match="still answers from generation 9"):
            wait(server, 9, timeout=1)


def test_an_edge_that_never_shows_it_is_told_with_what_it_shows() -> None:
    with serving(lambda *_: snapshot(None, None)) as server, pytest.raises(NotReached) as caught:
        wait(server, 7, timeout=3)
    assert "generation none (source kv) after 3 s; generation 7 is published" in caught.value.detail


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"title": "Unauthorized"}), "answered 401"),
        ((200, {"snapshot": {"generation": 7}, "problems": None}), "does not take the token in RESOLVER_TOKEN"),
        ((503, {"title": "KV is unreachable"}), "answered 503"),
        ((200, []), "answered 200"),
        ((200, {"snapshot": None}), "answered 200"),
    ],
)
def test_an_answer_that_is_none_is_told(answer: tuple[int, object], said: str) -> None:
    with serving(lambda *_: answer) as server, pytest.raises(EdgitError, match=said):
        wait(server, 7)


def test_an_edge_that_is_not_there_is_told() -> None:
    with serving(lambda *_: snapshot(1)) as server:
        pass
    with pytest.raises(NotReached, match="did not answer"):
        wait(server, 1)


def test_the_real_edge_answers_the_question() -> None:
    clock, store, behind = FakeClock(), FakeStore(), Behind()
    store.publish({"a": {"prod": "v1.0.0"}}, generation=6)
    app = Edge(read_settings({"ALLOW_ANONYMOUS": "true"}), clock.clock(), draw_key=lambda: "k")

    def answer(asked: httpx.Request) -> httpx.Response:
        request = Request(asked.method, asked.url.path, "", dict(asked.headers), asked.content)

        async def handled() -> httpx.Response:
            found = await handle(app, request, Platform(store, behind))
            await behind.run()
            return httpx.Response(found.status, content=found.body)

        return asyncio.run(handled())

    def sleep(seconds: float) -> None:
        clock.time += seconds

    with httpx.Client(base_url="http://edge", transport=httpx.MockTransport(answer)) as client:
        assert edge.ask(client) == edge.EdgeAnswer(6, "r6", "kv")
        store.publish({"a": {"prod": "v1.1.0"}}, generation=7)
        took = edge.wait_until_published(client, 7, "r7", timeout=60, clock=lambda: clock.time, sleep=sleep)
    # A busy edge goes on with what it holds for FRESH_FOR.
    assert 5 <= took <= 6


@pytest.mark.parametrize(("shown", "taken"), [("right", True), ("wrong", False), ("", True)])
def test_the_real_edge_tells_whether_it_takes_the_token(shown: str, taken: bool) -> None:
    store = FakeStore()
    store.publish({"a": {"prod": "v1.0.0"}}, generation=6)
    app = Edge(read_settings({"RESOLVER_TOKEN": "right"}), FakeClock().clock(), draw_key=lambda: "k")

    def answer(asked: httpx.Request) -> httpx.Response:
        request = Request(asked.method, asked.url.path, "", dict(asked.headers), asked.content)
        found = asyncio.run(handle(app, request, Platform(store, Behind())))
        return httpx.Response(found.status, content=found.body)

    headers = {"Authorization": f"Bearer {shown}"} if shown else {}
    with httpx.Client(base_url="http://edge", headers=headers, transport=httpx.MockTransport(answer)) as client:
        if taken:
            assert edge.ask(client).generation == 6
        else:
            with pytest.raises(EdgitError, match="does not take the token"):
                edge.ask(client)


# GitHub


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL"):
        monkeypatch.delenv(name, raising=False)
    repo = make(tmp_path / "work")
    repo.git("remote", "add", "origin", "git@github.com:acme/prompts.git")
    return Git.open(repo.root)


def test_no_workflow_is_named_and_none_is_started(git: Git) -> None:
    assert github.dispatch(git) is None


def test_the_workflow_is_started_on_the_default_branch(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    git.run("config", "edgit.workflow", "publish.yml")

    def answer(_n: int, method: str, _p: str) -> tuple[int, object]:
        return (200, {"default_branch": "trunk"}) if method == "GET" else (204, None)

    with serving(answer) as server:
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        monkeypatch.setenv("GITHUB_TOKEN", "secret")
        assert github.dispatch(git) == "started the workflow publish.yml on trunk"
    assert server.asked == [
        ("GET", "/repos/acme/prompts", "Bearer secret", ""),
        ("POST", "/repos/acme/prompts/actions/workflows/publish.yml/dispatches", "Bearer secret", '{"ref":"trunk"}'),
    ]


@pytest.mark.parametrize(
    ("token", "remote", "said"),
    [
        (None, "git@github.com:acme/prompts.git", "GITHUB_TOKEN is not set"),
        ("secret", "/srv/git/prompts.git", "the remote is not at GitHub"),
        ("secret", "https://github.com/acme/prompts", "404"),
    ],
)
def test_a_workflow_that_cannot_be_started_is_told_and_fails_nothing(
    git: Git, monkeypatch: pytest.MonkeyPatch, token: str | None, remote: str, said: str
) -> None:
    git.run("config", "edgit.workflow", "publish.yml")
    git.run("remote", "set-url", "origin", remote)
    with serving(lambda *_: (404, {"message": "Not Found"})) as server:
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        if token:
            monkeypatch.setenv("GITHUB_TOKEN", token)
        told = github.dispatch(git)
    assert told is not None
    assert said in told
    assert "gh workflow run publish.yml" in told
