"""The world as a command finds it: what it knows, what it asks of git, and what the past was."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgit.errors import EdgitError
from edgit.ledger.entries import LedgerState, instant
from edgit.ledger.history import published_pointers
from edgit.ledger.reading import read_entries, read_last_entry
from edgit.repository.catalog import known, needed_version_tag, read_catalog
from edgit.repository.drift import Drift
from edgit.repository.problems import read_problems, unclear_tags
from edgit.repository.reading import read_past, read_past_pointers
from resolver.version import highest
from tests.edgit.repo import BEGIN, Repo, copied, make


def three_versions(folder: Path) -> Repo:
    repo = make(folder / "work")
    for version in ("v1.2.0", "v1.10.0", "v2.0.0-rc.1"):
        repo.version("my-prompt", version)
    repo.deploy("my-prompt", "v1.2.0")
    repo.deploy("my-prompt", "v1.10.0")
    return repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(three_versions, tmp_path)


def test_names_versions_and_environments(repo: Repo) -> None:
    repo.write("configs/fresh.json", "{}", commit=False)
    with repo.here():
        world = repo.read()
        catalog = read_catalog(world)
        assert catalog.names == {"my-prompt", "fresh"}
        assert catalog.versions["my-prompt"] == ["v2.0.0-rc.1", "v1.10.0", "v1.2.0"]
        assert catalog.versions["fresh"] == []
        assert world.environments("my-prompt") == {"prod": "v1.10.0"}
        assert tuple(map(catalog.types.get, ("my-prompt", "fresh", "nobody"))) == ("prompt", "config", None)
        assert published_pointers(world.state) == {
            "my-prompt": {"prod": "v1.10.0", "latest": "v2.0.0-rc.1", "stable": "v1.10.0"}
        }


def test_an_unknown_name_and_an_unknown_version_say_what_there_is(repo: Repo) -> None:
    with repo.here():
        world = repo.read()
        with pytest.raises(EdgitError, match=r"unknown component `my-promt`.*my-prompt"):
            known(world, "my-promt")
        with pytest.raises(EdgitError, match=r"my-prompt has no version v3.0.0; it has v2.0.0-rc.1, v1.10.0, v1.2.0"):
            needed_version_tag(world, "my-prompt", "v3.0.0")
        repo.git("tag", "-d", "components/my-prompt/v1.2.0")
        with pytest.raises(EdgitError, match="the ledger still has its file") as caught:
            needed_version_tag(repo.read(), "my-prompt", "v1.2.0")
    assert caught.value.hint == "next: edgit tag restore my-prompt v1.2.0"


def test_the_state_at_every_instant(repo: Repo) -> None:
    with repo.here():
        world = repo.read()
        entries = read_past(world)
        first, second = (at for entry in entries for _, at, _ in entry.moves)
        assert read_past_pointers(world, instant(BEGIN)) == {}
        assert read_past_pointers(world, instant(int(first.timestamp()) - 1)) == {}
        assert read_past_pointers(world, first) == {"my-prompt": {"prod": "v1.2.0"}}
        assert read_past_pointers(world, first.replace(microsecond=999999)) == {"my-prompt": {"prod": "v1.2.0"}}
        assert read_past_pointers(world, instant(int(second.timestamp()) - 1)) == {"my-prompt": {"prod": "v1.2.0"}}
        assert (
            read_past_pointers(world, second)
            == read_past_pointers(world, datetime.now(UTC))
            == {"my-prompt": {"prod": "v1.10.0"}}
        )
        assert world.tip is not None
        assert read_last_entry(world.git, world.tip) == entries[-1]
        assert read_entries(world.git, world.tip, after=entries[-2].id) == entries[-1:]


def test_a_commit_that_is_no_entry_is_told_with_a_way_back(repo: Repo) -> None:
    tip = repo.refs()["refs/edgit/ledger"]
    odd = repo.git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "by hand")
    repo.git("update-ref", "refs/edgit/ledger", odd)
    answer = repo.edgit("history", code=1)
    assert f"refs/edgit/ledger is damaged at {odd[:10]}" in answer.err
    assert "git update-ref refs/edgit/ledger" in answer.err
    repo.git("update-ref", "refs/edgit/ledger", f"{odd}^")
    assert repo.live("my-prompt") == "v1.10.0"


def grown(repo: Repo, components: int, versions: int) -> None:
    """Prompts with versions, each version on a commit of its own, prod at the first and eu at the last of them."""
    for version in range(versions):
        for number in range(components):
            repo.write(f"prompts/p{number}.md", f"{number} {version}", commit=False)
        repo.now += 60
        repo.git("add", "-A")
        repo.git("commit", "-qm", "more")
        for number in range(components):
            repo.git("tag", "-a", f"prompts/p{number}/v1.{version}.0", "-m", "Release")
    for number in range(components):
        repo.git("tag", "-a", f"prompts/p{number}/prod", "-m", "Set", f"prompts/p{number}/v1.0.0")
        repo.git("tag", "-a", f"prompts/p{number}/eu", "-m", f"Deploy p{number}@v1.{versions - 1}.0 to eu")


@pytest.mark.parametrize("moved", [False, True], ids=["in place", "moved since"])
@pytest.mark.parametrize("adopted", [False, True], ids=["no ledger", "ledger"])
def test_git_is_asked_as_often_for_many_as_for_few(
    adopted: bool, moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    real = subprocess.run
    for components, versions in ((1, 2), (4, 5)):
        repo = make(tmp_path / f"{components}")
        grown(repo, components, versions)
        if moved:
            (repo.root / "prompts").rename(repo.root / "notes")
            for number in range(components):
                (repo.root / f"notes/p{number}.md").rename(repo.root / f"notes/p{number}.txt")
            (repo.root / "components").mkdir()
            (repo.root / "notes").rename(repo.root / "components/prompts")
            repo.git("add", "-A")
            repo.git("commit", "-qm", "elsewhere")
        if adopted:
            repo.edgit("adopt")
        asked: list[Any] = []

        def counted(command: Any, *, asked: list[Any] = asked, **options: Any) -> Any:
            asked.append(command)
            return real(command, **options)

        monkeypatch.setattr(subprocess, "run", counted)
        with repo.here():
            world = repo.read()
            assert world.drift == Drift()
            assert len(read_past(world)) == 1
            assert read_past_pointers(world, datetime.now(UTC)) == world.state.pointers
            assert set(map(len, read_catalog(world).versions.values())) == {versions}
            assert read_problems(world) == []
            assert unclear_tags(world) == []
            assert len(world.state.versions) == components
        monkeypatch.setattr(subprocess, "run", real)
        counts.append(len(asked))
    assert counts[0] == counts[1]
    assert counts[0] < 40


versions = st.builds(
    "v{}.{}.0{}{}".format,
    st.integers(0, 11),
    st.integers(0, 11),
    st.sampled_from(["", "-rc.1", "-rc.10", "-alpha"]),
    st.sampled_from(["", "", "+b1", "+b2"]),
)


@given(st.dictionaries(st.sampled_from("abc"), st.sets(versions, max_size=8), max_size=3))
def test_latest_and_stable_are_the_highest_of_each_component(found: dict[str, set[str]]) -> None:
    state = LedgerState(
        {"a": {"prod": "v0.0.0"}}, {name: dict.fromkeys(sorted(has), "") for name, has in found.items()}
    )
    pointers = published_pointers(state)
    assert set(pointers) == {"a", *found}
    assert pointers["a"]["prod"] == "v0.0.0"
    # What the edge makes of a list of versions, however it is ordered.
    for name, has in found.items():
        for listed in (sorted(has), sorted(has, reverse=True)):
            assert pointers[name].get("latest") == highest(listed)
            assert pointers[name].get("stable") == highest(listed, stable=True)
