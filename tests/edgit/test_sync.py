"""Two clones and a remote: what is moved at once, what plain git does in between, and that nothing is lost."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgit.git.process import Git
from edgit.remote.merge import clash_name
from tests.edgit.repo import Repo, clone, copy, make, with_remote

LEDGER = "refs/edgit/ledger"
PROD = "refs/tags/components/my-prompt/prod"


class Team:
    """Two people with a clone each, and the remote between them."""

    def __init__(self, ada: Repo, bob: Repo, remote: Repo) -> None:
        self.ada, self.bob, self.remote = ada, bob, remote

    @staticmethod
    def begin(folder: Path) -> Team:
        """Four versions, one of them live, and both know it."""
        ada, remote = with_remote(folder)
        # What was moved at once: neither sees the other's before a push or a pull.
        ada.env = {"EDGIT_OFFLINE": "1"}
        for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
            ada.version("my-prompt", version)
        ada.version("other", "v1.0.0")
        ada.deploy("my-prompt", "v1.0.0")
        ada.git("push", "--quiet")
        ada.edgit("push")
        bob = clone(remote, folder / "bob", name="Bob")
        bob.env = dict(ada.env)
        bob.edgit("pull")
        return Team(ada, bob, remote)

    def copied(self, folder: Path) -> Team:
        """The same in another folder."""
        copy(self.ada.root.parent, folder)
        return Team(*(replace(repo, root=folder / repo.root.name) for repo in (self.ada, self.bob, self.remote)))

    def settle(self) -> None:
        """Bring both to the same, and hold them to it."""
        self.ada.edgit("pull")
        self.ada.edgit("push")
        self.bob.edgit("pull")
        assert self.ada.refs("refs/tags", LEDGER) == self.bob.refs("refs/tags", LEDGER)
        assert self.remote.refs("refs/tags", LEDGER) == self.ada.refs("refs/tags", LEDGER)
        for repo in (self.ada, self.bob):
            pushed = repo.run("push", "--tags")
            assert (pushed.code, pushed.err) == (0, "Everything up-to-date\n")
            assert repo.edgit("history").err == ""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Team:
    return Team.begin(tmp_path_factory.mktemp("team"))


@pytest.fixture
def team(first: Team, tmp_path: Path) -> Team:
    return first.copied(tmp_path)


def moves(repo: Repo) -> list[tuple[str, str, str | None, int]]:
    """(who, environment, version, generation), the newest first."""
    found = json.loads(repo.edgit("history", "--format", "json").out)
    return [(m["actor"].split(" ")[0], m["environment"], m["version"], m["generation"]) for m in found]


def plain_move(repo: Repo, version: str, *, push: bool = True, name: str = "Carol") -> None:
    """Move prod with nothing but git."""
    before, repo.name = repo.name, name
    tag = "components/my-prompt/prod"
    repo.git(
        "tag", "-f", "-a", "-m", f"Deploy my-prompt@{version} to prod", tag, f"components/my-prompt/{version}^{{}}"
    )
    if push:
        repo.git("push", "--quiet", "--force", "origin", tag)
    repo.name = before


# Two clones at once


def test_after_a_push_plain_git_has_nothing_left_to_push(team: Team) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    refused = team.ada.run("push", "--tags")
    assert refused.code != 0
    assert "already exists" in refused.err
    team.ada.edgit("push")
    pushed = team.ada.run("push", "--tags")
    assert (pushed.code, pushed.err) == (0, "Everything up-to-date\n")
    assert team.ada.edgit("push").out == "origin has everything\n"


@pytest.mark.parametrize("how", ["push", "pull", "move"])
def test_moves_of_two_pointers_come_after_each_other_by_themselves(team: Team, how: str) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    team.bob.now += 30
    team.bob.deploy("other", "v1.0.0")
    team.ada.edgit("push")
    if how == "pull":
        answer = team.bob.edgit("pull")
        assert "received 1 move " in answer.out
        assert "1 move of yours comes after them" in answer.out
    if how == "move":
        answer = online(team.bob).edgit("tag", "create", "other", "v1.1.0")
        assert "origin had 1 move that this clone had not; this comes after" in answer.err
    else:
        answer = team.bob.edgit("push")
        assert ("origin had a move that this clone had not; yours come after" in answer.err) == (how == "push")
    assert moves(team.bob)[:2] == [("Bob", "prod", "v1.0.0", 7), ("Ada", "prod", "v1.1.0", 6)]
    assert (team.bob.live("my-prompt"), team.bob.live("other")) == ("v1.1.0", "v1.0.0")
    assert team.bob.tagged("my-prompt") == "v1.1.0"
    team.settle()


def test_a_replayed_move_keeps_who_when_and_why(team: Team) -> None:
    team.ada.deploy("other", "v1.0.0")
    team.ada.edgit("push")
    team.bob.now = team.ada.now + 5
    team.bob.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", "--reason", "incident 42")
    moved = team.bob.now
    team.bob.now += 86400
    team.bob.name = "Bobby"
    team.bob.edgit("pull")
    layout = "--format=%an %at %ct %cn%n%B"
    head, _, message = team.bob.git("log", "-1", layout, LEDGER).partition("\n")
    assert head == f"Bob {moved} {moved} Bobby"
    assert "\n\nincident 42\n\n" in message
    team.bob.edgit("push")


@pytest.mark.parametrize("command", ["push", "pull"])
def test_the_same_pointer_in_both_stops_and_shows_both(team: Team, command: str) -> None:
    team.ada.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", "-m", "incident 42")
    team.bob.deploy("my-prompt", "v1.2.0")
    team.bob.deploy("other", "v1.0.0")
    team.ada.edgit("push")
    mine, there = team.bob.refs(), team.remote.refs()
    answer = team.bob.edgit(command, code=3)
    assert "origin and you have moved a pointer to different versions; nothing was changed" in answer.err
    assert re.search(
        r"  components/my-prompt/prod\n"
        r"    origin  v1\.1\.0, 2024-11-01T\S+Z by Ada: incident 42\n"
        r"    yours   v1\.2\.0, 2024-11-01T\S+Z by Bob\n",
        answer.err,
    )
    assert "edgit pull --keep theirs" in answer.err
    assert "edgit pull --keep ours" in answer.err
    assert (team.bob.refs(), team.remote.refs()) == (mine, there)


def test_theirs_are_kept_and_only_the_disputed_move_goes(team: Team) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    team.bob.deploy("my-prompt", "v1.2.0", "other", "v1.0.0")
    team.ada.edgit("push")
    answer = team.bob.edgit("pull", "--keep", "theirs")
    assert "components/my-prompt/prod: it stays at v1.1.0; your v1.2.0 is dropped" in answer.err
    assert (team.bob.live("my-prompt"), team.bob.live("other")) == ("v1.1.0", "v1.0.0")
    assert team.bob.tagged("my-prompt") == "v1.1.0"
    team.bob.edgit("push")
    team.settle()


def test_a_forgotten_older_move_does_not_come_over_a_newer_one(team: Team) -> None:
    team.bob.deploy("my-prompt", "v1.1.0")
    for version in ("v1.1.0", "v1.2.0"):
        team.ada.deploy("my-prompt", version)
    team.ada.edgit("push")
    before = team.remote.refs()
    assert "origin  v1.2.0" in team.bob.edgit("push", code=3).err
    assert team.remote.refs() == before
    team.bob.edgit("pull", "--keep", "theirs")
    team.settle()
    assert team.bob.live("my-prompt") == "v1.2.0"


def test_a_rollback_from_what_is_no_longer_live_is_dropped(team: Team) -> None:
    """Bob's clone is behind: what he rolled back from is not what was bad."""
    for version in ("v1.1.0", "v1.2.0"):
        team.ada.deploy("my-prompt", version)
    team.ada.edgit("push")
    team.bob.edgit("pull")
    team.ada.deploy("my-prompt", "v1.1.0")
    team.bob.edgit("rollback", "my-prompt@v1.0.0")
    team.ada.edgit("push")
    team.bob.edgit("push", code=3)
    answer = team.bob.edgit("pull", "--keep", "ours")
    assert "your rollback from v1.2.0 is dropped, since v1.1.0 is live now" in answer.err
    assert team.bob.live("my-prompt") == team.bob.tagged("my-prompt") == "v1.1.0"
    team.settle()


