"""docs/guard.md: what it says to put into a workflow is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from edgit.kv.local import LocalKv
from resolver.documents import VERSION_MAP
from tests.edgit.repo import Repo, clone, make

IN_CI = (Path(__file__).parents[2] / "docs/guard.md").read_text("utf-8").partition("## In CI")[2]
STEP = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", IN_CI, re.DOTALL | re.MULTILINE)[0])[0]
GO_ON = re.findall(r"^```sh\n(.*?)^```", IN_CI, re.DOTALL | re.MULTILINE)[0]


@contextmanager
def serving(answer: str) -> Iterator[str]:
    """An address that always answers this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def checkout(tmp_path: Path) -> Repo:
    """A fresh clone, as a workflow has it, of a remote where v1.0.0 is live and v1.1.0 is there."""
    origin = make(tmp_path / "origin.git", bare=True)
    ada = make(tmp_path / "ada")
    ada.git("remote", "add", "origin", str(origin.root))
    for version in ("v1.0.0", "v1.1.0"):
        ada.version("my-prompt", version)
    ada.deploy("my-prompt", "v1.0.0")
    ada.edgit("publish", "--kv", f"local={tmp_path / 'kv.sqlite3'}")
    ada.git("push", "--quiet", "origin", "main")
    ada.edgit("push")
    return clone(origin, tmp_path / "checkout")


def run(repo: Repo, script: str, metrics: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script as a workflow's step runs it, but for the times and the place of KV."""
    place = {"KV": f"local={repo.root.parent / 'kv.sqlite3'}", "SETTLE": "0", "WINDOW": "3", "METRICS_URL": metrics}
    # Who acts, and when, is not said here: the step says it.
    around = {
        name: value
        for name, value in repo.environment().items()
        if not name.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=repo.root,
        env={**around, "PATH": path, **place, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def served(repo: Repo) -> str:
    held = LocalKv(repo.root.parent / "kv.sqlite3").get_many([VERSION_MAP])[VERSION_MAP]
    assert held is not None
    return str(json.loads(held.value)["my-prompt"]["prod"])


@pytest.mark.parametrize(
    ("rate", "code", "live"), [("0.009", 0, "v1.1.0"), ("0.5", 1, "v1.0.0"), ("soon", 2, "v1.1.0")]
)
def test_the_step_deploys_watches_and_rolls_back(checkout: Repo, rate: str, code: int, live: str) -> None:
    assert STEP["env"].keys() >= {"KV", "METRICS_URL", "SETTLE", "WINDOW"}
    with serving(rate) as metrics:
        done = run(checkout, STEP["run"], metrics)
    assert done.returncode == code, done.stdout + done.stderr
    # At the edge, and for everybody else.
    assert served(checkout) == live
    other = clone(Repo(checkout.root.parent / "origin.git"), checkout.root.parent / "other", name="Bob")
    other.edgit("pull")
    assert other.live("my-prompt") == live


def test_only_what_could_not_be_told_passes(checkout: Repo) -> None:
    deploy = 'git config edgit.kv "$KV"; edgit pull; edgit deploy set my-prompt v1.1.0 --to prod --publish'
    with serving("soon") as metrics:
        kv = run(checkout, f"git config user.name A; git config user.email a@b.c; {deploy}; {GO_ON}", metrics)
        assert kv.returncode == 0, kv.stderr
        assert "Could not tell" in kv.stdout
    # What was not watched does not: here since nobody said where KV is.
    checkout.git("config", "--unset", "edgit.kv")
    unwatched = run(checkout, GO_ON, metrics)
    assert unwatched.returncode != 0
    assert "no KV is named" in unwatched.stderr
