"""The records of what was published: shared by push and pull, and joined where two clones have published."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from edgit.git.process import Git
from edgit.ledger.published import PublishedChange, PublishedState, read_published, record_published
from edgit.ledger.reading import read_state
from tests.edgit.repo import Repo, clone, with_remote

RECORD = "cloudflare/0123456789abcdef"
REF = f"refs/edgit/published/{RECORD}"
BEGIN = datetime(2024, 11, 1, 9, tzinfo=UTC)


def published(repo: Repo, version: str, at: datetime, before: str | None) -> None:
    """Put on record that a KV which had one version of my-prompt has another one now."""
    with repo.here():
        held = PublishedState({"my-prompt": {"prod": before}}, 1, None) if before else None
        now = PublishedState({"my-prompt": {"prod": version}}, 1, repo.git("rev-parse", "refs/edgit/ledger"))
        record_published(Git.open(repo.root), RECORD, "Cloudflare KV", PublishedChange(held, now, at))


def two_clones(folder: Path) -> tuple[Repo, Repo]:
    repo, _ = with_remote(folder)
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    repo.git("push", "--quiet", "origin", "HEAD")
    published(repo, "v1.0.0", BEGIN, None)
    repo.edgit("push")
    there = clone(repo, folder / "there", "--branch", "main", name="Grace")
    there.git("remote", "set-url", "origin", str(folder / "origin.git"))
    there.edgit("pull")
    return repo, there


def told(repo: Repo) -> list[tuple[str, str | None]]:
    """Who published what, oldest first."""
    with repo.here():
        past = read_published(Git.open(repo.root), REF)
    assert past is not None
    return [(move.actor.partition(" <")[0], move.version) for move in past.moves(())]


def test_a_record_is_shared_by_push_and_pull(tmp_path: Path) -> None:
    repo, there = two_clones(tmp_path)
    assert there.refs(REF) == repo.refs(REF)
    published(repo, "v1.1.0", BEGIN + timedelta(hours=1), "v1.0.0")
    repo.edgit("push")
    # A command that answers fetches it first: nothing else is behind.
    there.git("config", "edgit.kv", "cloudflare")
    asked = there.edgit("history", "my-prompt", "--date", (BEGIN + timedelta(hours=2)).isoformat())
    assert asked.out == "v1.1.0\n"
    assert "origin had publishes on record that this clone had not; they are here now" in asked.err


def test_two_that_have_published_keep_both_in_order(tmp_path: Path) -> None:
    repo, there = two_clones(tmp_path)
    published(repo, "v1.1.0", BEGIN + timedelta(hours=2), "v1.0.0")
    published(there, "v1.2.0", BEGIN + timedelta(hours=1), "v1.0.0")
    repo.edgit("push")
    there.edgit("push")
    repo.edgit("pull")
    assert repo.refs(REF) == there.refs(REF)
    assert told(repo) == [("Ada", "v1.0.0"), ("Ada", "v1.1.0"), ("Grace", "v1.2.0")]
    dates = [int(text) for text in repo.git("log", "--first-parent", "--format=%ct", REF).split()]
    assert dates == sorted(dates, reverse=True)
    assert read_state(Git.open(repo.root), REF, "components").pointers == {"my-prompt": {"prod": "v1.2.0"}}
    # The ledger's commit stays in git with it.
    assert repo.git("rev-parse", f"{REF}^2") == repo.git("rev-parse", "refs/edgit/ledger")


def test_a_record_of_a_local_kv_stays_here(tmp_path: Path) -> None:
    repo, there = two_clones(tmp_path)
    repo.env["KV"] = str(tmp_path / "kv.sqlite3")
    repo.edgit("publish", "--kv", "local")
    assert len(repo.refs("refs/edgit/published/local")) == 1
    repo.edgit("push")
    there.edgit("pull")
    assert there.refs("refs/edgit/published/local") == {}


def test_the_same_publish_is_not_recorded_twice(tmp_path: Path) -> None:
    repo, _ = two_clones(tmp_path)
    before = repo.refs(REF)
    published(repo, "v1.0.0", BEGIN + timedelta(hours=1), "v1.0.0")
    assert repo.refs(REF) == before