def test_a_rollback_that_comes_after_theirs_is_decided_anew(team: Team) -> None:
    """Bob saw v1.0.0, v1.2.0 and rolls that back; Ada had v1.1.0 live, and v1.2.0 again: v1.1.0 was good last."""
    team.ada.deploy("my-prompt", "v1.2.0")
    team.ada.edgit("push")
    team.bob.edgit("pull")
    team.bob.edgit("rollback", "my-prompt", "--from", "prod")
    assert team.bob.live("my-prompt") == "v1.0.0"
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        team.ada.deploy("my-prompt", version)
    team.ada.edgit("push")
    team.bob.edgit("pull", "--keep", "ours")
    assert team.bob.live("my-prompt") == team.bob.tagged("my-prompt") == "v1.1.0"
    assert team.bob.git("log", "-1", "--format=%s", LEDGER) == "rollback: components/my-prompt/prod v1.2.0 -> v1.1.0"
    team.bob.edgit("push")
    team.settle()


def test_ours_are_kept_and_come_after_theirs(team: Team) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    team.bob.deploy("my-prompt", "v1.2.0")
    team.ada.edgit("push")
    answer = team.bob.edgit("pull", "--keep", "ours")
    assert "components/my-prompt/prod: Ada had set v1.1.0 meanwhile; your v1.2.0 comes after it" in answer.err
    assert team.bob.git("log", "-1", "--format=%s", LEDGER) == "deploy: components/my-prompt/prod v1.1.0 -> v1.2.0"
    team.bob.edgit("push")
    assert moves(team.bob)[:2] == [("Bob", "prod", "v1.2.0", 7), ("Ada", "prod", "v1.1.0", 6)]
    team.settle()


