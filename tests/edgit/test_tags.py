"""What tags mean: their names, their objects, and both in a real repository of each era."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgit.components.meaning import TagMeaning, read_meaning, told_version
from edgit.components.tags import PREFIX, Tag, TagName, read_name, read_tags, tag_ref, unread
from edgit.git.objects import Object
from edgit.git.tags import read_person, read_tag_object
from edgit.repository.catalog import read_types, versions_of
from edgit.repository.problems import read_problems, unclear_tags
from resolver.directories import TYPES
from resolver.reference import is_environment, is_name
from resolver.version import is_version
from tests.edgit.repo import Repo, make

COMMIT, OTHER = "c" * 40, "d" * 40


# Names


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        ("components/my-prompt/v1.0.0", TagName("my-prompt", "v1.0.0", None, 0)),
        ("components/my-prompt/1.0.0", TagName("my-prompt", "v1.0.0", None, 0)),
        ("components/my-prompt/prod", TagName("my-prompt", "prod", None, 0)),
        ("components/mail/header/prod-us-west", TagName("mail/header", "prod-us-west", None, 0)),
        ("components/prompts/my-prompt/v1.0.0-rc.1+b.2", TagName("my-prompt", "v1.0.0-rc.1+b.2", "prompt", 1)),
        ("logic/agents/scorer/prod", TagName("scorer", "prod", "agent", 1)),
        ("agents/scorer/prod", TagName("scorer", "prod", "agent", 2)),
        ("queries/report/v0.1.0", TagName("report", "v0.1.0", "query", 2)),
        ("components/prompts/v1.0.0", TagName("prompts", "v1.0.0", None, 0)),
        ("components/tools/search/v1.0.0", TagName("tools/search", "v1.0.0", None, 0)),
        ("components/Präfix/v1.0.0", TagName("Präfix", "v1.0.0", None, 0)),
        ("components/My-Prompt/prod", TagName("My-Prompt", "prod", None, 0)),
    ],
)
def test_a_tags_name_in_every_form(name: str, slot: TagName) -> None:
    assert read_name(PREFIX + name) == slot


@pytest.mark.parametrize(
    "name",
    [
        "v1.0.0",
        "release/v1.0.0",
        "components/v1.0.0",
        "components",
        "logic/x/v1.0.0",
        "agents/v1.0.0",
        "tools/search/v1.0.0",
        "components/x y/prod",
        "components//prod",
        # A component `prompts/x` could not be told from `x`.
        "components/prompts/prompts/x/v1.0.0",
        "prompts/agents/x/v1.0.0",
    ],
)
def test_other_tags_are_no_components(name: str) -> None:
    assert read_name(PREFIX + name) is None
    assert list(unread([PREFIX + name])) == []


def test_only_tags_are_read() -> None:
    assert read_name("refs/heads/components/x/prod") is None


@pytest.mark.parametrize(
    ("slot", "why"),
    [
        ("latest", "it always means the newest version"),
        ("stable", "without a pre-release"),
        ("v2", "not a version such as v1.2.3"),
        ("v01.0.0", "not a version such as v1.2.3"),
        ("2024", "begins with a letter"),
        ("prod.eu", "cannot name an environment"),
        ("prød", "cannot name an environment"),
    ],
)
def test_a_slot_that_cannot_be_read_is_told(slot: str, why: str) -> None:
    ref = f"{PREFIX}prompts/x/{slot}"
    assert read_name(ref) is None
    ((name, said),) = unread([ref, f"{PREFIX}prompts/x/prod", f"{PREFIX}v1"])
    assert name == f"prompts/x/{slot}"
    assert why in said


names = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,6}(/[a-z0-9][a-z0-9.-]{0,4})?", fullmatch=True).filter(
    lambda name: name.partition("/")[0] not in TYPES and is_name(name)
)
slots = st.one_of(
    st.sampled_from(["v1.0.0", "v0.0.1-rc.1", "v10.2.3+b"]),
    st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True).filter(is_environment),
)


@given(names, slots, st.sampled_from(["", *TYPES]), st.booleans())
def test_what_is_written_is_read_back(name: str, slot: str, folder: str, old: bool) -> None:
    ref = tag_ref(name, slot)
    if folder:
        ref = f"{PREFIX}{'' if old else 'components/'}{folder}/{name}/{slot}"
    found = read_name(ref)
    assert found is not None
    assert (found.component, found.slot, found.type) == (name, slot, TYPES.get(folder))


@given(st.text(max_size=40))
def test_any_name_is_read_or_is_not(text: str) -> None:
    found = read_name(PREFIX + text)
    if found:
        assert is_name(found.component)
        assert is_version(found.slot) or is_environment(found.slot)
        assert list(unread([PREFIX + text])) == []


def test_of_several_tags_of_a_version_this_tools_own_counts_spelled_with_its_v() -> None:
    refs = {
        f"{PREFIX}{name}": str(number)
        for number, name in enumerate(
            ["components/prompts/x/v1.0.0", "components/x/1.0.0", "components/x/v1.0.0", "prompts/x/v1.0.0"]
        )
    }
    found = read_tags(refs)
    assert found.versions["x"]["v1.0.0"].name == "components/x/v1.0.0"
    assert [tag.name for tag in found.duplicates["x", "v1.0.0"]] == [
        "components/x/1.0.0",
        "components/prompts/x/v1.0.0",
        "prompts/x/v1.0.0",
    ]


# Objects and messages


@pytest.mark.parametrize(
    ("message", "version"),
    [
        ("Deploy my-prompt@v1.0.0 to prod", "v1.0.0"),
        ("Deploy my-prompt@1.0.0 to prod", "v1.0.0"),
        ("Deploy a/b@v1.0.0-rc.1+x to prod\n\nbecause of v2.0.0", "v1.0.0-rc.1+x"),
        ("Rollback my-prompt in prod to v1.0.0", "v1.0.0"),
        ("Déploie my-prompt@v1.0.0 en prod", "v1.0.0"),
        ("Deploy my-prompt@v1.0.0 to prod\r", "v1.0.0"),
        ("Set my-prompt to prod", None),
        ("Promote my-prompt from prod to eu", None),
        ("Deploy my-prompt@v01.0.0 to prod", None),
        ("", None),
        ("write to ada@example.com", None),
        ("Set my-prompt to prod\n\nDeploy my-prompt@v1.0.0 to prod", None),
    ],
)
def test_the_version_that_a_message_names(message: str, version: str | None) -> None:
    assert told_version(message) == version


@pytest.mark.parametrize(
    ("line", "who", "at"),
    [
        ("Ada <ada@example.com> 1731422700 +0100", "Ada <ada@example.com>", 1731422700),
        ("Ada > Bo <<ada@example.com> 5 -0030", "Ada > Bo <<ada@example.com>", 5),
        (" <> 5 +0000", " <>", 5),
        ("Ada <ada@example.com> -100 +0000", "Ada <ada@example.com>", 0),
        ("Ada <ada@example.com>", None, None),
        ("", None, None),
    ],
)
def test_a_person(line: str, who: str | None, at: int | None) -> None:
    assert read_person(line) == (who, at)


def test_a_tag_object_with_what_git_may_put_into_it() -> None:
    head = f"object {COMMIT}\ntype commit\ntag components/x/prod\n\n"
    found = read_tag_object(f"{head}Deploy x@v1.0.0 to prod\n-----BEGIN PGP SIGNATURE-----\n\nabc\n".encode())
    assert (found.target, found.tagger, found.at) == (COMMIT, None, None)
    assert told_version(found.message) == "v1.0.0"
    assert read_tag_object(b"").target == ""
    assert read_tag_object(b"\xff\xfe\n\n\xff").message == "\ufffd"


# Meanings


def tag_object(target: str, name: str, message: str = "", kind: str = "commit", at: int | None = 100) -> Object:
    tagger = f"tagger Ada <ada@example.com> {at} +0000\n" if at is not None else ""
    return Object("tag", f"object {target}\ntype {kind}\ntag {name}\n{tagger}\n{message}\n".encode())


COMMITS = {
    COMMIT: Object("commit", b"tree 0\nauthor A <a> 1 +0000\ncommitter Bo <bo@example.com> 50 +0000\n\nc\n"),
    OTHER: Object("commit", b"tree 0\nauthor A <a> 1 +0000\ncommitter Bo <bo@example.com> 60 +0000\n\nd\n"),
}
VERSIONS = {
    "v1.0.0": Tag(f"{PREFIX}components/x/v1.0.0", "1" * 40),
    "v1.0.1": Tag(f"{PREFIX}components/x/v1.0.1", "2" * 40),
    "v2.0.0": Tag(f"{PREFIX}components/x/v2.0.0", "3" * 40),
}
ENDS = {"1" * 40: COMMIT, "2" * 40: COMMIT, "3" * 40: OTHER}


def means(objects: dict[str, Object], tag: str = "a", versions: dict[str, Tag] = VERSIONS) -> TagMeaning:
    id = tag * 40 if len(tag) == 1 else tag
    return read_meaning("x", Tag(f"{PREFIX}components/x/prod", id), versions, ENDS, {**COMMITS, **objects})


def test_a_tag_that_points_at_a_versions_tag() -> None:
    found = means({"a" * 40: tag_object("2" * 40, "components/x/prod", "Set x to prod", "tag")})
    assert found == TagMeaning("v1.0.1", "2" * 40, "Ada <ada@example.com>", 100, True)


def test_where_the_tag_points_counts_more_than_what_its_message_says() -> None:
    found = means({"a" * 40: tag_object("2" * 40, "components/x/prod", "Deploy x@v1.0.0 to prod", "tag")})
    assert found.version == "v1.0.1"


def test_a_tag_of_a_tag_of_a_tag() -> None:
    found = means(
        {
            "a" * 40: tag_object("b" * 40, "components/x/prod", kind="tag", at=300),
            "b" * 40: tag_object("e" * 40, "components/x/staging", kind="tag", at=200),
            "e" * 40: tag_object("1" * 40, "components/x/debug", kind="tag"),
        }
    )
    assert (found.version, found.at) == ("v1.0.0", 300)


def test_a_message_decides_between_two_versions_on_one_commit() -> None:
    found = means({"a" * 40: tag_object(COMMIT, "components/x/prod", "Rollback x in prod to v1.0.1")})
    assert (found.version, found.version_tag) == ("v1.0.1", "2" * 40)


def test_a_message_that_names_a_version_somewhere_else_is_not_believed() -> None:
    found = means({"a" * 40: tag_object(OTHER, "components/x/prod", "Deploy x@v1.0.0 to prod")})
    assert found.version == "v2.0.0"


def test_two_versions_on_one_commit_and_no_word_mean_nothing_and_name_both() -> None:
    for id, objects in (("a", {"a" * 40: tag_object(COMMIT, "components/x/prod", "Set x to prod")}), (COMMIT, {})):
        found = means(objects, id)
        assert found.version is None
        assert found.problem == f"v1.0.0, v1.0.1 are all at {COMMIT[:10]} and it names none of them"


def test_a_lightweight_tag_has_its_commits_date_only() -> None:
    assert means({}, OTHER) == TagMeaning("v2.0.0", "3" * 40, "Bo <bo@example.com>", 60, False)


def test_a_lightweight_tag_at_a_versions_tag_object() -> None:
    objects = {"1" * 40: tag_object(COMMIT, "components/x/v1.0.0", "Release x v1.0.0", at=70)}
    assert means(objects, "1") == TagMeaning("v1.0.0", "1" * 40, "Ada <ada@example.com>", 70, False)


def test_a_version_whose_tag_was_deleted_is_still_what_the_tag_says() -> None:
    left = {"v1.0.1": VERSIONS["v1.0.1"]}
    nested = {
        "a" * 40: tag_object("1" * 40, "components/x/prod", kind="tag"),
        "1" * 40: tag_object(COMMIT, "components/prompts/x/v1.0.0"),
    }
    assert means(nested, versions=left).version == "v1.0.0"
    named = {"a" * 40: tag_object(COMMIT, "components/x/prod", "Deploy x@v1.0.0 to prod")}
    found = means(named, versions=left)
    assert (found.version, found.version_tag) == ("v1.0.0", COMMIT)


@pytest.mark.parametrize("message", ["Deploy y@v9.0.0 to prod", "use lib@v9.0.0 in prod", "back to v9.0.0"])
def test_a_version_that_never_was_is_not_made_up_from_a_message(message: str) -> None:
    assert means({"a" * 40: tag_object(OTHER, "components/x/prod", message)}).version == "v2.0.0"
    assert means({"a" * 40: tag_object(OTHER, "components/x/prod", message)}, versions={}).version is None


def test_a_tag_at_a_version_of_another_component_means_the_commit() -> None:
    objects = {
        "a" * 40: tag_object("f" * 40, "components/x/prod", kind="tag"),
        "f" * 40: tag_object(OTHER, "components/y/v1.0.0"),
    }
    assert means(objects).version == "v2.0.0"


@pytest.mark.parametrize(
    ("objects", "problem"),
    [
        ({}, "is missing here"),
        ({"a" * 40: Object("blob", b"x")}, "points at a blob"),
        ({"a" * 40: Object("tree", b"")}, "points at a tree"),
        ({"a" * 40: tag_object("b" * 40, "components/x/prod")}, "bbbbbbbbbb is missing here"),
        ({"a" * 40: tag_object("b" * 40, "n", kind="blob"), "b" * 40: Object("blob", b"")}, "points at a blob"),
    ],
)
def test_a_tag_that_leads_nowhere_says_why(objects: dict[str, Object], problem: str) -> None:
    found = means(objects)
    assert found.version is None
    assert found.problem is not None
    assert problem in found.problem


# Whole repositories


def annotate(repo: Repo, name: str, target: str, message: str) -> None:
    repo.now += 60
    repo.git("tag", "-f", "-a", name, target, "-m", message)


def plant(repo: Repo, era: str) -> None:
    """v1.0.0 and v1.0.1 on one commit, v1.1.0 on the next; prod at v1.0.1 and staging at v1.1.0."""
    form = {"0.4.0": "components/x/", "0.4.1": "prompts/x/", "0.5.0": "components/prompts/x/"}.get(era, "components/x/")
    one = repo.write("prompts/x.md", "one")
    for version in ("v1.0.0", "v1.0.1"):
        annotate(repo, form + version, one, f"Release x {version}")
    two = repo.write("prompts/x.md", "two")
    annotate(repo, form + "v1.1.0", two, "Release x v1.1.0")
    if era == "0.5.0":
        annotate(repo, form + "prod", form + "v1.0.1", "Set x to prod")
        annotate(repo, form + "staging", form + "v1.1.0", "Set x to staging")
    elif era == "own":
        repo.edgit("deploy", "set", "x", "v1.0.1", "--to", "prod")
        repo.edgit("deploy", "set", "x", "v1.1.0", "--to", "staging")
    else:
        annotate(repo, form + "prod", one, "Rollback x in prod to v1.0.1")
        annotate(repo, form + "staging", two, "Deploy x@v1.1.0 to staging")


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("era", ["0.4.0", "0.4.1", "0.5.0", "own"])
def test_each_era_alone(era: str, packed: bool, tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    plant(repo, era)
    if packed:
        repo.git("pack-refs", "--all")
    with repo.here():
        world = repo.read()
        assert versions_of(world, "x") == ["v1.1.0", "v1.0.1", "v1.0.0"]
        assert world.environments("x") == {"prod": "v1.0.1", "staging": "v1.1.0"}
        assert read_types(world, ["x"])["x"] == "prompt"
        assert read_problems(world) == []
        assert unclear_tags(world) == []
    assert repo.live("x") == "v1.0.1"


def test_a_move_goes_on_under_the_name_that_the_other_tool_reads(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    plant(repo, "0.4.1")
    repo.deploy("x", "v1.0.0")
    assert "refs/tags/components/x/prod" not in repo.refs()
    assert repo.git("cat-file", "-p", "refs/tags/prompts/x/prod").startswith(
        f"object {repo.refs()['refs/tags/prompts/x/v1.0.0']}\ntype tag\ntag prompts/x/prod\n"
    )


def test_all_eras_in_one_repository(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.write("prompts/x.md", "one")
    for number, form in enumerate(["components/x/", "prompts/x/", "components/prompts/x/"]):
        commit = repo.write("prompts/x.md", f"text {number}")
        annotate(repo, f"{form}v1.{number}.0", commit, "Release")
        target = commit if number < 2 else f"{form}v1.{number}.0"
        annotate(repo, f"{form}prod", target, f"Deploy x@v1.{number}.0 to prod" if number < 2 else "Set x to prod")
    with repo.here():
        world = repo.read()
        assert versions_of(world, "x") == ["v1.2.0", "v1.1.0", "v1.0.0"]
        # The one that was set last.
        assert world.environments("x") == {"prod": "v1.2.0"}
        assert [text for text in read_problems(world) if "components/x/prod says v1.0.0" in text]
        assert [text for text in read_problems(world) if "prompts/x/prod says v1.1.0" in text]
    history = repo.edgit("history", "x").out
    assert [line.split()[1] for line in history.splitlines()] == ["v1.2.0", "v1.1.0", "v1.0.0"]
    # The older tool goes on under its own name: that is a move, and not hidden by the other names.
    annotate(repo, "prompts/x/prod", "prompts/x/v1.1.0", "Rollback x in prod to v1.1.0")
    assert repo.live("x") == "v1.1.0"
    repo.edgit("adopt")
    assert repo.live("x") == "v1.1.0"
    annotate(repo, "components/prompts/x/prod", "components/prompts/x/v1.2.0", "Set x to prod")
    answer = repo.edgit("deploy", "get", "x", "--from", "prod")
    assert "moved by another tool to v1.2.0" in answer.err
    assert answer.out == "v1.1.0\n"


def test_a_version_spelled_without_its_v_hides_none(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    one = repo.write("prompts/x.md", "one")
    annotate(repo, "components/x/v1.0.0", one, "Release")
    annotate(repo, "components/x/v1.0.1", one, "Release")
    two = repo.write("prompts/x.md", "two")
    annotate(repo, "components/x/1.0.0", two, "Release")
    annotate(repo, "components/x/prod", one, "Deploy x@v1.0.0 to prod")
    assert repo.live("x") == "v1.0.0"
    with repo.here():
        (doubt,) = read_problems(repo.read())
    assert doubt == "the tags components/x/1.0.0 and components/x/v1.0.0 are two different files; the latter counts"


def test_names_that_git_allows_and_python_splits(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    plant(repo, "0.4.0")
    for odd in (
        "components/x/a\u2028b",
        "odd\u0085name",
        "components/x/\u00e9",
        "components/y z/prod".replace(" ", "\u3000"),
    ):
        repo.git("tag", odd)
    (repo.root / ".git" / "packed-refs").touch()
    assert repo.live("x") == "v1.0.1"


def test_dates_before_1970_and_in_the_far_future(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    commit = repo.write("prompts/x.md", "one")
    for version in ("v1.0.0", "v2.0.0"):
        annotate(repo, f"components/x/{version}", commit, "Release")
    for environment, at in (("old", "-86400"), ("prod", "99999999999999")):
        body = (
            f"object {repo.refs()['refs/tags/components/x/v1.0.0']}\ntype tag\ntag components/x/{environment}\n"
            f"tagger Ada <ada@example.com> {at} +0000\n\nDeploy\n"
        )
        id = repo.git("hash-object", "-t", "tag", "-w", "--literally", "--stdin", input=body)
        repo.git("update-ref", f"refs/tags/components/x/{environment}", id)
    before = repo.edgit("components", "list", "--format", "json").out
    past = repo.edgit("history", "x", "--from", "old").out
    assert past == "old: v1.0.0 (deployed 1970-01-01T00:00:00Z by Ada)  current\n"
    # A tag of the far future counts as of the moment of reading, which on a busy machine is a second after this one.
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    now = repo.edgit("history", "--date", soon).out
    assert now == "x: v1.0.0\n"
    repo.edgit("adopt")
    assert repo.edgit("components", "list", "--format", "json").out == before
    assert repo.edgit("history", "x", "--from", "old").out == past
    assert repo.edgit("history", "--date", soon).out == now
