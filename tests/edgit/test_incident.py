"""The operator at 2:47 PM: what a rollback does when something is in its way, and what it says."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgit.git import process
from edgit.kv.local import LocalKv
from edgit.kv.store import KvFailed
from tests.edgit.repo import Repo, with_remote
from tests.worker.test_local import serving

VERSIONS = ("v0.9.0", "v1.0.0", "v1.1.0")


def _built(folder: Path) -> Repo:
    """Three versions, published to prod one after the other."""
    repo, _ = with_remote(folder)
    repo.env["KV"] = str(folder / "kv.sqlite3")
    repo.git("config", "edgit.kv", "local")
    for version in VERSIONS:
        repo.version("my-prompt", version)
        repo.deploy("my-prompt", version)
        repo.edgit("publish")
    repo.git("push", "--quiet", "origin", "HEAD")
    repo.edgit("push")
    return repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    # Not a copy: the record of a local KV goes by its path.
    return _built(tmp_path)


def moves(repo: Repo) -> list[str]:
    """What is on record of prod, the newest first."""
    return [line.partition(" (")[0] for line in repo.edgit("history", "my-prompt", "--from", "prod").out.splitlines()]


@contextmanager
def kv_away() -> Iterator[None]:
    """Nothing can be written to KV."""

    def away(_self: LocalKv, _writes: object) -> None:
        raise KvFailed("the KV did not answer", hint="run it again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalKv, "put_many", away)
        yield


def at_edge(repo: Repo, environment: str = "prod", at: datetime | None = None) -> str | None:
    """What a real edge answers."""
    with serving(Path(repo.env["KV"])) as edge:
        asked = {"environment": environment, "component": "my-prompt"}
        answer = edge.get("/version", params=asked if at is None else {**asked, "at": at.isoformat()})
    found: str | None = answer.json()["components"].get("my-prompt")
    return found


# To repeat it is safe


def test_a_rollback_that_did_not_reach_kv_is_finished_when_it_is_repeated(repo: Repo) -> None:
    with kv_away():
        failed = repo.edgit("rollback", "my-prompt", code=4)
    # What was moved stands before what went wrong, and the hint is the command that finishes.
    assert failed.out == "my-prompt prod: v1.1.0 -> v1.0.0\n"
    assert "error: moved here, and not published:" in failed.err
    assert failed.err.splitlines()[-1].startswith("next: edgit publish")
    # The remote has it all the same: KV's absence keeps nothing from it.
    assert "pushed to origin" in failed.err
    again = repo.edgit("rollback", "my-prompt")
    assert again.out.startswith("my-prompt prod: v1.0.0 already\npublished generation")
    assert "it is finished, not begun again" in again.err
    assert (repo.live("my-prompt"), at_edge(repo)) == ("v1.0.0", "v1.0.0")
    assert moves(repo) == ["prod: v1.0.0", "prod: v1.1.0", "prod: v1.0.0", "prod: v0.9.0"]
    # Now it is done, and a new one begins.
    repo.edgit("rollback", "my-prompt")
    assert repo.live("my-prompt") == "v0.9.0"


def test_a_rollback_says_from_which_version(repo: Repo) -> None:
    refused = repo.edgit("rollback", "my-prompt", "--if-current", "v1.0.0", code=3)
    assert "my-prompt prod is at v1.1.0, not at v1.0.0; nothing was moved" in refused.err
    for _ in range(2):
        code = 0 if repo.live("my-prompt") == "v1.1.0" else 3
        repo.edgit("rollback", "my-prompt", "--if-current", "v1.1.0", code=code)
    assert repo.live("my-prompt") == "v1.0.0"


def test_kv_comes_before_a_remote_that_never_answers(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FIRST_CONTACT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        repo.git("remote", "set-url", "origin", f"git://127.0.0.1:{server.getsockname()[1]}/x")
        begun = time.monotonic()
        answer = repo.edgit("rollback", "my-prompt", code=4)
    assert time.monotonic() - begun < 10
    assert answer.out.startswith("my-prompt prod: v1.1.0 -> v1.0.0\npublished generation")
    assert "not pushed" in answer.err
    assert at_edge(repo) == "v1.0.0"


def test_ctrl_c_says_what_was_done_and_what_is_left(repo: Repo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        repo.git("remote", "set-url", "origin", f"git://127.0.0.1:{server.getsockname()[1]}/x")
        command = [sys.executable, "-m", "edgit.cli", "rollback", "my-prompt"]
        with subprocess.Popen(
            command, cwd=repo.root, env=repo.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            # It looks at the remote before it moves, in vain, and pushes when KV has it.
            server.settimeout(20)
            with server.accept()[0], server.accept()[0]:
                running.send_signal(signal.SIGINT)
                out, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert out.startswith("my-prompt prod: v1.1.0 -> v1.0.0\npublished generation")
    assert err.splitlines()[-2:] == ["error: stopped: moved here, published", "next: edgit push"]


def test_where_only_a_workflow_publishes_a_rollback_moves_and_pushes(repo: Repo) -> None:
    repo.git("config", "edgit.kv", "cloudflare")
    dry = repo.edgit("rollback", "my-prompt", "--dry-run")
    assert (dry.out, dry.err) == ("would move: my-prompt prod: v1.1.0 -> v1.0.0\n", "")
    answer = repo.edgit("rollback", "my-prompt")
    assert answer.out == "my-prompt prod: v1.1.0 -> v1.0.0\n"
    assert "not published from here, but moved and pushed: Cloudflare's KV needs CLOUDFLARE_ACCOUNT_ID" in answer.err
    assert "pushed to origin" in answer.err
    # Who asks for it is told.
    assert "needs CLOUDFLARE_ACCOUNT_ID" in repo.edgit("rollback", "my-prompt", "--kv", "cloudflare", code=1).err


# Good is what ran


def test_what_was_set_and_never_published_is_passed_over(repo: Repo) -> None:
    for version, published in (("v1.2.0", False), ("v1.3.0", True)):
        repo.version("my-prompt", version)
        repo.deploy("my-prompt", version)
        if published:
            repo.edgit("publish")
    repo.edgit("rollback", "my-prompt")
    assert (repo.live("my-prompt"), at_edge(repo)) == ("v1.1.0", "v1.1.0")


def test_what_is_set_and_not_published_goes_back_to_what_runs_and_that_is_told(repo: Repo) -> None:
    repo.version("my-prompt", "v1.2.0")
    repo.deploy("my-prompt", "v1.2.0")
    answer = repo.edgit("rollback", "my-prompt")
    assert answer.out.startswith("my-prompt prod: v1.2.0 -> v1.1.0\n")
    assert (
        "no publish of v1.2.0 is on record here; by the record v1.1.0 runs. If that is what is wrong, then:"
        in answer.err
    )
    repo.edgit("rollback", "my-prompt", "--if-current", "v1.1.0")
    assert (repo.live("my-prompt"), at_edge(repo)) == ("v1.0.0", "v1.0.0")


def test_where_nothing_else_ran_what_was_set_before_is_named(repo: Repo) -> None:
    for version in ("v1.0.0", "v0.9.0"):
        repo.deploy("my-prompt", version, to="prod-eu")
    repo.edgit("publish")
    answer = repo.edgit("rollback", "my-prompt", "--from", "prod-eu", code=1)
    assert "never had another good version in prod-eu than v0.9.0, which is live" in answer.err
    assert "v1.0.0 was set there before, and no publish of it is on record here" in answer.err
    repo.edgit("rollback", "my-prompt@v1.0.0", "--from", "prod-eu")
    assert at_edge(repo, "prod-eu") == "v1.0.0"


def test_what_ran_at_an_instant_has_one_answer(repo: Repo) -> None:
    """Git's record of what was published, and the edge's `?at=`, in a repository whose moves are years old."""
    repo.version("my-prompt", "v1.2.0")
    repo.deploy("my-prompt", "v1.2.0")
    before = datetime.fromtimestamp(repo.now, UTC)
    repo.edgit("publish")
    after = datetime.fromtimestamp(repo.now, UTC)
    asked = ["history", "my-prompt", "--date"]
    assert repo.edgit(*asked, before.isoformat()).out == "v1.1.0\n"
    assert repo.edgit(*asked, after.isoformat()).out == "v1.2.0\n"
    assert (at_edge(repo, at=before), at_edge(repo, at=after)) == ("v1.1.0", "v1.2.0")
    # When it was set in git is another question.
    assert repo.edgit(*asked, before.isoformat(), "--set").out == "v1.2.0\n"
    restored = repo.edgit("restore", "--date", before.isoformat(), "--dry-run")
    assert restored.out == "would move: my-prompt prod: v1.2.0 -> v1.1.0\n"
    # Before the first publish nothing ran, whatever was set.
    long_ago = (before - timedelta(days=1)).isoformat()
    assert repo.edgit("history", "--date", long_ago).out == ""
    assert repo.edgit("history", "--date", long_ago, "--set").out == ""


def test_without_a_record_what_was_set_counts_and_that_is_told(repo: Repo) -> None:
    for ref in repo.refs("refs/edgit/published"):
        repo.git("update-ref", "-d", ref)
    answer = repo.edgit("history", "--date", "2024-11-01T09:20:00Z")
    assert answer.out == "my-prompt: v1.1.0\n"
    assert "no publish is on record here: this is what was set in git" in answer.err
    # The next publish begins a record, from what KV has.
    repo.version("my-prompt", "v1.2.0")
    repo.deploy("my-prompt", "v1.2.0")
    repo.edgit("publish")
    (ref,) = repo.refs("refs/edgit/published")
    assert repo.git("log", "--first-parent", "--format=%s", ref).splitlines() == [
        "publish: generation 8 to local KV " + repo.env["KV"],
        "found: generation 6 in local KV " + repo.env["KV"],
    ]
    repo.edgit("rollback", "my-prompt")
    assert repo.live("my-prompt") == "v1.1.0"


def test_a_canary_that_has_ended_stays_ended(repo: Repo) -> None:
    repo.edgit("deploy", "set", "my-prompt", "v0.9.0", "--to", "prod-canary", "--publish")
    repo.edgit("deploy", "unset", "my-prompt", "--from", "prod-canary", "--publish")
    answer = repo.edgit("rollback", "my-prompt", "--from", "prod-canary", code=1)
    assert "my-prompt was taken out of prod-canary at" in answer.err
    repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--to", "prod-canary", "--publish")
    assert repo.edgit("rollback", "my-prompt", "--from", "prod-canary").out.startswith(
        "my-prompt prod-canary: v1.0.0 -> none\n"
    )


# What still serves it


def test_what_still_serves_the_bad_version_is_named_and_taken_out_with_one_option(repo: Repo) -> None:
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-eu", "--publish")
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-eu-canary", "--publish")
    repo.edgit("canary", "set", "my-prompt", "50")
    answer = repo.edgit("rollback", "my-prompt")
    assert "still served: my-prompt prod-eu: v1.1.0, all requests of prod-eu" in answer.err
    assert "still served: my-prompt prod-eu-canary: v1.1.0, 50 % of the requests of prod-eu" in answer.err
    assert (
        "still served: my-prompt latest and stable: v1.1.0, every reference my-prompt@latest and my-prompt@stable"
        in answer.err
    )
    command = "edgit rollback my-prompt --everywhere --if-current v1.1.0"
    assert f"next: {command}\n" in answer.err
    for _ in range(2):
        repo.edgit(*command.split()[1:])
        # prod-eu never had another, and goes where prod is; prod itself goes no further back.
        assert (repo.live("my-prompt"), at_edge(repo, "prod-eu")) == ("v1.0.0", "v1.0.0")
        assert "prod-eu-canary" not in repo.edgit("components", "list", "--format", "json").out


def test_everywhere_in_the_first_place(repo: Repo) -> None:
    repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--to", "prod-eu", "--publish")
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-eu", "--publish")
    answer = repo.edgit("rollback", "my-prompt", "--everywhere")
    assert "my-prompt prod: v1.1.0 -> v1.0.0\nmy-prompt prod-eu: v1.1.0 -> v1.0.0\n" in answer.out


def test_a_promotion_says_what_still_serves_what_it_replaced(repo: Repo) -> None:
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-eu", "--publish")
    repo.version("my-prompt", "v1.2.0")
    repo.deploy("my-prompt", "v1.2.0", to="staging")
    answer = repo.edgit("promote", "my-prompt", "--from", "staging", "--publish")
    assert "still served: my-prompt prod-eu: v1.1.0, all requests of prod-eu" in answer.err


# A whole environment


def test_the_last_release_is_taken_back_whole_and_only_once(repo: Repo) -> None:
    for name in ("my-config", "my-query"):
        repo.version(name, "v1.0.0")
    release = ["my-prompt@v1.0.0", "my-config@v1.0.0", "my-query@v1.0.0"]
    repo.edgit("deploy", "set", *release, "--publish")
    with kv_away():
        repo.edgit("rollback", "--release", code=4)
    repo.edgit("rollback", "--release")
    listed = "my-prompt: v1.1.0\n"
    assert repo.edgit("history", "--date", datetime.fromtimestamp(repo.now, UTC).isoformat()).out == listed
    assert at_edge(repo) == "v1.1.0"


def test_a_whole_environment_goes_back_to_a_generation(repo: Repo) -> None:
    repo.version("my-config", "v1.0.0")
    repo.edgit("deploy", "set", "my-config", "v1.0.0", "--publish")
    generation = int(repo.git("log", "-1", "--format=%b", *repo.refs("refs/edgit/published")).split(": ")[-1])
    answer = repo.edgit("rollback", "--generation", str(generation - 3))
    assert "my-config prod: v1.0.0 -> none\nmy-prompt prod: v1.1.0 -> v1.0.0\n" in answer.out
    assert at_edge(repo) == "v1.0.0"
    assert "nothing was live in prod at generation 1" in repo.edgit("rollback", "--generation", "1", code=1).err


# The edge


def test_a_rollback_waits_until_the_edge_answers_it(repo: Repo) -> None:
    with serving(Path(repo.env["KV"])) as edge:
        asked = {"environment": "prod", "component": "my-prompt"}
        assert edge.get("/version", params=asked).json()["components"]["my-prompt"] == "v1.1.0"
        repo.git("config", "edgit.url", str(edge.base_url))
        answer = repo.edgit("rollback", "my-prompt")
        assert edge.get("/version", params=asked).json()["components"]["my-prompt"] == "v1.0.0"
    assert " answers from generation 7 (after " in answer.out
    assert answer.err.splitlines()[-1].startswith("note: done in ")
