"""What was published to each KV, on record in git: the edge's own past, as the ledger is that of what was set.

    refs/edgit/published/<kv>    a chain of commits in the ledger's form, one a publish
      components/<name>/<env>    holds the version that requests got there

Rules:

- an entry's moves are those that requests saw, all at one instant: that from which the edge answers them. Its
  generation is that of the ledger which was published, and its second parent that commit of the ledger;
- what KV held already, and no entry says, is put on record before (`found`). A chain begins with what was found then,
  and with no commit of the ledger before it: where that was nothing, nothing ran before;
- instants never go back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from edgit.errors import EdgitError
from edgit.git.objects import Object
from edgit.git.process import Git, RefUpdate
from edgit.git.tags import clean_person
from edgit.ledger.entries import LedgerEntry, LedgerState, Moved, instant, seconds
from edgit.ledger.history import LedgerMove, moves_of
from edgit.ledger.message import write_message
from edgit.ledger.reading import descends_from, read_entries, read_last_entry, read_pointers_at, read_state
from edgit.ledger.writer import LedgerWriter

#: Below it stand the chains, one for each KV.
PUBLISHED = "refs/edgit/published/"
_FOUND, _NOTHING = "found: ", "found: nothing"

Pointers = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class PublishedState:
    """What a KV shows: its pointers without those that follow the versions, and the ledger's commit that it was.

    `generation` and `revision` are None for a map that was written by hand.
    """

    pointers: Pointers
    generation: int | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class PublishedChange:
    """What a publish did to a KV: what it showed before, None where it was empty, and what it shows since `at`."""

    before: PublishedState | None
    after: PublishedState
    at: datetime


@dataclass(frozen=True, slots=True)
class PublishedPast:
    """A chain as it was read: what requests ran since when. `entries` are oldest first, and at least one."""

    git: Git
    tip: str
    entries: tuple[LedgerEntry, ...]

    @property
    def whole(self) -> bool:
        """Whether it is on record from the first publish on."""
        return self.entries[0].summary.startswith(_NOTHING)

    @property
    def begin(self) -> datetime:
        """Since when it is on record."""
        return self.entries[0].at

    def knows(self, moment: datetime) -> bool:
        """Whether it says what requests ran at an instant."""
        return self.whole or moment >= self.begin

    def pointers_at(self, moment: datetime) -> dict[str, dict[str, str]]:
        """Component → environment → version at an instant that it knows."""
        return read_pointers_at(self.git, self.tip, moment) if moment >= self.begin else {}

    def moves(
        self, ledger: Iterable[LedgerEntry], component: str | None = None, environment: str | None = None
    ) -> list[LedgerMove]:
        """The moves that requests saw, oldest first. What was set before the record begins counts as seen, where KV had
        been published before that."""
        if self.whole:
            return moves_of(self.entries, component, environment)
        first = self.entries[0].generation
        before = (entry for entry in ledger if entry.generation <= first)
        return moves_of([*before, *self.entries[1:]], component, environment)


def read_published(git: Git, ref: str) -> PublishedPast | None:
    """The chain of a ref; None where there is none."""
    tip = git.ref(ref)
    return PublishedPast(git, tip, read_entries(git, tip)) if tip else None


def read_last_published(git: Git, record: str) -> PublishedState | None:
    """What is on record as published last; None where nothing is."""
    tip = git.ref(PUBLISHED + record)
    if tip is None:
        return None
    pointers = read_state(git, tip, "components").pointers
    return PublishedState(pointers, read_last_entry(git, tip).generation, git.ref(f"{tip}^2"))


def net_moves(before: Pointers, after: Pointers) -> list[Moved]:
    """What moved between two states, sorted."""
    places = sorted({(name, where) for side in (before, after) for name, found in side.items() for where in found})
    pairs = ((place, before.get(place[0], {}).get(place[1]), after.get(place[0], {}).get(place[1])) for place in places)
    return [Moved(*place, old, new) for place, old, new in pairs if old != new]


def record_published(git: Git, record: str, target: str, change: PublishedChange) -> Sequence[LedgerEntry]:
    """Put a publish on record, and before it what the KV held if that is not on record; the new entries."""
    ref = PUBLISHED + record
    tip = git.ref(ref)
    writer = _RecordWriter(git, read_last_entry(git, tip) if tip else None, tip)
    before, after = change.before, change.after
    if before is None and tip is None:
        writer.add(f"{_NOTHING} in {target}", PublishedState({}), change.at)
    elif before is not None and writer.differs(before):
        writer.add(f"{_FOUND}generation {before.generation or 'none'} in {target}", before, _set_at(git, before))
    if writer.differs(after):
        writer.add(f"publish: generation {after.generation or 'none'} to {target}", after, change.at)
    writer.commit(ref)
    return writer.entries


def joined_records(git: Git, ref: str, ours: str | None, theirs: str) -> None:
    """Let a record be theirs, with what ours has besides after it."""
    if ours is None or descends_from(git, theirs, ours):
        git.update_refs([RefUpdate(ref, theirs, ours)])
        return
    base = git.attempt("merge-base", ours, theirs).stdout.decode().strip() or None
    shared = base if base and base in _chain(git, ours) and base in _chain(git, theirs) else None
    writer = _RecordWriter(git, read_last_entry(git, theirs), theirs)
    for entry in read_entries(git, ours, after=shared):
        state = PublishedState(
            read_state(git, entry.id, "components").pointers, entry.generation, git.ref(f"{entry.id}^2")
        )
        if not entry.summary.startswith(_FOUND) and writer.differs(state):
            writer.add(entry.summary, state, entry.at, actor=entry.actor)
    writer.commit(ref, before=ours)


def _chain(git: Git, tip: str) -> set[str]:
    return set(git.text("rev-list", "--first-parent", tip).split())


def _set_at(git: Git, held: PublishedState) -> datetime | None:
    """When the ledger's commit was made that a KV shows: it was published then, or later."""
    if held.revision is None or not git.check([held.revision]):
        return None
    told = git.attempt("log", "-1", "--format=%ct", held.revision, "--")
    text = told.stdout.decode().strip()
    return instant(int(text)) if told.returncode == 0 and text.isdigit() else None


