"""The ledger as values, and as plain git reads it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgit.git.tags import clean_person
from edgit.ledger.entries import Created, LedgerChange, LedgerEntry, Moved, Withdrawn
from edgit.ledger.history import fold, last_good
from edgit.ledger.message import read_message, write_message
from edgit.repository.reading import read_past
from tests.edgit.repo import BEGIN, Repo, copied, make

# Messages

names = st.sampled_from(["my-prompt", "mail/header", "größe", "a.b", "none", "日本/x_1"])
environments = st.sampled_from(["prod", "prod-eu", "debug", "none", "by"])
versions = st.sampled_from(["v1.0.0", "v1.2.3-rc.1", "v10.0.0+build.5", "v0.0.1-none"])
ids = st.text("0123456789abcdef", min_size=40, max_size=40)
#: What people are called, and files: anything that fits into git, bytes that are no UTF-8 among it.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=[])).filter(
    lambda text: not any("\ud800" <= character < "\udc80" or "\udcff" < character < "\ue000" for character in text)
)
moments = st.none() | st.integers(0, 4 * 10**9).map(lambda at: datetime.fromtimestamp(at, UTC))
moves = st.builds(
    Moved,
    names,
    environments,
    st.none() | versions,
    st.none() | versions,
    st.none() | ids,
    st.none() | ids,
    st.none() | ids,
    moments,
    st.none() | texts,
)
created = st.builds(
    Created, names, versions, ids, ids, st.none() | st.just("prompt"), st.none() | texts.filter(bool), moments,
    st.none() | texts,
)  # fmt: skip
withdrawn = st.builds(Withdrawn, names, versions, st.booleans(), moments, st.none() | texts)
changes = st.lists(moves | created | withdrawn, max_size=4).map(tuple)
reasons = st.none() | st.lists(
    st.sampled_from(
        [
            "incident 42",
            "",
            " ",
            "Generation: 99",
            "Move: components/a/prod none -> v1.0.0; tag none -> none",
            "\r",
            "é",
        ]
    )
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
).map("\n".join)


@given(changes, st.integers(1, 10**9), reasons)
def test_a_message_says_what_was_written(
    changes: tuple[LedgerChange, ...], generation: int, reason: str | None
) -> None:
    message = write_message("deploy: something", changes, generation, reason)
    kept = (reason or "").strip() or None
    assert read_message(message) == ("deploy: something", kept, changes, generation)


@given(changes, reasons)
def test_each_change_is_one_line_behind_everything_that_is_free_text(
    changes: tuple[LedgerChange, ...], reason: str | None
) -> None:
    trailer = write_message("s", changes, 7, reason).rpartition("\n\n")[2]
    assert trailer.count("\n") == len(changes) + 1
    assert trailer.endswith("Generation: 7\n")


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Fix a bug",
        "Fix a bug\n\nGeneration: many\n",
        "s\n\nMove: components/a/prod none\nGeneration: 3\n",
        "s\n\nMove: components/a/prod none -> v1.0.0\nGeneration: 3\n",
        "s\n\nVersion: components/a/v1.0.0; tag 1; commit 2; at yesterday\nGeneration: 3\n",
        "s\n\nSigned-off-by: Ada\nGeneration: 3\n",
    ],
)
def test_what_is_no_entry_is_told_as_such(message: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_message(message)


@given(texts)
def test_a_person_stays_one_line_that_git_can_read(text: str) -> None:
    cleaned = clean_person(text)
    assert re.fullmatch(r"[^<>\n\0]+ <[^<>\n\0]*>", cleaned)
    assert clean_person(cleaned) == cleaned


# Values

AT = datetime(2024, 11, 1, tzinfo=UTC)


def entry(generation: int, *changes: LedgerChange, at: int = 0) -> LedgerEntry:
    return LedgerEntry(
        f"{generation:040}", None, generation, datetime.fromtimestamp(at, UTC), "Ada <a@b>", "s", changes
    )


def test_the_state_at_an_instant_counts_moves_by_when_they_were_made() -> None:
    first = entry(1, Moved("a", "prod", None, "v1.0.0", at=datetime.fromtimestamp(5, UTC)), at=100)
    second = entry(2, Moved("a", "prod", "v1.0.0", "v2.0.0"), Moved("b", "prod", None, "v1.0.0"), at=200)
    third = entry(3, Moved("a", "prod", "v2.0.0", None), at=200)
    entries = [first, second, third]
    assert fold(entries, datetime.fromtimestamp(4, UTC)) == {}
    assert fold(entries, datetime.fromtimestamp(5, UTC)) == {"a": {"prod": "v1.0.0"}}
    assert fold(entries) == fold(entries, datetime.fromtimestamp(200, UTC)) == {"b": {"prod": "v1.0.0"}}


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ([], None),
        (["v1"], None),
        (["v1", "v2"], "v1"),
        (["v1", "v2", "v3", "v2"], "v1"),  # v3 was rolled back from: the next step is not back to it
        (["v1", "v2", "v1"], None),
        (["v1", "v2", "v1", "v3"], "v1"),
        (["v1", "v2", None], None),  # what was taken out has ended
        (["v1", None, "v2"], None),
        (["v1", None, "v2", "v3"], "v2"),
    ],
)
def test_the_last_good_version_was_not_itself_rolled_back_from(path: list[str | None], good: str | None) -> None:
    assert last_good(path) == good


# Plain git


def two_versions(folder: Path) -> Repo:
    made = make(folder / "work")
    made.version("my-prompt", "v1.0.0")
    made.version("my-prompt", "v1.1.0")
    return made


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(two_versions, tmp_path)


def test_a_move_is_one_commit_and_the_tag(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    before = repo.refs()
    repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", "--reason", "shorter answers")
    after = repo.refs()
    tag, ledger = "refs/tags/components/my-prompt/prod", "refs/edgit/ledger"
    assert {ref for ref in after if before.get(ref) != after[ref]} == {tag, ledger}
    assert repo.git("rev-list", "--count", f"{before[ledger]}..{after[ledger]}") == "1"

    message = repo.git("log", "-1", "--format=%B", ledger)
    version = after["refs/tags/components/my-prompt/v1.1.0"]
    assert message.split("\n\n") == [
        "deploy: components/my-prompt/prod v1.0.0 -> v1.1.0",
        "shorter answers",
        f"Move: components/my-prompt/prod v1.0.0 -> v1.1.0; tag {before[tag]} -> {after[tag]}; version {version}\n"
        "Generation: 4",
    ]
    assert repo.git("log", "-1", "--format=%an <%ae> %at", ledger) == f"Ada <ada@example.com> {repo.now}"
    assert repo.git("show", f"{ledger}:components/my-prompt/prod") == "v1.1.0"
    assert repo.git("show", f"{ledger}:versions/my-prompt/v1.1.0") == "my-prompt v1.1.0"
    assert repo.git("rev-parse", f"{tag}^{{}}") == repo.git("rev-parse", "components/my-prompt/v1.1.0^{commit}")
    assert repo.tagged("my-prompt") == "v1.1.0"


def test_plain_git_reads_the_moves(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.1.0")
    repo.version("my-prompts", "v1.0.0")
    said = repo.git("log", "--all", "--format=%s", "--", "components/my-prompt/prod").splitlines()
    assert said == [
        "deploy: components/my-prompt/prod v1.0.0 -> v1.1.0",
        "deploy: components/my-prompt/prod none -> v1.0.0",
    ]
    grepped = repo.git("log", "--all", "--format=%s", "--grep=components/my-prompt/").splitlines()
    assert grepped == [*said, "version: components/my-prompt/v1.1.0", "version: components/my-prompt/v1.0.0"]
    assert repo.git("log", "--all", "--format=%s", "--grep=components/my-prompt").splitlines()[1:] == grepped


def test_dates_never_go_back_even_where_the_clock_does(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    repo.now = BEGIN - 30 * 86400
    repo.deploy("my-prompt", "v1.1.0")
    repo.now = BEGIN + 86400
    repo.deploy("my-prompt", "v1.0.0")
    dates = [int(line) for line in repo.git("log", "--format=%ct", "refs/edgit/ledger").splitlines()]
    assert dates == sorted(dates, reverse=True)
    assert dates[1] == dates[2]
    assert repo.edgit("history", "my-prompt", "--date", "2024-11-01T12:00:00Z", "--from", "prod").out == "v1.1.0\n"


REASON = (
    "line\r\n\r\nGeneration: 99\n\nMove: components/my-prompt/prod none -> v9.9.9\n\n  two  spaces\n\nGeneration: 98"
)


def test_a_reason_that_looks_like_the_ledgers_own_words_is_a_reason(repo: Repo) -> None:
    repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--to", "prod", "--reason", REASON)
    repo.deploy("my-prompt", "v1.1.0")
    with repo.here():
        entries = read_past(repo.read())
    assert [entry.generation for entry in entries] == [1, 2, 3, 4]
    assert entries[2].reason == REASON
    assert repo.live("my-prompt") == "v1.1.0"


def test_a_reason_of_bytes_that_are_no_text_is_kept(repo: Repo) -> None:
    repo.edgit("deploy", "set", "my-prompt", "v1.0.0", "--to", "prod", "--reason", "caf\udce9 is down")
    assert "caf\ufffd is down" in repo.edgit("history", "--all").out


def test_odd_names_of_files_and_people(tmp_path: Path) -> None:
    repo = make(tmp_path / "work", name="Ada; at noon")
    path = "prompts/a b; tag x/grüß; %3B.md"
    repo.write(".edgit/components.json", f'{{"components": {{"greeting": {{"path": "{path}", "type": "prompt"}}}}}}')
    repo.write(path, "hello")
    repo.edgit("tag", "create", "greeting", "v1.0.0")
    repo.deploy("greeting", "v1.0.0")
    with repo.here():
        entries = read_past(repo.read())
    (made,) = entries[0].changes
    assert isinstance(made, Created)
    assert made.path == path
    assert entries[1].actor == "Ada; at noon <ada; at noon@example.com>"


def test_a_ledger_that_another_commit_was_put_on_is_told_with_the_way_back(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    ledger = repo.refs()["refs/edgit/ledger"]
    stray = repo.git("commit-tree", f"{ledger}^{{tree}}", "-p", ledger, "-m", "By hand")
    repo.git("update-ref", "refs/edgit/ledger", stray)
    before = repo.refs()
    answer = repo.deploy("my-prompt", "v1.1.0", code=1)
    assert f"refs/edgit/ledger is damaged at {stray[:10]}" in answer.err
    assert f"git update-ref refs/edgit/ledger {stray[:10]}^" in answer.err
    assert repo.refs() == before
    repo.git("update-ref", "refs/edgit/ledger", f"{stray[:10]}^")
    repo.deploy("my-prompt", "v1.1.0")


@pytest.mark.parametrize("kind", ["commit", "tree", "blob"])
def test_objects_of_the_ledger_that_are_missing_are_told(repo: Repo, kind: str) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    names = {"commit": "", "tree": "^{tree}", "blob": ":components/my-prompt/prod"}
    id = repo.git("rev-parse", "refs/edgit/ledger" + names[kind])
    file = repo.root / ".git/objects" / id[:2] / id[2:]
    file.chmod(0o600)
    file.unlink()
    answer = repo.deploy("my-prompt", "v1.1.0", code=1)
    assert "refs/edgit/ledger is damaged" in answer.err
    assert "Traceback" not in answer.err


def test_a_ledger_ref_that_holds_nothing_is_not_taken_for_none(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    ref = repo.root / ".git/refs/edgit/ledger"
    ref.write_text("")
    answer = repo.deploy("my-prompt", "v1.1.0", code=1)
    assert "refs/edgit/ledger is damaged" in answer.err
    assert str(ref) in answer.err
    assert ref.read_text() == ""


def test_a_ledger_ref_at_something_that_is_no_commit(repo: Repo) -> None:
    repo.deploy("my-prompt", "v1.0.0")
    blob = repo.git("rev-parse", "refs/edgit/ledger:components/my-prompt/prod")
    repo.git("update-ref", "refs/edgit/ledger", blob)
    assert "refs/edgit/ledger is damaged" in repo.deploy("my-prompt", "v1.1.0", code=1).err