def test_the_same_move_in_both_is_one(team: Team) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    team.bob.deploy("my-prompt", "v1.1.0")
    team.ada.edgit("push")
    assert "1 move of yours said what is live already" in team.bob.edgit("pull").err
    assert team.bob.edgit("push").out == "origin has everything\n"
    team.settle()


@pytest.mark.parametrize("earlier", ["set", "unset"])
def test_one_sets_what_the_other_takes_away(team: Team, earlier: str) -> None:
    if earlier == "set":
        team.ada.deploy("my-prompt", "v1.1.0")
        team.bob.edgit("deploy", "unset", "my-prompt", "--from", "prod")
    else:
        team.ada.edgit("deploy", "unset", "my-prompt", "--from", "prod")
        team.bob.deploy("my-prompt", "v1.1.0")
    team.ada.edgit("push")
    team.bob.edgit("push", code=3)
    assert "meanwhile" in team.bob.edgit("pull", "--keep", "ours").err
    team.bob.edgit("push")
    live = None if earlier == "set" else "v1.1.0"
    assert team.bob.live("my-prompt") == team.bob.tagged("my-prompt") == live
    team.settle()
    assert team.ada.live("my-prompt") == live


def test_the_same_version_from_the_same_file_is_one(team: Team) -> None:
    for repo in (team.ada, team.bob):
        repo.write("components/prompts/my-prompt.md", "the same\n")
        repo.edgit("tag", "create", "my-prompt", "v2.0.0")
    team.bob.deploy("my-prompt", "v2.0.0")
    team.ada.edgit("push")
    team.bob.edgit("pull")
    team.bob.edgit("push")
    assert team.bob.tagged("my-prompt") == "v2.0.0"
    ref = "refs/tags/components/my-prompt/v2.0.0"
    assert team.bob.refs()[ref] == team.ada.refs()[ref]
    team.settle()


def test_the_same_version_from_two_files_keeps_both(team: Team) -> None:
    team.ada.version("my-prompt", "v2.0.0", "by Ada\n")
    team.ada.deploy("my-prompt", "v2.0.0")
    team.bob.version("my-prompt", "v2.0.0", "by Bob\n")
    commit = team.bob.git("rev-parse", "HEAD")
    team.bob.deploy("my-prompt", "v2.0.0")
    team.ada.edgit("push")
    name = f"v2.0.0-clash.g{commit[:10]}"
    answer = team.bob.edgit("pull")
    assert f"made from two different files; the remote's keeps the name, yours is {name}" in answer.err
    assert team.bob.live("my-prompt") == team.bob.tagged("my-prompt") == name
    assert team.bob.git("show", f"{LEDGER}:versions/my-prompt/v2.0.0") == "by Ada"
    assert team.bob.git("show", f"{LEDGER}:versions/my-prompt/{name}") == "by Bob"
    assert team.bob.git("show", "components/my-prompt/v2.0.0:components/prompts/my-prompt.md") == "by Ada"
    assert team.bob.git("log", "-1", "--format=%s", LEDGER).endswith(f"v2.0.0 -> {name}")
    team.bob.edgit("push")
    team.settle()


