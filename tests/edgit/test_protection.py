"""Settings that are committed: shared ones, and the environments that are protected."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.edgit.repo import Repo, clone, make

PROTECTED = '[environment "prod"]\n\tprotected = true\n'


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = make(tmp_path / "work")
    repo.env["KV"] = str(tmp_path / "kv.sqlite3")
    for version in ("v1.0.0", "v1.1.0"):
        repo.version("my-prompt", version)
    repo.deploy("my-prompt", "v1.0.0")
    return repo


def commit(repo: Repo, settings: str) -> None:
    repo.write(".edgit/config", settings)


def test_a_committed_setting_counts_for_everybody_and_ones_own_goes_before_it(repo: Repo, tmp_path: Path) -> None:
    commit(repo, "[edgit]\n\tkv = local\n\tautoPush = true\n")
    repo.edgit("publish")
    other = clone(repo, tmp_path / "other")
    other.env["KV"] = repo.env["KV"]
    other.edgit("pull")
    assert "has generation" in other.edgit("publish").out
    # `autoPush` too, unless this clone says otherwise.
    assert "pushed to origin" in other.deploy("my-prompt", "v1.1.0").err
    other.git("config", "edgit.autoPush", "false")
    assert "pushed to origin" not in other.deploy("my-prompt", "v1.0.0").err
    other.git("config", "edgit.kv", "nowhere")
    assert "nowhere" in other.edgit("publish", code=1).err


def test_a_bare_repository_reads_what_is_committed(repo: Repo, tmp_path: Path) -> None:
    commit(repo, PROTECTED)
    bare = clone(repo, tmp_path / "bare.git", "--bare")
    bare.git("fetch", "--quiet", str(repo.root), "refs/edgit/*:refs/edgit/*")
    assert "prod is protected" in bare.deploy("my-prompt", "v1.1.0", code=3).err


def test_what_is_committed_says_nothing_about_git_itself(repo: Repo, tmp_path: Path) -> None:
    """A command that git runs must not come from whoever may commit."""
    commit(repo, f"[core]\n\tsshCommand = touch {tmp_path / 'ran'}\n")
    repo.git("remote", "add", "origin", "ssh://nobody@127.0.0.1:1/x.git")
    repo.edgit("push", code=None)
    assert not (tmp_path / "ran").exists()


def test_a_protected_environment_is_named_once_more(repo: Repo) -> None:
    commit(repo, PROTECTED)
    before, then = repo.refs(), datetime.fromtimestamp(repo.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", "--reason", "it's time", code=3)
    assert "prod is protected (.edgit/config); nothing was moved" in answer.err
    # The very command to repeat.
    again = """edgit deploy set my-prompt v1.1.0 --to prod --reason 'it'"'"'s time' --confirm prod"""
    assert f"next: {again}\n" in answer.err
    assert repo.refs() == before
    assert "would move" in repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", "--dry-run").out
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", "--confirm", "prod")
    # What is so already is no move.
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod")
    repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--to", "staging")
    for words in (
        "deploy unset my-prompt --from prod",
        "promote my-prompt --from staging --to prod",
        f"restore --date {then} --from prod --to prod --yes",
        # Its canary faces the same users.
        "deploy set my-prompt v1.0.0 --to prod-canary",
    ):
        answer = repo.edgit(*words.split(), code=3)
        assert f"next: edgit {words} --confirm prod\n" in answer.err
    assert "prod is protected" in repo.edgit(*words.split(), "--confirm", "staging", code=3).err
    repo.edgit(*words.split(), "--confirm", "prod")


def test_what_makes_an_environment_safe_asks_nothing(repo: Repo) -> None:
    repo.edgit("publish", "--kv", "local")
    repo.deploy("my-prompt", "v1.1.0")
    repo.deploy("my-prompt", "v1.1.0", to="prod-canary")
    repo.edgit("publish", "--kv", "local")
    commit(repo, PROTECTED)
    repo.edgit("deploy", "unset", "my-prompt", "--from", "prod-canary")
    repo.edgit("rollback", "my-prompt", "--kv", "local")
    assert repo.live("my-prompt") == "v1.0.0"


@pytest.mark.parametrize("spelt", ["protected", "protected = yes", "protected = 1", "Protected = TRUE"])
def test_true_is_spelt_as_git_spells_it(repo: Repo, spelt: str) -> None:
    commit(repo, f'[environment "prod"]\n\t{spelt}\n')
    repo.deploy("my-prompt", "v1.1.0", code=3)
    commit(repo, '[environment "prod"]\n\tprotected = off\n')
    repo.deploy("my-prompt", "v1.1.0")


@pytest.mark.parametrize(
    "settings",
    ['[environment "prod"\n', '[environment "prod"]\n\tfrozenUntil = tomorrow\n', "[edgit]\nautoPush = what\n"],
)
def test_settings_that_cannot_be_read_stop_no_rollback(repo: Repo, settings: str) -> None:
    repo.edgit("publish", "--kv", "local")
    repo.deploy("my-prompt", "v1.1.0")
    repo.edgit("publish", "--kv", "local")
    repo.git("remote", "add", "origin", str(repo.root))
    commit(repo, settings)
    if "environment" in settings:
        assert ".edgit/config" in repo.deploy("my-prompt", "v1.0.0", code=1).err
        assert repo.live("my-prompt") == "v1.1.0"
    assert ("cannot be read" in repo.edgit("rollback", "my-prompt", "--kv", "local").err) == ("environment" in settings)
    assert repo.live("my-prompt") == "v1.0.0"


UNTIL = "2099-12-27T08:00Z"


def test_a_frozen_environment_is_not_moved(repo: Repo, tmp_path: Path) -> None:
    repo.edgit("publish", "--kv", "local")
    repo.deploy("my-prompt", "v1.1.0")
    repo.edgit("publish", "--kv", "local")
    repo.deploy("my-prompt", "v1.0.0", to="staging")
    repo.deploy("my-prompt", "v1.0.0", to="prod-canary")
    answer = repo.edgit("freeze", "prod", "--until", UNTIL, "--reason", "the holidays")
    assert answer.out == "prod is frozen until 2099-12-27T08:00:00Z by Ada: the holidays\n"
    assert "next: git add .edgit/config && git commit -m 'Freeze prod' .edgit/config && git push" in answer.err
    for words in (
        "deploy set my-prompt v1.0.0 --to prod",
        "deploy set my-prompt v1.1.0 --to prod-canary",
        "deploy unset my-prompt --from prod --confirm prod",
        "promote my-prompt --from staging --to prod",
    ):
        answer = repo.edgit(*words.split(), code=3)
        assert "prod is frozen until 2099-12-27T08:00:00Z by Ada: the holidays; nothing was moved" in answer.err
        assert "edgit unfreeze prod" in answer.err
    # Other environments are, and what makes it safe is not stopped.
    repo.deploy("my-prompt", "v1.1.0", to="staging")
    assert "prod is frozen" in repo.edgit("deploy", "unset", "my-prompt", "--from", "prod-canary").err
    answer = repo.edgit("rollback", "my-prompt", "--kv", "local")
    assert (
        "prod is frozen until 2099-12-27T08:00:00Z by Ada: the holidays; this makes it safe, and is done" in answer.err
    )
    assert repo.live("my-prompt") == "v1.0.0"
    # Others have it with the commit.
    repo.git("add", ".edgit/config")
    repo.git("commit", "--quiet", "-m", "Freeze prod")
    other = clone(repo, tmp_path / "other", name="Bob")
    other.edgit("pull")
    assert "by Ada: the holidays" in other.deploy("my-prompt", "v1.1.0", code=3).err
    assert repo.edgit("unfreeze", "prod").out == "prod is not frozen any more\n"
    assert repo.edgit("unfreeze", "prod").out == "prod is not frozen\n"
    repo.deploy("my-prompt", "v1.1.0")


def test_no_percentage_of_a_frozen_environment_is_raised(repo: Repo) -> None:
    repo.git("config", "edgit.kv", "local")
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod-canary", "--publish")
    repo.edgit("canary", "set", "my-prompt", "10")
    repo.edgit("freeze", "prod", "--until", UNTIL, "--reason", "the holidays")
    for words in ("set my-prompt 11", "set 1", "set my-prompt@prod 1", "set my-prompt@v1.0.0 5", "clear my-prompt"):
        answer = repo.edgit("canary", *words.split(), code=3)
        assert "by Ada: the holidays; no percentage was changed" in answer.err
    repo.edgit("canary", "set", "my-prompt@staging", "0")
    repo.edgit("canary", "set", "my-prompt", "9")
    repo.edgit("canary", "set", "my-prompt", "0")


def test_a_freeze_ends_by_itself(repo: Repo) -> None:
    commit(repo, '[environment "prod"]\n\tfrozenUntil = 2024-12-24T08:00Z\n')
    repo.deploy("my-prompt", "v1.1.0")
    assert "is past" in repo.edgit("freeze", "prod", "--until", "2024-12-24T08:00Z", "--reason", "x", code=2).err


def test_an_end_that_cannot_be_read_stops(repo: Repo) -> None:
    commit(repo, '[environment "prod"]\n\tfrozenUntil = tomorrow\n')
    answer = repo.deploy("my-prompt", "v1.1.0", code=1)
    assert "`tomorrow` is not an instant" in answer.err
    assert repo.edgit("unfreeze", "prod").out == "prod is not frozen any more\n"
    repo.deploy("my-prompt", "v1.1.0")


def test_a_freeze_in_json(repo: Repo) -> None:
    answer = repo.edgit("freeze", "prod", "--until", UNTIL, "--reason", "x", "--format", "json")
    assert json.loads(answer.out) == {"environment": "prod", "until": "2099-12-27T08:00:00Z"}
