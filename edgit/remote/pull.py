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

from edgit.components.tags import PREFIX, read_name
from edgit.git.process import RefUpdate
from edgit.ledger.entries import LEDGER, LedgerEntry
from edgit.remote.differences import all_tags, descends_from, needed_remote, refs_at, tag_conflicts, tracking_ref
from edgit.remote.merge import MergeResult, Pointer, merge, pointer_ref
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Ledger, Repository
from resolver.version import is_version

# Pull


@dataclass(frozen=True, slots=True)
class PullResult:
    """How a pull brought two ledgers together."""

    remote: str
    #: Entries that the remote had and this repository had not.
    received: tuple[LedgerEntry, ...] = ()
    #: Entries of this repository, replayed on top.
    replayed: tuple[LedgerEntry, ...] = ()
    #: Entries of this repository that said nothing new any more.
    dropped: tuple[LedgerEntry, ...] = ()
    versions: int = 0
    notes: tuple[str, ...] = ()


def pull(desk: RepositoryLock, world: Repository) -> PullResult:
    """Bring the remote's ledger and tags here, and replay on top what it has not."""
    git = world.git
    remote = needed_remote(git)
    there = refs_at(git, remote)
    theirs = there.get(LEDGER)
    wanted = [ref for ref, id in there.items() if world.refs.get(ref) != id and (ref == LEDGER or read_name(ref))]
    if wanted:
        # Objects only, and by their ids, since git looks each name up among all: which refs move, and where to, is
        # decided here, all at once.
        command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--stdin", remote]
        git.over_network(*command, input="".join(f"{id}\n" for id in {there[ref] for ref in wanted}).encode())
    new = [ref for ref in wanted if ref not in world.refs and (name := read_name(ref)) and is_version(name.slot)]
    here = git.check(there[ref] for ref in new)
    updates = [RefUpdate(ref, there[ref], None) for ref in new if there[ref] in here]
    if updates:
        desk.transact(updates)
        world = Repository(git)
    merged = MergeResult()
    if theirs and not (world.ledger and descends_from(world, theirs)):
        merged = merge(desk, world, theirs, all_tags(world, there), tracking_ref(remote))
    elif theirs and git.ref(tracking_ref(remote)) != theirs:
        git.attempt("update-ref", tracking_ref(remote), theirs)
    world = desk.catch_up(Repository(git))
    other = Ledger(git, theirs) if theirs else None
    if _take_versions(desk, world, there, remote):
        world = Repository(git)
    if other:
        _tell_lost(desk, world, there, other, remote)
    _bring_foreign(desk, world, there, other, remote)
    return PullResult(remote, merged.received, merged.replayed, merged.dropped, len(updates), tuple(desk.notes))


def _take_versions(desk: RepositoryLock, world: Repository, there: Mapping[str, str], remote: str) -> bool:
    """Versions' tags that are other objects here than at the remote, and of the same file, become the remote's; but not
    those that count, which a push brings there. Whether there were any."""
    taken = [apart for apart in tag_conflicts(world, there) if apart.same_file and not apart.ours_counts]
    if taken:
        desk.transact([RefUpdate(apart.ref, apart.there, apart.here) for apart in taken])
    names = (apart.ref.removeprefix(PREFIX) for apart in taken)
    desk.notes += [f"{name} is the tag that {remote} has, of the same file" for name in names]
    return bool(taken)


def _tell_lost(desk: RepositoryLock, world: Repository, there: Mapping[str, str], theirs: Ledger, remote: str) -> None:
    """Tell which environments' tags at the remote are not where its ledger says: deleted, or ones of before. A push
    sets them right. One that another tool has moved is no such: it is new."""
    known = world.ledger.known_tags if world.ledger else {}
    names = all_tags(world, there)
    for pointer, moved in sorted(theirs.last_moves.items()):
        ref = pointer_ref(names, *pointer)
        at = there.get(ref)
        if at != moved.tag and (at is None or at in known.get(pointer, ())) and world.refs.get(ref) != at:
            desk.notes.append(f"{ref.removeprefix(PREFIX)} at {remote} is not where its ledger says; next: edgit push")


def _bring_foreign(
    desk: RepositoryLock, world: Repository, there: Mapping[str, str], theirs: Ledger | None, remote: str
) -> None:
    """Tags of environments at the remote that no ledger accounts for come here as they are, to be adopted."""
    known = world.ledger.known_tags if world.ledger else {}
    strange: dict[str, Pointer] = {}
    for ref, id in there.items():
        name = read_name(ref)
        if name is None or is_version(name.slot) or world.refs.get(ref) == id:
            continue
        if id not in known.get((name.component, name.slot), ()):
            strange[ref] = (name.component, name.slot)
    here = world.git.check(there[ref] for ref in strange)
    updates = [RefUpdate(ref, there[ref], world.refs.get(ref)) for ref in strange if there[ref] in here]
    if updates:
        desk.transact(updates)
    for update in updates if world.ledger else ():
        moved = theirs.last_moves.get(strange[update.ref]) if theirs else None
        desk.notes.append(
            f"{update.ref.removeprefix(PREFIX)} was moved at {remote} by another tool "
            f"(the ledger says {(moved.after if moved else None) or 'none'}); "
            "next: edgit adopt, or edgit deploy set to move it on"
        )
