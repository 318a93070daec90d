"""Moves made by other tools, and the beginning of a ledger: seen, told, put on record, and never lost."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgit.ledger.entries import instant
from edgit.ledger.history import fold
from edgit.repository.problems import read_problems, unclear_tags
from edgit.repository.reading import read_past, read_past_pointers
from tests.edgit.repo import BEGIN, Repo, clone, copied, make


def on_record(folder: Path) -> Repo:
    """`x` with v1.0.0 to v1.2.0, prod at v1.1.0 after v1.0.0, everything on record."""
    repo = make(folder / "work")
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        repo.version("x", version)
    repo.deploy("x", "v1.0.0")
    repo.deploy("x", "v1.1.0")
    return repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(on_record, tmp_path)


def as_bo(repo: Repo) -> Repo:
    """The same repository, moved in by somebody else and a minute later."""
    repo.now += 60
    return Repo(repo.root, repo.now, "Bo")


def annotate(repo: Repo, name: str, target: str, message: str) -> None:
    repo.git("tag", "-f", "-a", name, target, "-m", message)


PROD = "components/x/prod"
PROD_REF = f"refs/tags/{PROD}"


def moves(repo: Repo, environment: str = "prod") -> list[tuple[str | None, str]]:
    """(version, who) of each move, oldest first."""
    told = json.loads(repo.edgit("history", "x", "--from", environment, "--format", "json").out)
    return [(move["version"], move["actor"].split(" ")[0]) for move in reversed(told)]


# Another tool moves a pointer


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("components/x/v1.2.0", "Set x to prod"),
        ("components/x/v1.2.0^{commit}", "Deploy x@v1.2.0 to prod"),
        ("components/x/v1.2.0^{commit}", "anything"),
        ("components/x/v1.2.0", None),
        ("components/x/v1.2.0^{commit}", None),
    ],
    ids=["nested", "named", "by its commit", "plain, at the version's tag", "plain, at the commit"],
)
def test_a_foreign_move_is_told_and_adopted_with_its_author(target: str, message: str | None, repo: Repo) -> None:
    bo = as_bo(repo)
    if message is None:
        bo.git("tag", "-f", PROD, target)
    else:
        annotate(bo, PROD, target, message)
    for command in (
        ["deploy", "get", "x", "--from", "prod"],
        ["components", "list"],
        ["history"],
        ["status"],
        ["history", "--all"],
    ):
        answer = repo.edgit(*command)
        assert "components/x/prod was moved by another tool to v1.2.0; the ledger says v1.1.0" in answer.err
        assert "edgit adopt" in answer.err
    # Asking changes nothing: what is published is the ledger's word.
    assert repo.live("x") == "v1.1.0"
    answer = repo.edgit("adopt")
    assert "moved to v1.2.0" in answer.all
    assert repo.live("x") == "v1.2.0"
    assert [version for version, _ in moves(repo)] == ["v1.0.0", "v1.1.0", "v1.2.0"]
    # A plain tag does not say who set it, and who made the version is not who moved the pointer.
    assert moves(repo)[-1][1] == ("Bo" if message else "unknown")
    if message:
        told = json.loads(repo.edgit("history", "x", "--format", "json").out)[0]
        assert told["at"] == instant(bo.now).isoformat().replace("+00:00", "Z")
    assert repo.edgit("deploy", "get", "x", "--from", "prod").err == ""
    assert repo.edgit("adopt").code == 0
    assert len(moves(repo)) == 3


def test_a_move_on_top_of_a_foreign_one_records_that_first(repo: Repo) -> None:
    annotate(as_bo(repo), PROD, "components/x/v1.2.0", "Set x to prod")
    answer = repo.deploy("x", "v1.0.0")
    assert "on record now: components/x/prod was moved to v1.2.0 by Bo, with another tool" in answer.err
    assert moves(repo) == [("v1.0.0", "Ada"), ("v1.1.0", "Ada"), ("v1.2.0", "Bo"), ("v1.0.0", "Ada")]
    repo.edgit("rollback", "x@v1.2.0")
    assert repo.live("x") == "v1.2.0"


def test_a_move_elsewhere_leaves_a_foreign_one_alone_and_tells_it_again(repo: Repo) -> None:
    annotate(as_bo(repo), PROD, "components/x/v1.2.0", "Set x to prod")
    before = repo.refs()[PROD_REF]
    repo.deploy("x", "v1.0.0", to="staging")
    assert repo.refs()[PROD_REF] == before
    assert "was moved by another tool to v1.2.0" in repo.edgit("status").err


@pytest.mark.parametrize("light", [False, True])
def test_a_foreign_rollback_is_not_undone(light: bool, repo: Repo) -> None:
    bo = as_bo(repo)
    for _ in range(2):  # The second time, a plain tag is at the very object that it was at before.
        if light:
            bo.git("tag", "-f", PROD, "components/x/v1.0.0")
        else:
            annotate(bo, PROD, "components/x/v1.0.0", "Rollback x in prod to v1.0.0")
        moved = bo.refs()[PROD_REF]
        repo.deploy("x", "v1.2.0", to="staging")
        assert repo.refs()[PROD_REF] == moved
        repo.edgit("adopt")
        assert repo.live("x") == "v1.0.0"
        repo.deploy("x", "v1.1.0")
        repo.edgit("deploy", "unset", "x", "--from", "staging")
        bo.now = repo.now + 60


def test_a_foreign_new_environment_and_a_foreign_version(repo: Repo) -> None:
    bo = as_bo(repo)
    commit = bo.write("components/prompts/x.md", "two")
    annotate(bo, "components/prompts/x/v2.0.0", commit, "Release x v2.0.0")
    annotate(bo, "components/prompts/x/eu", "components/prompts/x/v2.0.0", "Set x to eu")
    assert "components/x/eu was moved by another tool to v2.0.0; the ledger says none" in repo.edgit("status").err
    repo.now = bo.now
    repo.edgit("adopt")
    assert repo.live("x", "eu") == "v2.0.0"
    assert repo.git("show", "refs/edgit/ledger:versions/x/v2.0.0") == "two"
    # The tag keeps the name that the other tool gave it.
    repo.deploy("x", "v1.0.0", to="eu")
    assert "refs/tags/components/x/eu" not in repo.refs()
    assert "x@v1.0.0" in repo.git("cat-file", "-p", "refs/tags/components/prompts/x/eu")


def test_a_foreign_version_alone_is_adopted(repo: Repo) -> None:
    bo = as_bo(repo)
    bo.write("components/prompts/x.md", "three")
    annotate(bo, "components/x/v3.0.0", "HEAD", "Release")
    assert "x v3.0.0" in repo.edgit("status").err
    repo.edgit("adopt")
    assert "not on record" not in repo.edgit("status").err
    assert repo.git("show", "refs/edgit/ledger:versions/x/v3.0.0") == "three"


def test_only_some_components_are_adopted(repo: Repo) -> None:
    repo.version("y", "v1.0.0")
    annotate(as_bo(repo), PROD, "components/x/v1.2.0", "Set")
    annotate(as_bo(repo), "components/y/prod", "components/y/v1.0.0", "Set")
    repo.edgit("adopt", "y")
    assert repo.live("y") == "v1.0.0"
    assert repo.live("x") == "v1.1.0"


def test_many_foreign_moves_are_adopted_in_their_order(repo: Repo) -> None:
    for number, environment in enumerate(("c", "b", "a")):
        bo = Repo(repo.root, repo.now + 60 * (number + 1), "Bo")
        annotate(bo, f"components/x/{environment}", "components/x/v1.0.0", "Set")
    repo.now += 600
    repo.edgit("adopt")
    told = json.loads(repo.edgit("history", "x", "--format", "json").out)
    assert [move["environment"] for move in told][:3] == ["a", "b", "c"]


def test_a_tag_whose_meaning_cannot_be_told_is_told_and_nothing_is_made_up(repo: Repo) -> None:
    bo = as_bo(repo)
    blob = bo.git("hash-object", "-w", "--stdin", input="x")
    for target in (blob, "HEAD~1^{tree}"):
        annotate(bo, PROD, target, "odd")
        assert "something unclear" in repo.edgit("deploy", "get", "x", "--from", "prod").err
        assert repo.live("x") == "v1.1.0"
        repo.edgit("adopt", code=None)
        assert moves(repo)[-1] == ("v1.1.0", "Ada")
    # It is the operator's to decide, and this decides it.
    repo.deploy("x", "v1.0.0")
    assert repo.tagged("x") == "v1.0.0"


def test_before_the_ledger_a_tag_that_means_nothing_is_told_with_what_decides_it(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    commit = repo.write("prompts/x.md", "one")
    for version in ("v1.0.0", "v1.0.1"):
        annotate(repo, f"prompts/x/{version}", commit, "Release")
    annotate(repo, "prompts/x/eu", commit, "Promote x from prod to eu")
    annotate(repo, "prompts/x/prod", commit, "Deploy x@v1.0.0 to prod")
    for adopted in (False, True):
        for command in (["components", "list"], ["history"], ["status"], ["deploy", "get", "x", "--from", "prod"]):
            told = repo.edgit(*command).err
            assert told.count("v1.0.0, v1.0.1 are all at") == 1
            assert "Next: edgit deploy set x VERSION --to eu" in told
        if not adopted:
            repo.edgit("adopt")
    repo.deploy("x", "v1.0.1", to="eu")
    assert repo.edgit("status").err.count("eu") == 0
    assert repo.tagged("x", "eu") is None  # It goes on under the older name.
    assert repo.live("x", "eu") == "v1.0.1"


def test_a_thousand_differences_are_told_in_a_few_lines(repo: Repo) -> None:
    for number in range(30):
        repo.git("tag", f"components/x/e{number}", "components/x/v1.0.0")
    told = repo.edgit("history", "x").err.splitlines()
    # A script that asks for one pointer hears of that one.
    assert repo.edgit("deploy", "get", "x").err == ""
    assert len(told) == 21
    assert told[-1] == "warning: and 10 more such tags"


def test_a_foreign_move_to_a_version_that_was_deleted_since(repo: Repo) -> None:
    bo = as_bo(repo)
    bo.write("components/prompts/x.md", "short-lived")
    annotate(bo, "components/x/v9.0.0", "HEAD", "Release")
    annotate(bo, PROD, "components/x/v9.0.0", "Set x to prod")
    bo.git("tag", "-d", "components/x/v9.0.0")
    assert "was moved by another tool to v9.0.0" in repo.edgit("status").err
    repo.edgit("adopt")
    assert repo.live("x") == "v9.0.0"
    assert repo.git("show", "refs/edgit/ledger:versions/x/v9.0.0") == "short-lived"
    repo.edgit("tag", "restore", "x", "v9.0.0")
    assert repo.git("show", "components/x/v9.0.0:components/prompts/x.md") == "short-lived"


# Tags that are behind, and not foreign


def test_a_stale_fetch_is_no_move_however_old(repo: Repo, tmp_path: Path) -> None:
    stale = clone(repo, tmp_path / "stale.git", "--bare")
    for version in ("v1.2.0", "v1.0.0"):
        repo.deploy("x", version)
    repo.git("fetch", "--quiet", "--force", "--tags", str(stale.root))
    told = repo.edgit("status").err
    assert "is behind the ledger, which says v1.0.0" in told
    assert "another tool" not in told
    assert repo.live("x") == "v1.0.0"
    assert len(moves(repo)) == 4
    repo.deploy("x", "v1.2.0", to="staging")
    assert repo.tagged("x") == "v1.0.0"
    assert len(moves(repo)) == 4


def test_the_ledger_ahead_of_a_tag_is_finished_and_told(repo: Repo) -> None:
    before = repo.refs()[PROD_REF]
    repo.deploy("x", "v1.2.0")
    repo.git("update-ref", PROD_REF, before)
    assert "is behind the ledger, which says v1.2.0" in repo.edgit("deploy", "get", "x", "--from", "prod").err
    answer = repo.edgit("adopt")
    assert "components/x/prod follows the ledger: v1.2.0" in answer.err
    assert repo.tagged("x") == "v1.2.0"


def test_a_plain_tag_that_a_killed_command_left_is_not_foreign(repo: Repo) -> None:
    repo.git("tag", "-f", PROD, "components/x/v1.2.0^{commit}")
    repo.edgit("adopt")
    before = repo.refs()
    repo.deploy("x", "v1.0.0")
    after = repo.refs()
    # As it is when git is killed between the ledger's rename and the tag's.
    repo.git("update-ref", PROD_REF, before[PROD_REF])
    updates = [[ref, after[ref], before[ref]] for ref in ("refs/edgit/ledger", PROD_REF)]
    repo.write(".git/edgit/pending.json", json.dumps(updates), commit=False)
    told = repo.edgit("deploy", "get", "x", "--from", "prod")
    assert told.out == "v1.0.0\n"
    assert "is behind the ledger, which says v1.0.0" in told.err
    assert "another tool" not in told.err
    repo.deploy("x", "v1.0.0", to="eu")
    assert repo.tagged("x") == "v1.0.0"
    assert len(moves(repo)) == 4


def test_of_several_tags_of_a_pointer_the_ledgers_own_is_brought_up(repo: Repo, tmp_path: Path) -> None:
    annotate(as_bo(repo), "prompts/x/prod", "components/x/v1.2.0", "Set x to prod")
    repo.now += 60
    repo.edgit("adopt")
    assert repo.live("x") == "v1.2.0"
    stale = clone(repo, tmp_path / "stale.git", "--bare")
    repo.now -= 3600  # Whose clock was wrong is nobody's to guess: what is on record is over.
    repo.deploy("x", "v1.0.0")
    assert repo.live("x") == "v1.0.0"
    assert repo.edgit("deploy", "get", "x", "--from", "prod").err == ""
    moved = repo.refs()
    for fetched in (True, False):
        if fetched:
            repo.git("fetch", "--quiet", "--force", "--tags", str(stale.root))
        else:
            repo.git("tag", "-d", "prompts/x/prod")
        assert repo.refs() != moved
        assert "is behind the ledger, which says v1.0.0" in repo.edgit("status").err
        repo.edgit("adopt")
        assert repo.refs() == moved


@pytest.mark.parametrize("form", ["components/x/", "prompts/x/", "components/prompts/x/"])
def test_a_deleted_tag_comes_back_under_its_own_name(form: str, tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    commit = repo.write("prompts/x.md", "one")
    annotate(repo, f"{form}v1.0.0", commit, "Release")
    annotate(repo, f"{form}prod", f"{form}v1.0.0", "Set")
    repo.edgit("adopt")
    repo.deploy("x", "v1.0.0", to="staging")
    before = repo.refs("refs/tags")
    repo.git("tag", "-d", f"{form}prod")
    told = repo.edgit("status").err
    assert "is behind the ledger, which says v1.0.0" in told
    assert "edgit deploy unset x --from prod" in told
    assert repo.live("x") == "v1.0.0"
    repo.edgit("adopt")
    assert repo.refs("refs/tags") == before


def test_many_differences_ask_git_as_often_as_one(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = subprocess.run

    def counted(command: Any, **options: Any) -> Any:
        asked.append(command)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", counted)

    def count() -> int:
        asked.clear()
        with repo.here():
            drift = repo.read().drift
            foreign, behind = drift.unrecorded_moves, drift.stale_tags
        assert foreign
        assert behind == ()
        return len(asked)

    annotate(as_bo(repo), "components/x/e0", "components/x/v1.0.0", "Set")
    few = count()
    for number in range(1, 30):
        annotate(as_bo(repo), f"components/x/e{number}", "components/x/v1.0.0", "Set")
    assert count() == few


# The beginning


def everything(repo: Repo, instants: Iterable[int]) -> list[str]:
    """What every reading command answers."""
    commands = [
        ["components", "list", "--format", "json"],
        ["components", "list", "--format", "tree"],
        ["components", "list", "--format", "table"],
        ["history"],
        ["history", "x"],
        ["history", "--format", "json"],
        *(["history", "--date", datetime.fromtimestamp(at, UTC).isoformat()] for at in instants),
        *(["history", "--date", datetime.fromtimestamp(at, UTC).isoformat(), "--format", "json"] for at in instants),
    ]
    return [repo.edgit(*command).out for command in commands]


def test_a_repository_with_no_ledger_answers_as_it_will_with_one(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    bo = Repo(repo.root, repo.now, "Bo")
    instants = [BEGIN]
    for number, form in enumerate(("components/x/", "prompts/x/", "components/prompts/x/")):
        commit = repo.write("prompts/x.md", f"text {number}")
        bo.now = repo.now + 10
        annotate(bo, f"{form}v1.{number}.0", commit, "Release")
        bo.now += 10
        annotate(bo, f"{form}prod", f"{form}v1.{number}.0", "Set")
        instants += [bo.now - 1, bo.now, bo.now + 1]
    repo.git("tag", "components/x/light", "components/x/v1.0.0^{commit}")
    repo.now += 600
    instants.append(repo.now)
    before = everything(repo, instants)
    assert "refs/edgit/ledger" not in repo.refs()
    answer = repo.edgit("adopt")
    assert "began the ledger" in answer.all
    assert everything(repo, instants) == before
    # Three tags of one pointer are three moves.
    assert [version for version, _ in moves(repo)] == ["v1.0.0", "v1.1.0", "v1.2.0"]
    assert {who for _, who in moves(repo)} == {"Bo"}
    # A plain tag has no author of its own and no date; of dates its commit's is the nearest.
    light = json.loads(repo.edgit("history", "x", "--from", "light", "--format", "json").out)
    assert [(move["version"], move["actor"].split(" ")[0], move["at"]) for move in light] == [
        ("v1.0.0", "unknown", instant(BEGIN + 60).isoformat().replace("+00:00", "Z"))
    ]


def test_tags_of_one_pointer_that_say_the_same_are_one_move_and_of_one_moment_the_own_counts(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    commit = repo.write("prompts/x.md", "one")
    for version in ("v1.0.0", "v1.1.0"):
        annotate(repo, f"components/x/{version}", commit, "Release")
    for form, same, other in (("components/x/", "v1.0.0", "v1.1.0"), ("prompts/x/", "v1.0.0", "v1.0.0")):
        annotate(repo, f"{form}same", f"components/x/{same}", "Set")
        annotate(repo, f"{form}other", f"components/x/{other}", "Set")
    for adopted in (False, True):
        assert moves(repo, "same") == [("v1.0.0", "Ada")]
        assert [version for version, _ in moves(repo, "other")] == ["v1.0.0", "v1.1.0"]
        assert (repo.live("x", "same"), repo.live("x", "other")) == ("v1.0.0", "v1.1.0")
        if not adopted:
            repo.edgit("adopt")
            assert "another tool" not in repo.edgit("status").err


@pytest.mark.parametrize(
    "first", [["adopt"], ["deploy", "set", "x", "v1.0.0", "--to", "eu"], ["tag", "create", "y", "v1.0.0"]]
)
def test_the_first_command_that_moves_begins_the_ledger(first: list[str], tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write("prompts/y.md", "y")
    commit = repo.write("prompts/x.md", "one")
    annotate(repo, "prompts/x/v1.0.0", commit, "Release")
    annotate(repo, "prompts/x/prod", commit, "Deploy x@v1.0.0 to prod")
    repo.edgit(*first)
    assert repo.git("rev-list", "--count", "refs/edgit/ledger") == ("1" if first == ["adopt"] else "2")
    assert repo.live("x") == "v1.0.0"
    assert repo.git("show", "refs/edgit/ledger:versions/x/v1.0.0") == "one"
    assert moves(repo)[0] == ("v1.0.0", "Ada")


def test_a_version_whose_tag_was_deleted_before_the_ledger_began(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    one = repo.write("prompts/x.md", "one")
    annotate(repo, "components/x/v1.0.0", one, "Release")
    annotate(repo, "components/x/prod", "components/x/v1.0.0", "Set")
    annotate(repo, "components/x/eu", one, "Deploy x@v1.0.1 to eu")
    repo.git("tag", "-d", "components/x/v1.0.0")
    assert repo.live("x") == "v1.0.0"
    assert repo.live("x", "eu") == "v1.0.1"
    answer = repo.deploy("x", "v1.0.0", to="staging", code=1)
    assert "edgit adopt, then edgit tag restore x v1.0.0" in answer.err
    repo.edgit("adopt")
    assert repo.git("show", "refs/edgit/ledger:versions/x/v1.0.0") == "one"
    assert repo.git("show", "refs/edgit/ledger:versions/x/v1.0.1") == "one"
    repo.edgit("tag", "restore", "x", "v1.0.0")
    repo.deploy("x", "v1.0.0", to="staging")


def test_a_version_whose_tag_was_moved_is_told_and_not_deployed(repo: Repo) -> None:
    repo.write("components/prompts/x.md", "something else")
    annotate(repo, "components/x/v1.0.0", "HEAD", "Release, again")
    answer = repo.deploy("x", "v1.0.0", code=3)
    assert "was moved to another file" in answer.err
    assert repo.live("x") == "v1.1.0"


def test_nothing_to_begin_from(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.git("tag", "v1.0.0")
    repo.edgit("adopt")
    assert "refs/edgit/ledger" not in repo.refs()


# The law


@dataclass(frozen=True)
class Planted:
    """A tag that another tool has set: where, under which form of name, on which commit, in which way, how much later
    than the one before, and whether it is deleted in the end."""

    component: str
    slot: str
    form: int
    commit: int
    way: str
    later: int


FORMS = ("components/{}/", "prompts/{}/", "components/prompts/{}/")
tags = st.builds(
    Planted,
    st.sampled_from(["x", "y"]),
    st.sampled_from(["v1.0.0", "v1.0.1", "v2.0.0-rc.1", "prod", "eu"]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["plain", "commit", "named", "nested"]),
    st.integers(0, 90),
)


def plant(repo: Repo, commits: list[str], planted: Planted) -> None:
    name = FORMS[planted.form].format(planted.component) + planted.slot
    commit = commits[planted.commit]
    repo.now += planted.later
    if planted.way == "plain":
        repo.git("tag", "-f", name, commit)
        return
    target, message = commit, "set"
    versions = list(repo.refs(f"refs/tags/{FORMS[planted.form].format(planted.component)}v*"))
    if planted.way == "nested" and not planted.slot.startswith("v") and versions:
        target = versions[planted.commit % len(versions)]
    if planted.way == "named":
        message = f"Deploy {planted.component}@v1.0.{planted.commit} to {planted.slot}"
    annotate(repo, name, target, message)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(tags, min_size=1, max_size=9), st.sets(st.integers(0, 8), max_size=2))
def test_adopting_changes_no_answer(planted: list[Planted], deleted: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repo = make(Path(folder) / "work")
        repo.write("prompts/y.md", "y")
        commits = [repo.write("prompts/x.md", f"text {number}") for number in range(3)]
        for tag in planted:
            plant(repo, commits, tag)
        for place in deleted & set(range(len(planted))):
            tag = planted[place]
            repo.run("tag", "-d", FORMS[tag.form].format(tag.component) + tag.slot)
        repo.now += 100
        with repo.here():
            before = repo.read()
            state, entries = before.state, read_past(before)
            unclear, doubts = unclear_tags(before), read_problems(before)
            moments = [at for entry in entries for _, at, _ in entry.moves]
            then = {at: read_past_pointers(before, at) for at in moments}
        assert repo.edgit("adopt", code=None).code == 0
        with repo.here():
            after = repo.read()
            assert after.state == state
            assert unclear_tags(after) == unclear
            assert read_problems(after) == doubts
            assert {at: read_past_pointers(after, at) for at in moments} == then
            assert {at: fold(read_past(after), until=at) for at in moments} == then
            assert fold(read_past(after)) == {name: found for name, found in state.pointers.items() if found}
            # Whatever is live can be read.
            live = [(name, v) for name, found in state.pointers.items() for v in found.values()]
            assert all(version in state.versions[name] for name, version in live)
            assert after.drift.stale_tags == ()
            assert all(found.meaning.version is None for found in after.drift.unrecorded_moves)
        assert [m for e in read_past(after) for m in e.changes] == [m for e in entries for m in e.changes]
