"""What a clone says of what is live where the remote knows more: it fetches first, or says how old its word is."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgit.git.process import Git
from edgit.remote import freshness
from tests.edgit.repo import Repo, clone, copied, with_remote

LEDGER = "refs/edgit/ledger"


def _begin(folder: Path) -> Repo:
    """Ada's repository and its remote, with two versions and v1.0.0 live."""
    ada, _ = with_remote(folder)
    ada.version("my-prompt", "v1.0.0")
    ada.version("my-prompt", "v1.1.0")
    ada.version("other", "v1.0.0")
    ada.deploy("my-prompt", "v1.0.0")
    ada.git("push", "--quiet")
    ada.edgit("push")
    return ada


@pytest.fixture
def ada(tmp_path: Path) -> Repo:
    return copied(_begin, tmp_path)


@pytest.fixture
def bob(ada: Repo, tmp_path: Path) -> Repo:
    """A clone that is up to date."""
    bob = clone(remote_of(ada), tmp_path / "bob", name="Bob")
    bob.edgit("pull")
    return bob


def remote_of(ada: Repo) -> Repo:
    return Repo(ada.root.parent / "origin.git", ada.now)


def away(ada: Repo) -> None:
    shutil.move(remote_of(ada).root, remote_of(ada).root.with_suffix(".away"))


def forget(repo: Repo) -> None:
    """A minute goes by."""
    (repo.root / ".git/edgit/seen.json").unlink(missing_ok=True)


def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The remotes that are asked from now on."""
    asked: list[str] = []
    ask = Git.remote_refs

    def counted(git: Git, remote: str, *patterns: str, known: int = 0, bound: float | None = None) -> dict[str, str]:
        asked.append(remote)
        return ask(git, remote, *patterns, known=known, bound=bound)

    monkeypatch.setattr(Git, "remote_refs", counted)
    return asked


@pytest.fixture
def silent(bob: Repo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repo]:
    """Bob's clone, whose remote takes the connection and says nothing."""
    monkeypatch.setattr(freshness, "LOOK", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        bob.git("remote", "set-url", "origin", f"git://127.0.0.1:{server.getsockname()[1]}/x")
        yield bob


# Questions


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("deploy get my-prompt --from prod", "v1.0.0\n"),
        ("components list --format json", '"prod": "v1.0.0"'),
        ("history", "prod: v1.0.0"),
        ("history --date 2024-11-02T00:00:00Z", "my-prompt: v1.0.0\n"),
        ("status", "generation 4"),
        ("diff my-prompt v1.1.0", "+my-prompt v1.0.0"),
    ],
)
def test_a_clone_without_the_ledger_fetches_it_before_it_answers(
    ada: Repo, tmp_path: Path, command: str, answer: str
) -> None:
    fresh = clone(remote_of(ada), tmp_path / "fresh", "--no-tags", name="Carol")
    found = fresh.edgit(*command.split())
    assert answer in found.out
    assert found.err.count("origin had 4 moves that this clone had not; they are here now") == 1
    assert fresh.refs()[LEDGER] == ada.refs()[LEDGER]


def test_a_clone_that_is_behind_fetches_before_it_answers(ada: Repo, bob: Repo) -> None:
    ada.deploy("my-prompt", "v1.1.0")
    ada.edgit("push")
    forget(bob)
    answer = bob.edgit("deploy", "get", "my-prompt", "--from", "prod")
    assert answer.out == "v1.1.0\n"
    assert "origin had 1 move that this clone had not" in answer.err
    assert bob.tagged("my-prompt") == "v1.1.0"
    # The second time there is nothing to say.
    assert bob.edgit("deploy", "get", "my-prompt", "--from", "prod").err == ""