def test_a_version_that_is_not_on_record_gives_way_and_is_kept(team: Team) -> None:
    team.ada.version("my-prompt", "v2.0.0", "by Ada\n")
    team.ada.edgit("push")
    commit = team.bob.write("components/prompts/my-prompt.md", "by Bob\n")
    team.bob.git("tag", "components/my-prompt/v2.0.0")
    name = f"v2.0.0-clash.g{commit[:10]}"
    assert f"the remote's keeps the name, yours is {name}" in team.bob.edgit("pull").err
    file = "components/prompts/my-prompt.md"
    assert team.bob.git("show", f"components/my-prompt/v2.0.0:{file}") == "by Ada"
    assert team.bob.git("show", f"components/my-prompt/{name}:{file}") == "by Bob"
    team.bob.edgit("adopt")
    team.bob.edgit("push")
    team.settle()


@pytest.mark.parametrize("collected", [False, True], ids=["", "and collected"])
def test_two_files_of_one_version_whose_tags_are_deleted(team: Team, collected: bool) -> None:
    for repo in (team.ada, team.bob):
        repo.git("checkout", "--quiet", "--detach")
        repo.version("my-prompt", "v2.0.0", f"by {repo.name}\n")
        if repo is team.bob or collected:
            repo.git("tag", "-d", "components/my-prompt/v2.0.0")
        repo.git("checkout", "--quiet", "main")
    if collected:
        team.ada.git("reflog", "expire", "--expire=now", "--all")
        team.ada.git("gc", "--quiet", "--prune=now")
    team.bob.edgit("push")
    assert "made from two different files" in team.ada.edgit("pull").err
    (name,) = [ref for ref in team.ada.refs("refs/tags") if "clash" in ref]
    assert team.ada.git("show", f"{name}:components/prompts/my-prompt.md") == "by Ada"
    team.ada.edgit("push")
    team.bob.edgit("pull")
    for repo in (team.ada, team.bob):
        repo.deploy("my-prompt", "v2.0.0", to="debug")
        assert repo.git("show", "components/my-prompt/debug:components/prompts/my-prompt.md") == "by Bob"
    assert team.ada.git("fsck", "--no-dangling", "--connectivity-only") == ""


def test_a_version_that_was_made_anew_from_the_ledger_is_the_remotes_again(team: Team) -> None:
    ref = "refs/tags/components/my-prompt/v1.2.0"
    was = team.bob.refs()[ref]
    team.bob.git("tag", "-d", "components/my-prompt/v1.2.0")
    team.bob.git("gc", "--quiet", "--prune=now")
    team.bob.edgit("tag", "restore", "my-prompt", "v1.2.0")
    assert team.bob.refs()[ref] != was
    assert "components/my-prompt/v1.2.0 is the tag that origin has" in team.bob.edgit("pull").err
    assert team.bob.refs()[ref] == was
    team.settle()


def test_a_replayed_move_whose_tag_is_gone_gets_a_new_one(team: Team) -> None:
    team.bob.deploy("my-prompt", "v1.1.0")
    team.bob.git("tag", "-d", "components/my-prompt/prod")
    team.bob.git("gc", "--quiet", "--prune=now")
    team.ada.deploy("other", "v1.0.0")
    team.ada.edgit("push")
    team.bob.edgit("pull")
    assert team.bob.tagged("my-prompt") == "v1.1.0"
    team.bob.edgit("push")
    team.settle()


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("v1.0.0", "v1.0.0-clash.g0123456789"),
        ("v1.0.0-rc.1", "v1.0.0-rc.1.clash.g0123456789"),
        ("v1.0.0+build-5", "v1.0.0-clash.g0123456789+build-5"),
    ],
)
def test_the_name_of_a_version_that_clashes(version: str, name: str) -> None:
    assert clash_name(version, "0123456789abcdef") == name


def test_three_moves_apart_and_back_again(team: Team) -> None:
    for version in ("v1.1.0", "v1.2.0", "v1.0.0"):
        team.bob.deploy("my-prompt", version)
    team.ada.deploy("other", "v1.0.0")
    team.ada.edgit("push")
    team.bob.edgit("pull")
    team.bob.edgit("push")
    assert [move[2:] for move in moves(team.bob)[:4]] == [("v1.0.0", 9), ("v1.2.0", 8), ("v1.1.0", 7), ("v1.0.0", 6)]
    team.settle()


def test_a_pull_with_nothing_new_leaves_own_moves_as_they_are(team: Team) -> None:
    """Their commits are what KV was published from."""
    team.bob.deploy("my-prompt", "v1.1.0")
    team.bob.name = "Bobby"
    before = team.bob.refs()
    team.bob.edgit("pull")
    assert team.bob.refs() == before


