"""The ledger as the source of what is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgit.errors import Refused
from edgit.kv.source import read_ledger_source
from edgit.ledger.entries import instant
from edgit.ledger.reading import read_last_entry
from edgit.repository.reading import read_past
from resolver.documents import Move, Release
from tests.edgit.repo import BEGIN, Repo, copied, make


def older_and_newer(folder: Path) -> Repo:
    """`x` moved twice, then removed, and `y` adopted from another tool's tags, older than the ledger."""
    repo = make(folder / "work")
    old = repo.write("configs/y.json", "{}")
    repo.git("tag", "-a", "configs/y/v0.1.0", "-m", "Release", old)
    repo.git("tag", "-a", "configs/y/prod", "-m", "Set", "configs/y/v0.1.0")
    repo.version("x", "v1.0.0", "one")
    repo.version("x", "v1.1.0", "two")
    repo.deploy("x", "v1.0.0")
    repo.deploy("x", "v1.1.0")
    repo.edgit("deploy", "unset", "x", "--from", "prod")
    return repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(older_and_newer, tmp_path)


def test_everything_that_should_be_in_kv(repo: Repo) -> None:
    with repo.here():
        world = repo.read()
        source = read_ledger_source(world.git, world.tip)
        found = source.publication()
        assert world.tip is not None
        assert (source.generation, source.revision) == (read_last_entry(world.git, world.tip).generation, world.tip)
        assert (found.generation, found.revision) == (source.generation, source.revision)
        assert found.pointers == {
            "x": {"latest": "v1.1.0", "stable": "v1.1.0"},
            "y": {"prod": "v0.1.0", "latest": "v0.1.0", "stable": "v0.1.0"},
        }
        assert [(move.environment, move.version, move.actor) for move in found.moves["x"]] == [
            ("prod", "v1.0.0", "Ada <ada@example.com>"),
            ("prod", "v1.1.0", "Ada <ada@example.com>"),
            ("prod", None, "Ada <ada@example.com>"),
        ]
        assert found.moves["y"] == (Move(instant(BEGIN + 60), "prod", "v0.1.0", "Ada <ada@example.com>", 1),)
        assert found.releases["y"] == (Release("v0.1.0", instant(BEGIN + 60)),)
        assert [release.version for release in found.releases["x"]] == ["v1.0.0", "v1.1.0"]
        contents = found.contents
        assert {key: (content.type, content.commit) for key, content in contents.items()} == {
            ("x", "v1.0.0"): ("prompt", repo.git("rev-parse", "prompts/x/v1.0.0^{commit}")),
            ("x", "v1.1.0"): ("prompt", repo.git("rev-parse", "prompts/x/v1.1.0^{commit}")),
            ("y", "v0.1.0"): ("config", repo.git("rev-parse", "configs/y/v0.1.0^{commit}")),
        }
        blobs = [content.blob for content in contents.values()]
        assert sorted(source.read(blobs).values()) == [b"one", b"two", b"{}"]
        assert source.read([]) == {}


def test_the_map_as_of_any_commit_of_the_ledger_and_of_no_other(repo: Repo) -> None:
    with repo.here():
        world = repo.read()
        source = read_ledger_source(world.git, world.tip)
        maps = [source.pointers_at(entry.id) for entry in read_past(world)]
        assert [found["x"].get("prod") if found and "x" in found else None for found in maps] == [
            None, None, None, "v1.0.0", "v1.1.0", None,
        ]  # fmt: skip
        assert source.pointers_at(repo.git("rev-parse", "HEAD")) is None
        assert source.pointers_at("f" * 40) is None
        assert source.pointers_at("") is None
        assert source.pointers_at("HEAD") is None
        assert source.pointers_at("--help") is None
        behind = repo.git("rev-parse", "refs/edgit/ledger^")
        tip = source.revision
        repo.git("update-ref", "refs/edgit/ledger", behind)
        assert read_ledger_source(world.git, repo.read().tip).pointers_at(tip) is None


def test_without_a_ledger_there_is_nothing_to_publish(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    with repo.here(), pytest.raises(Refused, match="there is no ledger to publish yet"):
        read_ledger_source(repo.read().git, repo.read().tip)
