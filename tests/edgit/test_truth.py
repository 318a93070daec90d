"""What the ledger says of who and when is true, and what a setting says holds in every folder."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.edgit.repo import Repo, clone, make, with_remote

LEDGER = "refs/edgit/ledger"
YEAR = 366 * 86400


def two_versions(folder: Path) -> tuple[Repo, Repo]:
    repo, remote = with_remote(folder)
    repo.version("my-prompt", "v1.0.0")
    repo.version("my-prompt", "v1.1.0")
    repo.deploy("my-prompt", "v1.0.0")
    return repo, remote


def history(repo: Repo) -> list[tuple[str, str, str]]:
    found = json.loads(repo.edgit("history", "--format", "json").out)
    return [(move["version"], move["actor"], move["at"]) for move in found]


# Who


def test_a_move_by_plain_git_is_not_signed_with_the_versions_tagger(tmp_path: Path) -> None:
    repo, _ = two_versions(tmp_path)
    repo.name = "Bob"
    # A plain tag at the version's own: git keeps neither who set it, nor when.
    repo.git("tag", "-f", "components/my-prompt/prod", "components/my-prompt/v1.1.0")
    answer = repo.edgit("adopt")
    assert "was moved to v1.1.0 by somebody, as its tag does not say whom" in answer.err
    version, actor, at = history(repo)[0]
    assert (version, actor) == ("v1.1.0", "unknown <>")
    assert at >= history(repo)[1][2]
    # Whoever put it on record is told too.
    assert repo.git("log", "-1", "--format=%an %cn", LEDGER) == "unknown Bob"


def test_a_move_by_plain_git_is_signed_with_its_own_tags_tagger(tmp_path: Path) -> None:
    repo, _ = two_versions(tmp_path)
    repo.name = "Carol"
    repo.git("tag", "-f", "-a", "-m", "Go", "components/my-prompt/prod", "components/my-prompt/v1.1.0")
    repo.name = "Bob"
    repo.edgit("adopt")
    assert history(repo)[0][:2] == ("v1.1.0", "Carol <carol@example.com>")


def test_a_ledger_that_begins_from_plain_tags_does_not_name_the_versions_tagger(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write("components/prompts/my-prompt.md", "one")
    repo.git("tag", "-a", "-m", "Release", "components/my-prompt/v1.0.0")
    repo.git("tag", "components/my-prompt/prod", "components/my-prompt/v1.0.0")
    assert history(repo)[0][1] == "unknown <>"
    repo.edgit("adopt")
    assert history(repo)[0][1] == "unknown <>"


# When


def test_a_date_in_the_future_is_refused(tmp_path: Path) -> None:
    repo, _ = two_versions(tmp_path)
    before = repo.refs()
    repo.now = int(time.time()) + 4 * YEAR
    for command in (
        ("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod"),
        ("rollback", "my-prompt@v1.1.0"),
    ):
        answer = repo.edgit(*command, code=3)
        assert "by this machine's clock; nothing was changed" in answer.err
        assert "GIT_COMMITTER_DATE" in answer.err
    assert repo.refs() == before


def test_an_entry_of_a_wrong_clock_is_told_and_dates_no_other(tmp_path: Path) -> None:
    """It came from a machine whose clock is years ahead; what is moved after it keeps its own time and its order."""
    ada, remote = two_versions(tmp_path)
    ada.git("push", "--quiet")
    ada.edgit("push")
    bob = clone(remote, tmp_path / "bob", name="Bob")
    bob.edgit("pull")
    ada.deploy("my-prompt", "v1.1.0")
    future = f"{int(time.time()) + 4 * YEAR} +0000"
    ada.env = {"GIT_AUTHOR_DATE": future, "GIT_COMMITTER_DATE": future}
    commit = ada.git("cat-file", "-p", LEDGER)
    made = ada.git("commit-tree", f"{LEDGER}^{{tree}}", "-p", f"{LEDGER}^", "-F", "-", input=commit.split("\n\n", 1)[1])
    ada.git("update-ref", LEDGER, made)
    ada.env = {}
    ada.edgit("push")
    answer = bob.edgit("pull")
    assert "by Ada, is dated 20" in answer.err
    assert "ahead of this machine's clock" in answer.err
    bob.deploy("my-prompt", "v1.0.0")
    assert int(bob.git("log", "-1", "--format=%ct", LEDGER)) == bob.now
    assert [version for version, _, _ in history(bob)] == ["v1.0.0", "v1.1.0", "v1.0.0"]
    # A rollback goes by the order of the moves, not by what a wrong clock said.
    bob.edgit("rollback", "my-prompt@v1.1.0")
    bob.edgit("rollback", "my-prompt", "--if-current", "v1.1.0")
    assert bob.live("my-prompt") == "v1.0.0"


# Where


def test_the_setting_of_a_local_kv_is_one_file_in_every_folder(tmp_path: Path) -> None:
    repo, _ = two_versions(tmp_path)
    inside = Repo(repo.root / "components/prompts", repo.now)
    for setting, file in (("local", ".local/kv.sqlite3"), ("local=kv/own.sqlite3", "kv/own.sqlite3")):
        repo.git("config", "edgit.kv", setting)
        (repo.root / file).parent.mkdir(exist_ok=True)
        inside.edgit("publish")
        assert (repo.root / file).is_file()
        assert "as git has it" in repo.edgit("status").out
        assert "as git has it" in inside.edgit("status").out
    assert sorted(path.name for path in inside.root.iterdir()) == ["my-prompt.md"]
    # One that is given is where it is given.
    inside.edgit("publish", "--kv", "local=here.sqlite3")
    assert (inside.root / "here.sqlite3").is_file()


def test_a_local_kv_that_init_is_given_is_where_it_was_given(tmp_path: Path) -> None:
    repo, _ = two_versions(tmp_path)
    Repo(repo.root / "components").edgit("init", "--kv", "local=kv.sqlite3")
    assert repo.git("config", "edgit.kv") == "local=components/kv.sqlite3"


# A partial clone


def blobless(folder: Path) -> Repo:
    """A clone that has left what is in files at its remote, of a repository with three versions."""
    repo, remote = two_versions(folder)
    repo.version("my-prompt", "v1.2.0")
    repo.deploy("my-prompt", "v1.1.0")
    repo.deploy("my-prompt", "v1.2.0")
    repo.git("push", "--quiet")
    repo.edgit("push")
    remote.git("config", "uploadpack.allowFilter", "true")
    remote.git("config", "uploadpack.allowAnySHA1InWant", "true")
    there = Repo(folder, repo.now)
    there.git("clone", "--quiet", "--filter=blob:none", remote.root.as_uri(), str(folder / "part"))
    part = Repo(folder / "part", repo.now, "Bob")
    part.edgit("pull")
    return part


def test_a_blobless_clone_whose_remote_is_away_can_still_roll_back(tmp_path: Path) -> None:
    part = blobless(tmp_path)
    assert "?" in part.git("rev-list", "--objects", "--all", "--missing=print")
    (tmp_path / "origin.git").rename(tmp_path / "away.git")
    assert part.live("my-prompt") == "v1.2.0"
    assert "my-prompt prod: v1.2.0 -> v1.1.0" in part.edgit("rollback", "my-prompt", "--from", "prod").out
    assert part.tagged("my-prompt") == "v1.1.0"
    # What was live at an instant is in no file of this clone, and is known.
    first = history(part)[-1][2]
    assert part.edgit("history", "--date", first).out == "my-prompt: v1.0.0\n"


def test_a_blobless_clone_gets_what_it_lacks_where_the_remote_is_there(tmp_path: Path) -> None:
    part = blobless(tmp_path)
    part.edgit("publish", "--kv", "local=kv.sqlite3")
    shown = part.edgit("diff", "my-prompt", "v1.0.0", "v1.1.0").out
    assert "-my-prompt v1.0.0" in shown
    assert "+my-prompt v1.1.0" in shown


# Which remote


def test_moves_are_pushed_at_once_to_the_only_remote_whatever_it_is_called(tmp_path: Path) -> None:
    repo, remote = two_versions(tmp_path)
    repo.git("remote", "rename", "origin", "upstream")
    repo.git("config", "edgit.autoPush", "true")
    repo.deploy("my-prompt", "v1.1.0")
    assert remote.refs()[LEDGER] == repo.refs()[LEDGER]


def test_several_remotes_of_which_none_is_origin_are_told(tmp_path: Path) -> None:
    repo, remote = two_versions(tmp_path)
    repo.git("remote", "rename", "origin", "upstream")
    repo.git("remote", "add", "other", str(remote.root))
    repo.git("config", "edgit.autoPush", "true")
    answer = repo.deploy("my-prompt", "v1.1.0")
    assert "not pushed, though edgit.autoPush is on: of the remotes other, upstream none is `origin`" in answer.err
    assert "git config edgit.remote" in answer.err
    assert "next: git config edgit.remote other" in repo.edgit("push", code=1).err
    repo.git("config", "edgit.remote", "upstream")
    repo.deploy("my-prompt", "v1.0.0")
    assert remote.refs()[LEDGER] == repo.refs()[LEDGER]