def test_a_stale_clone_does_not_undo_production(team: Team) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    team.ada.deploy("my-prompt", "v1.2.0")
    team.ada.edgit("push")
    before = team.remote.refs()
    team.bob.deploy("my-prompt", "v1.1.0")
    team.bob.edgit("push", code=3)
    assert team.remote.refs() == before
    assert "already exists" in team.bob.run("push", "--tags").err
    assert team.remote.refs() == before


# Ledgers that began apart


def test_two_ledgers_that_began_apart_stale_tags_undo_nothing(tmp_path: Path) -> None:
    ada, remote = with_remote(tmp_path)
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        ada.write("components/prompts/my-prompt.md", version)
        ada.git("tag", "-a", "-m", version, f"components/my-prompt/{version}")
    ada.git("tag", "-a", "-m", "Deploy my-prompt@v1.0.0 to prod", "components/my-prompt/prod", "HEAD~2")
    ada.git("push", "--quiet", "origin", "main", "--tags")
    bob = clone(remote, tmp_path / "bob", name="Bob")
    bob.env["EDGIT_OFFLINE"] = "1"
    plain_move(ada, "v1.1.0")
    ada.edgit("adopt")
    ada.deploy("my-prompt", "v1.2.0")
    ada.edgit("push")
    # Bob's tags are of yesterday; he has a version of his own, and moves something else.
    bob.write("components/prompts/my-prompt.md", "Bob's")
    bob.git("tag", "-a", "-m", "x", "components/my-prompt/v1.3.0")
    bob.edgit("adopt")
    bob.deploy("my-prompt", "v1.3.0", to="debug")
    assert bob.live("my-prompt") == "v1.0.0"
    bob.edgit("push")
    assert bob.live("my-prompt") == bob.tagged("my-prompt") == "v1.2.0"
    assert bob.live("my-prompt", "debug") == "v1.3.0"
    assert bob.git("show", f"{LEDGER}:versions/my-prompt/v1.3.0") == "Bob's"
    ada.edgit("pull")
    assert ada.live("my-prompt", "debug") == "v1.3.0"
    assert ada.refs("refs/tags", LEDGER) == bob.refs("refs/tags", LEDGER)
    assert ada.git("rev-list", "--max-parents=0", LEDGER).count("\n") == 0


def test_a_clone_without_a_ledger_is_told_to_pull_first(team: Team, tmp_path: Path) -> None:
    fresh = clone(team.remote, tmp_path / "fresh")
    before = team.remote.refs()
    answer = fresh.edgit("push", code=3)
    assert "has a ledger, and this clone has none" in answer.err
    assert team.remote.refs() == before


def test_a_fresh_shallow_clone_needs_only_a_pull(team: Team, tmp_path: Path) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    team.ada.edgit("push")
    ci = clone(team.remote, tmp_path / "ci", "--depth", "1", "--no-tags", name="Ci")
    assert ci.refs("refs/tags", LEDGER) == {}
    ci.edgit("pull")
    assert ci.live("my-prompt") == ci.tagged("my-prompt") == "v1.1.0"
    ci.deploy("my-prompt", "v1.0.0")
    ci.edgit("push")
    assert moves(ci)[0] == ("Ci", "prod", "v1.0.0", 7)
    assert "Generation: 7" in team.remote.git("log", "-1", "--format=%B", LEDGER)
    assert ci.run("push", "--tags").err == "Everything up-to-date\n"
    team.settle()


# Plain git in between


def test_plain_git_in_between_destroys_no_move(team: Team) -> None:
    team.bob.version("my-prompt", "v2.0.0")
    team.bob.deploy("my-prompt", "v1.1.0")
    team.bob.deploy("my-prompt", "v2.0.0")
    ledger = team.bob.refs()[LEDGER]
    for command in (
        ["fetch", "--quiet", "--prune"],
        ["fetch", "--quiet", "--tags", "--force"],
        ["push", "--quiet", "--tags"],
        ["gc", "--quiet", "--prune=now"],
        ["fetch", "--quiet", "--prune", "--prune-tags", "--force"],
        ["gc", "--quiet", "--prune=now"],
    ):
        team.bob.run(*command)
        assert team.bob.live("my-prompt") == "v2.0.0"
    assert team.bob.refs()[LEDGER] == ledger
    assert team.bob.tagged("my-prompt") != "v2.0.0"
    assert "components/my-prompt/prod follows the ledger: v2.0.0" in team.bob.edgit("push").err
    assert team.bob.tagged("my-prompt") == "v2.0.0"
    team.settle()
    assert team.ada.live("my-prompt") == team.ada.tagged("my-prompt") == "v2.0.0"