def test_a_script_looks_once_a_minute(bob: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = looks(monkeypatch)
    for _ in range(5):
        bob.edgit("deploy", "get", "my-prompt", "--from", "prod")
    assert asked == ["origin"]
    stamp = bob.root / ".git/edgit/seen.json"
    told = json.loads(stamp.read_text())
    stamp.write_text(json.dumps({**told, "at": told["at"] - freshness.ENOUGH - 1}))
    bob.edgit("deploy", "get", "my-prompt", "--from", "prod")
    assert asked == ["origin", "origin"]


def test_a_clone_with_moves_of_its_own_says_that_it_is_behind(ada: Repo, bob: Repo) -> None:
    bob.deploy("other", "v1.0.0")
    ada.deploy("my-prompt", "v1.1.0")
    ada.edgit("push")
    before = bob.refs()
    for _ in range(2):
        answer = bob.edgit("deploy", "get", "my-prompt", "--from", "prod")
        assert answer.out == "v1.0.0\n"
        forget(bob)
    assert "origin has moves that this clone has not, which has moves of its own" in answer.err
    assert "Next: edgit pull" in answer.err
    assert bob.refs() == before


def test_a_silent_remote_delays_one_answer_and_its_age_is_told(silent: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = looks(monkeypatch)
    begun = time.monotonic()
    answer = silent.edgit("deploy", "get", "my-prompt", "--from", "prod")
    assert time.monotonic() - begun < 5
    assert answer.out == "v1.0.0\n"
    assert "not seen yet; origin did not answer within 0.3 s" in answer.err
    # It is said again, and not waited for again.
    assert "origin did not answer within 0.3 s" in silent.edgit("history").err
    assert asked == ["origin"]


def test_a_remote_that_is_away_leaves_the_age_of_what_is_said(ada: Repo, bob: Repo) -> None:
    bob.edgit("history")
    stamp = bob.root / ".git/edgit/seen.json"
    told = json.loads(stamp.read_text())
    stamp.write_text(json.dumps({**told, "at": told["at"] - 300, "answered": told["answered"] - 300}))
    away(ada)
    assert (
        "as last seen 5 min ago; git ls-remote failed" in bob.edgit("deploy", "get", "my-prompt", "--from", "prod").err
    )


@pytest.mark.parametrize("how", ["option", "before the command", "variable"])
def test_offline_asks_nobody(ada: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    fresh = clone(remote_of(ada), tmp_path / "fresh", name="Carol")
    asked = looks(monkeypatch)
    command = ["deploy", "get", "my-prompt", "--from", "staging"]
    if how == "variable":
        fresh.env["EDGIT_OFFLINE"] = "1"
    elif how == "option":
        command.append("--offline")
    else:
        command.insert(0, "--offline")
    answer = fresh.edgit(*command, code=1)
    assert asked == []
    assert "offline, and this clone has no ledger: what is live is not known here" in answer.err
    assert "next: edgit pull" in answer.err
    assert "deploy set" not in answer.err


def test_a_repository_without_a_remote_has_nothing_to_say(ada: Repo) -> None:
    ada.git("remote", "remove", "origin")
    assert ada.edgit("deploy", "get", "my-prompt", "--from", "prod").err == ""


def test_a_remote_without_a_ledger_is_no_trouble(tmp_path: Path) -> None:
    repo, _ = with_remote(tmp_path)
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    assert repo.edgit("deploy", "get", "my-prompt", "--from", "prod").err == ""


def test_a_repository_that_cannot_be_written_is_read(bob: Repo) -> None:
    folder = bob.root / ".git/edgit"
    forget(bob)
    # A file in the folder's place: not even root can write below it.
    shutil.rmtree(folder)
    folder.write_text("in the way")
    assert bob.live("my-prompt") == "v1.0.0"
    assert folder.read_text() == "in the way"


# Tags that plain git brings


@pytest.mark.parametrize("looked", [False, True], ids=["", "a moment after a look"])
def test_after_a_plain_fetch_the_answer_is_right_and_nobody_is_told_to_adopt(
    ada: Repo, bob: Repo, looked: bool
) -> None:
    if looked:
        bob.edgit("history")
    ada.deploy("my-prompt", "v1.1.0")
    ada.edgit("push")
    bob.git("fetch", "--quiet", "--tags", "--force")
    assert bob.tagged("my-prompt") == "v1.1.0"
    answer = bob.edgit("status")
    assert "adopt" not in answer.all
    assert bob.live("my-prompt") == "v1.1.0"
    bob.deploy("other", "v1.0.0")
    bob.edgit("push")


def test_after_a_plain_fetch_with_moves_of_its_own_it_is_told_to_pull(ada: Repo, bob: Repo) -> None:
    bob.deploy("other", "v1.0.0")
    ada.deploy("my-prompt", "v1.1.0")
    ada.edgit("push")
    bob.git("fetch", "--quiet", "--tags", "--force")
    answer = bob.edgit("status")
    assert (
        "components/my-prompt/prod was moved elsewhere to v1.1.0; the ledger says v1.0.0. Next: edgit pull"
        in answer.err
    )
    assert "adopt" not in answer.err
    # The push is not refused for it.
    bob.edgit("push")
    assert bob.live("my-prompt") == "v1.1.0"


def test_a_tag_that_another_tool_has_moved_is_looked_up_once(bob: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    bob.edgit("history")
    bob.git("tag", "-f", "-a", "-m", "x", "components/my-prompt/prod", "components/my-prompt/v1.1.0")
    asked = looks(monkeypatch)
    for _ in range(3):
        assert "was moved by another tool to v1.1.0" in bob.edgit("deploy", "get", "my-prompt", "--from", "prod").err
    assert asked == ["origin"]


# Moves


def test_a_rollback_from_a_stale_clone_goes_back_from_what_is_live(ada: Repo, bob: Repo) -> None:
    ada.version("my-prompt", "v1.2.0")
    for version in ("v1.1.0", "v1.2.0"):
        ada.deploy("my-prompt", version)
    ada.edgit("push")
    answer = bob.edgit("rollback", "my-prompt", "--from", "prod")
    assert "my-prompt prod: v1.2.0 -> v1.1.0" in answer.out
    assert "origin had 3 moves that this clone had not; this comes after" in answer.err


def test_the_first_move_in_a_clone_without_the_ledger_begins_no_second_one(ada: Repo, tmp_path: Path) -> None:
    for number, command in enumerate(
        (["deploy", "set", "my-prompt", "v1.1.0", "--to", "debug"], ["adopt"], ["tag", "create", "other", "v1.1.0"])
    ):
        fresh = clone(remote_of(ada), tmp_path / f"fresh{number}", name="Carol")
        fresh.edgit(*command)
        assert fresh.git("rev-list", "--max-parents=0", LEDGER) == ada.git("rev-list", "--max-parents=0", LEDGER)


def test_a_move_of_a_pointer_that_both_have_moved_stops_first(ada: Repo, bob: Repo) -> None:
    bob.edgit("deploy", "unset", "my-prompt", "--from", "prod")
    ada.deploy("my-prompt", "v1.1.0")
    ada.edgit("push")
    before = bob.refs()
    answer = bob.deploy("other", "v1.0.0", code=3)
    assert "origin  v1.1.0" in answer.err
    assert "yours   none" in answer.err
    assert bob.refs() == before
    bob.deploy("other", "v1.0.0", code=3)
    bob.edgit("deploy", "set", "other", "v1.0.0", "--to", "prod", "--offline")


def test_a_remote_that_is_silent_does_not_keep_a_rollback(silent: Repo) -> None:
    silent.env["EDGIT_OFFLINE"] = "1"
    silent.deploy("my-prompt", "v1.1.0")
    del silent.env["EDGIT_OFFLINE"]
    begun = time.monotonic()
    answer = silent.edgit("rollback", "my-prompt", "--from", "prod")
    assert time.monotonic() - begun < 5
    assert "my-prompt prod: v1.1.0 -> v1.0.0" in answer.out
    assert "origin did not answer within 0.3 s; this goes by what was here" in answer.err
