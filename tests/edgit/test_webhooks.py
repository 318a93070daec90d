"""Webhooks: who hears of what, signed, and never in the way."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgit.webhooks import SIGNATURE, TIMEOUT
from tests.edgit.repo import Repo, make


@dataclass
class Heard:
    """What a webhook's server was sent; the first part of a path says how it answers."""

    url: str = ""
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return [(path, json.loads(body)) for path, _, body in self.posts]


@pytest.fixture
def heard() -> Iterator[Heard]:
    found = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.posts.append((self.path, dict(self.headers), body))
            self.send_response(503 if self.path.startswith("/down") else 204)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"0.5")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = make(tmp_path / "work")
    repo.env["KV"] = str(tmp_path / "kv.sqlite3")
    for version in ("v1.0.0", "v1.1.0"):
        repo.version("my-prompt", version)
        repo.deploy("my-prompt", version)
        repo.edgit("publish", "--kv", "local")
    return repo


def hook(name: str, url: str, on: str | None = None) -> str:
    return f'[webhook "{name}"]\n\turl = {url}\n' + (f"\ton = {on}\n" if on else "")


def test_each_webhook_hears_what_it_asked_for(repo: Repo, heard: Heard) -> None:
    settings = hook("all", f"{heard.url}/all") + hook("pager", f"{heard.url}/pager", "rollback, breach")
    repo.write(".edgit/config", settings + hook("later", "$PAGER_URL"))
    repo.deploy("my-prompt", "v1.0.0", to="staging")
    # What moves nothing tells nobody.
    repo.deploy("my-prompt", "v1.0.0", to="staging")
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "staging", "--dry-run")
    repo.version("my-prompt", "v1.2.0")
    ((path, said),) = heard.events
    assert (path, said["event"], said["reason"]) == ("/all", "move", None)
    assert said["moved"] == [{"component": "my-prompt", "environment": "staging", "before": None, "version": "v1.0.0"}]
    assert said["actor"] == "Ada <ada@example.com>"
    heard.posts.clear()
    repo.env["PAGER_URL"] = f"{heard.url}/later"
    repo.edgit("rollback", "my-prompt", "--kv", "local", "--reason", "wrong answers")
    assert sorted((path, said["event"]) for path, said in heard.events) == [
        ("/all", "rollback"), ("/later", "rollback"), ("/pager", "rollback"),
    ]  # fmt: skip
    assert heard.events[0][1]["reason"] == "wrong answers"
    assert heard.events[0][1]["published"]["generation"] == heard.events[0][1]["generation"]
    heard.posts.clear()
    repo.edgit("freeze", "prod", "--until", "2099-01-01T00:00Z", "--reason", "x")
    assert sorted((path, said["event"], said["reason"]) for path, said in heard.events) == [
        ("/all", "freeze", "x"), ("/later", "freeze", "x"),
    ]  # fmt: skip


def test_a_breach_is_told_and_what_was_done(repo: Repo, heard: Heard) -> None:
    repo.git("config", "webhook.pager.url", f"{heard.url}/pager")
    repo.git("config", "webhook.pager.on", "breach")
    watch = ("my-prompt", "--metrics", heard.url, "--threshold", "1%", "--window", "3", "--kv", "local")
    repo.edgit("guard", *watch, "--watch-only", code=1)
    repo.edgit("guard", *watch, code=1)
    (_, watched), (_, rolled_back) = heard.events
    assert (watched["event"], watched["version"], watched["rolled_back"]) == ("breach", "v1.1.0", None)
    assert "is bad" in watched["reason"]
    assert rolled_back["rolled_back"].startswith("my-prompt prod is back at v1.0.0")


def test_the_body_is_signed(repo: Repo, heard: Heard) -> None:
    repo.write(".edgit/config", hook("pager", heard.url))
    repo.deploy("my-prompt", "v1.0.0", to="staging")
    repo.env["EDGIT_WEBHOOK_SECRET"] = "a secret"
    repo.deploy("my-prompt", "v1.1.0", to="staging")
    (_, unsigned, _), (_, headers, body) = heard.posts
    assert SIGNATURE not in unsigned
    assert headers[SIGNATURE] == f"sha256={hmac.new(b'a secret', body, hashlib.sha256).hexdigest()}"


def test_what_goes_wrong_is_a_warning_without_the_address(repo: Repo, heard: Heard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        quiet = f"http://127.0.0.1:{silent.getsockname()[1]}/SECRET"
        urls = {
            "silent": quiet,
            "again": quiet,
            "down": f"{heard.url}/down/SECRET",
            "none": "http://127.0.0.1:1/SECRET",
        }
        odd = {"odd": "SECRET", "file": "file:///SECRET"}
        repo.write(".edgit/config", "".join(hook(name, url) for name, url in {**urls, **odd}.items()))
        begin = time.monotonic()
        answer = repo.deploy("my-prompt", "v1.0.0", to="staging")
        took = time.monotonic() - begin
    # All together, and not one after the other.
    assert took < 2 * TIMEOUT
    assert answer.code == 0
    assert repo.live("my-prompt", "staging") == "v1.0.0"
    assert "SECRET" not in answer.all
    for name, why in {"silent": "", "again": "", "down": "answered 503", "none": "could not be reached"}.items():
        assert f"warning: the webhook `{name}` {why}" in answer.err
    assert "the webhook `odd` could not be reached" in answer.err