def test_pruned_tags_come_back_with_their_objects(team: Team) -> None:
    """An unpushed version and the pointer on it are gone from git, commit and all: the ledger holds both."""
    team.bob.git("checkout", "--quiet", "--detach")
    team.bob.version("my-prompt", "v2.0.0", "unpushed\n")
    team.bob.deploy("my-prompt", "v2.0.0")
    team.bob.git("checkout", "--quiet", "main")
    team.bob.git("fetch", "--quiet", "--prune", "--prune-tags", "--force")
    team.bob.git("reflog", "expire", "--expire=now", "--all")
    team.bob.git("gc", "--quiet", "--prune=now")
    assert "refs/tags/components/my-prompt/v2.0.0" not in team.bob.refs()
    answer = team.bob.edgit("push")
    assert "components/my-prompt/prod follows the ledger: v2.0.0" in answer.err
    assert team.bob.git("show", f"{PROD}:components/prompts/my-prompt.md") == "unpushed"
    team.settle()
    assert team.ada.live("my-prompt") == "v2.0.0"


def test_what_the_remote_has_is_known_after_a_prune_too(team: Team) -> None:
    team.bob.git("fetch", "--quiet", "--prune")
    assert json.loads(team.bob.edgit("status", "--format", "json").out)["unpushed_moves"] == 0


def test_tags_of_moves_that_are_not_here_yet_are_not_taken_for_new_ones(team: Team) -> None:
    """`git fetch --tags --force` brings the tag of a move without its entry; adopted, it must not come after those that
    followed it."""
    team.ada.deploy("my-prompt", "v1.1.0")
    team.ada.edgit("push")
    team.bob.git("fetch", "--quiet", "--tags", "--force")
    team.bob.edgit("adopt")
    team.ada.deploy("my-prompt", "v1.2.0")
    team.ada.edgit("push")
    team.bob.edgit("pull")
    assert team.bob.live("my-prompt") == team.bob.tagged("my-prompt") == "v1.2.0"
    assert [move[0] for move in moves(team.bob)] == ["Ada", "Ada", "Ada"]
    team.settle()


def test_tags_that_plain_git_pushed_before_their_entries(team: Team) -> None:
    team.ada.deploy("other", "v1.0.0")
    team.ada.git("push", "--quiet", "--tags")
    team.bob.edgit("pull")
    team.ada.edgit("push")
    team.bob.edgit("pull")
    assert moves(team.bob)[0][:3] == ("Ada", "prod", "v1.0.0")
    team.settle()


def test_a_tag_that_plain_git_moved_at_the_remote_is_told_and_adopted(team: Team, tmp_path: Path) -> None:
    carol = clone(team.remote, tmp_path / "carol", name="Carol")
    plain_move(carol, "v1.1.0")
    answer = team.bob.edgit("pull")
    assert "components/my-prompt/prod was moved at origin by another tool (the ledger says v1.0.0)" in answer.err
    assert team.bob.live("my-prompt") == "v1.0.0"
    team.bob.edgit("adopt")
    assert team.bob.live("my-prompt") == "v1.1.0"
    team.bob.edgit("push")
    assert moves(team.bob)[0][0] == "Carol"
    team.settle()


def test_a_push_does_not_overwrite_what_plain_git_moved_at_the_remote(team: Team, tmp_path: Path) -> None:
    carol = clone(team.remote, tmp_path / "carol", name="Carol")
    plain_move(carol, "v1.1.0")
    team.bob.deploy("my-prompt", "v1.2.0")
    before = team.remote.refs()
    answer = team.bob.edgit("push", code=3)
    assert "another tool has moved components/my-prompt/prod at origin; nothing was pushed" in answer.err
    assert team.remote.refs() == before
    team.bob.edgit("pull")
    team.bob.deploy("my-prompt", "v1.2.0")
    team.bob.edgit("push")
    assert [move[2] for move in moves(team.bob)][:3] in (["v1.2.0", "v1.1.0", "v1.2.0"], ["v1.1.0", "v1.2.0", "v1.0.0"])
    assert team.bob.live("my-prompt") == "v1.2.0"
    team.settle()


