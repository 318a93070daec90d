"""Sharing the ledger: push and pull.

Rules:

- a push is atomic. The ledger only goes forward, and a tag that moves must be one that the ledger accounts for, so that
  a stale clone is refused, and what another tool has moved at the remote is never overwritten;
- a pull fetches objects, replays the moves that the remote has not, on top of its own, and lets the tags follow, in one
  transaction: whoever pushes later comes after, and nothing is lost;
- a move that the remote has already, under whatever commit, is not made again;
- a clone without the ledger, the tags or the history (a CI checkout) needs a pull and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgit.components.tags import PREFIX, ComponentTags, read_tags
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.ledger.entries import LEDGER
from edgit.repository.reading import Repository


def needed_remote(git: Git) -> str:
    remote = git.remote()
    if remote is None:
        raise EdgitError(
            "this repository has no remote to share moves with", hint="next: git remote add origin URL, then edgit push"
        )
    return remote


def tracking_ref(remote: str) -> str:
    """Where the remote's ledger is kept, as it was last seen. Not below refs/remotes: `git fetch --prune` clears what
    is no branch there."""
    return f"refs/edgit/remotes/{remote}"


def has_ledger(git: Git, remote: str) -> bool:
    """Whether the remote keeps a ledger."""
    return LEDGER in git.remote_refs(remote, LEDGER)


def unpushed(world: Repository, remote: str) -> int:
    """How many entries the remote has not, as far as it was last seen."""
    if world.ledger is None:
        return 0
    tracked = world.git.ref(tracking_ref(remote))
    return len(world.ledger.since(tracked if tracked and descends_from(world, tracked) else None))


def descends_from(world: Repository, commit: str) -> bool:
    """Whether this repository's ledger goes on from a commit."""
    tip = world.ledger.tip if world.ledger else ""
    return commit == tip or world.git.attempt("merge-base", "--is-ancestor", commit, tip).returncode == 0


def refs_at(git: Git, remote: str) -> dict[str, str]:
    return git.remote_refs(remote, LEDGER, f"{PREFIX}*")


def all_tags(world: Repository, there: Mapping[str, str]) -> ComponentTags:
    """The names of tags, here and at the remote. A tag of an older form keeps its name wherever it is."""
    return read_tags({**there, **world.refs})


@dataclass(frozen=True, slots=True)
class TagConflict:
    """A version's tag that is not the same object here and at the remote; their files' ids, and what the ledger has."""

    ref: str
    here: str
    there: str
    our_file: str | None
    their_file: str | None
    released: str | None
    #: The object that the tag was when the version was released.
    original: str | None

    @property
    def same_file(self) -> bool:
        return self.our_file is not None and self.our_file == self.their_file

    @property
    def ours_counts(self) -> bool:
        """Whether ours is what was released, and theirs is not, or only a later tag of the same file."""
        if self.here == self.original:
            return True
        return self.our_file is not None and self.our_file == self.released and self.their_file not in (
            None, self.released
        )  # fmt: skip


def tag_conflicts(world: Repository, there: Mapping[str, str]) -> list[TagConflict]:
    """The versions' tags that are other objects at the remote than here."""
    tags = {
        (name, version): tag
        for name, found in world.tags.versions.items()
        for version, tag in found.items()
        if there.get(tag.ref, tag.id) != tag.id
    }
    commits = world.commits_of(id for tag in tags.values() for id in (tag.id, there[tag.ref]))
    ends = [(name, commits.get(id)) for (name, _), tag in tags.items() for id in (tag.id, there[tag.ref])]
    files = world.files_at((name, commit) for name, commit in ends if commit)
    blobs = {pair: file.blob for pair, file in files.items()}
    made = world.ledger.made if tags and world.ledger else {}
    return [
        TagConflict(
            tag.ref,
            tag.id,
            there[tag.ref],
            blobs.get((name, commits.get(tag.id, ""))),
            blobs.get((name, commits.get(there[tag.ref], ""))),
            world.state.versions.get(name, {}).get(version) if world.ledger else None,
            found.tag if (found := made.get((name, version))) else None,
        )
        for (name, version), tag in tags.items()
    ]