class _RecordWriter:
    """New entries of a record; nothing is written before `commit`."""

    def __init__(self, git: Git, last: LedgerEntry | None, tip: str | None) -> None:
        self._writer = LedgerWriter(git, None, LedgerState())
        self._git, self._tip, self.last = git, tip, last
        try:
            name, address, self._now, self._zone = git.identity()
        except EdgitError:
            # Who publishes need not be known: a checkout of CI may have no name.
            name, address, self._now, self._zone = "unknown", "", int(time.time()), "+0000"
        self._person = clean_person(f"{name} <{address}>")
        self._pointers: Pointers = read_state(git, tip, "components").pointers if tip else {}
        self._tree = git.text("rev-parse", tip + "^{tree}") if tip else None
        self.entries: list[LedgerEntry] = []

    def differs(self, state: PublishedState) -> bool:
        """Whether a state is not what is on record last."""
        if self.last is None:
            return True
        known = state.generation in (None, self.last.generation)
        return not known or bool(net_moves(self._pointers, state.pointers))

    def add(self, summary: str, state: PublishedState, at: datetime | None, *, actor: str | None = None) -> None:
        """One more entry, of now where it is not known since when."""
        moved = net_moves(self._pointers, state.pointers)
        writer = self._writer
        edits: dict[str, str | None] = {
            f"components/{each.component}/{each.environment}": writer.put(Object("blob", f"{each.after}\n".encode()))
            if each.after
            else None
            for each in moved
        }
        self._tree = writer.edited(self._tree, edits)
        generation = state.generation or (self.last.generation if self.last else 0)
        moment = max(seconds(at) if at else self._now, seconds(self.last.at) if self.last else 0)
        parents = [self.last.id] if self.last else []
        if parents and state.revision and self._git.check([state.revision]):
            # So that what was published stays in git, also where a pull puts it after other moves.
            parents.append(state.revision)
        lines = "".join(f"parent {id}\n" for id in parents)
        body = (
            f"tree {self._tree}\n{lines}author {actor or self._person} {moment} {self._zone}\n"
            f"committer {self._person} {moment} {self._zone}\n\n{write_message(summary, moved, generation, None)}"
        )
        id = writer.put(Object("commit", body.encode("utf-8", "surrogateescape")))
        parent = self.last.id if self.last else None
        self.last = LedgerEntry(
            id,
            parent,
            generation,
            instant(moment),
            actor or self._person,
            summary,
            tuple(moved),
            None,
            instant(moment),
        )
        self.entries.append(self.last)
        self._pointers = state.pointers

    def commit(self, ref: str, *, before: str | None = None) -> None:
        """Write the objects, and move the ref, from `before` where that is not the record that was gone on with."""
        if self.last is not None and self.last.id != (before or self._tip):
            self._writer.set_ref(ref, self.last.id, before or self._tip)
            self._writer.commit(_Plain(self._git))


@dataclass(frozen=True, slots=True)
class _Plain:
    """Moves a ref that nothing else depends on, without the repository's lock."""

    git: Git

    def transact(self, updates: Sequence[RefUpdate]) -> None:
        self.git.update_refs(updates)