def test_what_plain_git_moves_between_the_look_and_the_push_is_not_overwritten(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carol = clone(team.remote, tmp_path / "carol", name="Carol")
    look = Git.remote_refs

    def looked(git: Git, *arguments: str, **options: Any) -> dict[str, str]:
        found = look(git, *arguments, **options)
        with carol.here():
            plain_move(carol, "v1.1.0")
        return found

    team.bob.deploy("my-prompt", "v1.2.0")
    monkeypatch.setattr(Git, "remote_refs", looked)
    answer = team.bob.edgit("push", code=3)
    assert "another tool has moved components/my-prompt/prod at origin; nothing was pushed" in answer.err
    assert team.remote.refs()[PROD] == carol.refs()[PROD]
    assert team.remote.refs()[LEDGER] == team.ada.refs()[LEDGER]


def test_a_tag_that_was_moved_here_by_another_tool_is_not_overwritten_by_a_pull(team: Team) -> None:
    plain_move(team.bob, "v1.1.0", push=False)
    team.ada.deploy("my-prompt", "v1.2.0")
    team.ada.edgit("push")
    team.bob.edgit("pull")
    assert team.bob.live("my-prompt") == "v1.2.0"
    assert "was moved by another tool to v1.1.0; the ledger says v1.2.0" in team.bob.edgit("history").err
    team.bob.deploy("my-prompt", "v1.2.0")
    team.bob.edgit("push")
    assert [move[:3] for move in moves(team.bob)][:3] == [
        ("Bob", "prod", "v1.2.0"),
        ("Carol", "prod", "v1.1.0"),
        ("Ada", "prod", "v1.2.0"),
    ]
    team.settle()


@pytest.mark.parametrize("what", ["deleted", "rolled back"])
def test_a_tag_that_is_lost_at_the_remote_is_told_and_pushed_again(team: Team, what: str) -> None:
    old = team.ada.refs()[PROD]
    team.ada.deploy("my-prompt", "v1.1.0")
    team.ada.edgit("push")
    if what == "deleted":
        team.remote.git("update-ref", "-d", PROD)
    else:
        team.remote.git("update-ref", PROD, old)
    answer = team.bob.edgit("pull")
    assert "components/my-prompt/prod at origin is not where its ledger says" in answer.err
    assert team.bob.live("my-prompt") == team.bob.tagged("my-prompt") == "v1.1.0"
    assert "pushed 0 moves and 1 tag" in team.bob.edgit("push").out
    team.settle()


def test_a_version_that_was_moved_at_the_remote_is_set_right_by_a_push(team: Team) -> None:
    ref = "refs/tags/components/my-prompt/v1.1.0"
    was = team.ada.refs()[ref]
    team.remote.git("update-ref", ref, team.ada.refs()["refs/tags/components/my-prompt/v1.2.0"])
    team.ada.deploy("my-prompt", "v1.1.0")
    team.ada.edgit("push")
    assert team.remote.refs()[ref] == was
    team.settle()


def test_a_tag_of_an_older_form_keeps_its_name_in_every_clone(tmp_path: Path) -> None:
    ada, remote = with_remote(tmp_path)
    ada.write("components/prompts/x.md", "one")
    ada.git("tag", "-a", "-m", "x", "prompts/x/v1.0.0")
    ada.write("components/prompts/x.md", "two")
    ada.git("tag", "-a", "-m", "x", "prompts/x/v1.1.0")
    ada.git("tag", "-a", "-m", "Deploy x@v1.0.0 to prod", "prompts/x/prod", "HEAD~1")
    ada.git("push", "--quiet", "origin", "main", "--tags")
    ada.deploy("x", "v1.1.0")
    ada.edgit("push")
    ci = clone(remote, tmp_path / "ci", "--no-tags", name="Ci")
    ci.edgit("pull")
    ci.deploy("x", "v1.0.0")
    ci.edgit("push")
    ada.edgit("pull")
    assert [ref for ref in remote.refs("refs/tags") if ref.endswith("prod")] == ["refs/tags/prompts/x/prod"]
    assert ada.refs("refs/tags") == ci.refs("refs/tags") == remote.refs("refs/tags")
    assert ada.git("show", "prompts/x/prod:components/prompts/x.md") == "one"


# Remotes that fail


def online(repo: Repo) -> Repo:
    """It looks at the remote again before it moves something, and pushes each move at once."""
    repo.env = {}
    repo.git("config", "edgit.autoPush", "true")
    return repo


def test_a_push_at_once_without_the_remote_keeps_the_move(team: Team) -> None:
    online(team.ada)
    shutil.move(team.remote.root, team.remote.root.with_suffix(".away"))
    answer = team.ada.deploy("my-prompt", "v1.1.0", code=4)
    assert "moved here, and not pushed" in answer.err
    assert team.ada.live("my-prompt") == team.ada.tagged("my-prompt") == "v1.1.0"
    shutil.move(team.remote.root.with_suffix(".away"), team.remote.root)
    team.ada.edgit("push")
    team.settle()


def test_a_push_at_once_pushes(team: Team) -> None:
    online(team.ada)
    team.ada.deploy("my-prompt", "v1.1.0")
    assert team.ada.run("push", "--tags").err == "Everything up-to-date\n"
    team.ada.version("my-prompt", "v3.0.0")
    assert team.ada.run("push", "--tags").err == "Everything up-to-date\n"


def test_a_push_at_once_that_is_refused_says_so(team: Team) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    team.ada.edgit("push")
    team.bob.deploy("my-prompt", "v1.2.0")
    before = team.bob.refs()
    answer = online(team.bob).deploy("other", "v1.0.0", code=3)
    assert "origin and you have moved a pointer to different versions" in answer.err
    assert team.bob.refs() == before


def test_a_remote_that_refuses_one_tag_takes_nothing(team: Team) -> None:
    """New versions go first, and are in nobody's way; the ledger and the pointers come together or not at all."""
    hook = team.remote.hook("update", 'case "$1" in refs/tags/*/prod) echo "ask first"; exit 1;; esac')
    team.ada.version("my-prompt", "v2.0.0")
    team.ada.deploy("my-prompt", "v2.0.0")
    before = team.remote.refs()
    answer = team.ada.edgit("push", code=3)
    assert "nothing was moved there: ask first; " in answer.err
    new = "refs/tags/components/my-prompt/v2.0.0"
    assert team.remote.refs() == {**before, new: team.ada.refs()[new]}
    # Another clone sees a version that is not on record yet, and no move.
    team.bob.edgit("pull")
    assert team.bob.live("my-prompt") == "v1.0.0"
    hook.unlink()
    assert "pushed 2 moves and 1 tag" in team.ada.edgit("push").out
    team.settle()


def test_many_new_versions_go_together_and_nothing_else_with_them(team: Team) -> None:
    for version in ("v3.0.0", "v3.1.0", "v3.2.0"):
        team.bob.version("my-prompt", version)
        team.bob.version("fresh", version)
    # An environment that begins as a version does, set by another tool and not on record.
    team.bob.git("tag", "-a", "-m", "Deploy my-prompt@v3.0.0 to vip", "components/my-prompt/vip")
    team.bob.edgit("push")
    assert "refs/tags/components/my-prompt/vip" not in team.remote.refs()
    new = {ref for ref in team.remote.refs("refs/tags") if "/v3." in ref}
    assert len(new) == 6
    team.bob.git("tag", "-d", "components/my-prompt/vip")
    team.settle()


def test_a_remote_that_began_anew_gets_everything(team: Team) -> None:
    team.ada.deploy("my-prompt", "v1.1.0")
    shutil.rmtree(team.remote.root)
    make(team.remote.root, bare=True)
    team.ada.edgit("push")
    team.settle()


def test_without_a_remote_the_next_step_is_told(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("my-prompt", "v1.0.0")
    for command in ("push", "pull"):
        assert "git remote add origin" in repo.edgit(command, code=1).err


def test_a_pull_of_tags_where_nobody_keeps_a_ledger(tmp_path: Path) -> None:
    ada, remote = with_remote(tmp_path)
    ada.write("components/prompts/my-prompt.md", "one")
    ada.git("tag", "-a", "-m", "x", "components/my-prompt/v1.0.0")
    ada.git("tag", "-a", "-m", "Deploy my-prompt@v1.0.0 to prod", "components/my-prompt/prod")
    ada.git("push", "--quiet", "origin", "main", "--tags")
    ci = clone(remote, tmp_path / "ci", "--depth", "1", "--no-tags", name="Ci")
    ci.edgit("pull")
    assert ci.live("my-prompt") == "v1.0.0"
    ci.deploy("my-prompt", "v1.0.0", to="debug")
    ci.edgit("push")
    ada.edgit("pull")
    assert ada.live("my-prompt", "debug") == "v1.0.0"
