"""The ledger as the source of what is published: KV is a function of one of its commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgit.errors import Refused
from edgit.git.process import Git
from edgit.kv.publication import Content, Publication
from edgit.ledger.entries import LedgerEntry, LedgerState
from edgit.ledger.history import Withdrawal, published_pointers, recorded_types, withdrawals_of
from edgit.ledger.reading import descends_from, read_entries, read_last_entry, read_state
from resolver.documents import Move, Release
from resolver.snapshot import Pointers


@dataclass(frozen=True, slots=True)
class LedgerSource:
    """What a repository's ledger says KV should hold."""

    git: Git
    last: LedgerEntry
    state: LedgerState

    @property
    def generation(self) -> int:
        """That of the ledger's tip."""
        return self.last.generation

    @property
    def revision(self) -> str:
        """The commit id of the ledger's tip."""
        return self.last.id

    def pointers_at(self, revision: str) -> Pointers | None:
        """The version map as of a commit of the ledger; None where it is not the tip or an ancestor of it."""
        if revision == self.revision:
            return published_pointers(self.state)
        if not all(character in "0123456789abcdef" for character in revision) or not self.git.check([revision]):
            return None
        if not descends_from(self.git, self.revision, revision):
            return None
        return published_pointers(read_state(self.git, revision))

    def publication(self) -> Publication:
        """All that should be in KV."""
        moves: dict[str, list[Move]] = {}
        releases: dict[str, list[Release]] = {}
        contents: dict[tuple[str, str], Content] = {}
        entries = read_entries(self.git, self.revision)
        withdrawals = withdrawals_of(entries)
        for entry in entries:
            for moved, at, actor in entry.moves:
                move = Move(at, moved.environment, moved.after, actor, entry.generation)
                moves.setdefault(moved.component, []).append(move)
            for created, at, _ in entry.creations:
                blob = self.state.versions.get(created.component, {}).get(created.version)
                if blob is None:
                    continue
                turns = withdrawals.get((created.component, created.version), ())
                release = Release(created.version, at, tuple(each.at for each in turns))
                releases.setdefault(created.component, []).append(release)
                contents[created.component, created.version] = Content(
                    created.type, created.commit, blob, entry.generation
                )
        return Publication(
            self.generation,
            self.revision,
            published_pointers(self.state),
            {name: tuple(sorted(found, key=lambda move: (move.at, move.generation))) for name, found in moves.items()},
            {name: tuple(found) for name, found in releases.items()},
            contents,
            recorded_types(entries),
            _last_generations(withdrawals),
        )

    def read(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        """Files by object id."""
        return {id: object.body for id, object in self.git.read(blobs).items()}


def _last_generations(withdrawals: Mapping[tuple[str, str], Sequence[Withdrawal]]) -> dict[str, int]:
    last: dict[str, int] = {}
    for (name, _), turns in withdrawals.items():
        last[name] = max(last.get(name, 0), turns[-1].generation)
    return last


def read_ledger_source(git: Git, tip: str | None) -> LedgerSource:
    """The ledger at this commit. Raises `Refused` where there is none."""
    if tip is None:
        raise Refused(
            "there is no ledger to publish yet",
            hint="next: edgit pull, if others keep it; else edgit adopt begins one from the tags that are here",
        )
    return LedgerSource(git, read_last_entry(git, tip), read_state(git, tip))
