"""The ledger as the source of what is published: KV is a function of one of its commits."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from edgit.errors import Refused
from edgit.kv.publication import Content, Publication
from edgit.ledger.entries import LedgerState
from edgit.ledger.reading import read_state
from edgit.repository.reading import Ledger, Repository, published_pointers
from resolver.documents import Move, Release
from resolver.snapshot import Pointers


class LedgerSource:
    """What a repository's ledger says KV should hold."""

    def __init__(self, world: Repository) -> None:
        if world.ledger is None:
            raise Refused(
                "there is no ledger to publish yet",
                hint="next: edgit pull, if others keep it; else edgit adopt begins one from the tags that are here",
            )
        self._git = world.git
        self._ledger: Ledger = world.ledger

    @property
    def generation(self) -> int:
        """That of the ledger's tip."""
        return self._ledger.last.generation

    @property
    def revision(self) -> str:
        """The commit id of the ledger's tip."""
        return self._ledger.tip

    @functools.cached_property
    def _state(self) -> LedgerState:
        return self._ledger.state()

    def pointers_at(self, revision: str) -> Pointers | None:
        """The version map as of a commit of the ledger; None where it is not the tip or an ancestor of it."""
        if revision == self.revision:
            return published_pointers(self._state)
        if not all(character in "0123456789abcdef" for character in revision) or not self._git.check([revision]):
            return None
        if self._git.attempt("merge-base", "--is-ancestor", revision, self.revision).returncode:
            return None
        return published_pointers(read_state(self._git, revision))

    def publication(self) -> Publication:
        """All that should be in KV."""
        moves: dict[str, list[Move]] = {}
        releases: dict[str, list[Release]] = {}
        contents: dict[tuple[str, str], Content] = {}
        for entry in self._ledger.entries:
            for moved, at, actor in entry.moves:
                move = Move(at, moved.environment, moved.after, actor, entry.generation)
                moves.setdefault(moved.component, []).append(move)
            for created, at, _ in entry.creations:
                blob = self._state.versions.get(created.component, {}).get(created.version)
                if blob is None:
                    continue
                releases.setdefault(created.component, []).append(Release(created.version, at))
                contents[created.component, created.version] = Content(
                    created.type, created.commit, blob, entry.generation
                )
        return Publication(
            self.generation,
            self.revision,
            published_pointers(self._state),
            {name: tuple(sorted(found, key=lambda move: (move.at, move.generation))) for name, found in moves.items()},
            {name: tuple(found) for name, found in releases.items()},
            contents,
        )

    def read(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        """Files by object id."""
        return {id: object.body for id, object in self._git.read(blobs).items()}
