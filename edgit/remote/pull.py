"""Pull: the remote's ledger and tags come here.

Rules:

- where both have moved one pointer to different versions nothing is changed, unless it is said which is kept;
- a pull fetches objects, replays on top of the remote's moves those that it has not, and lets the tags follow. Whoever
  pushes later comes after, and nothing is lost;
- a move that the remote has already, under whatever commit, is not made again;
- a clone without the ledger, the tags or the history (a CI checkout) needs a pull and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgit.components.tags import PREFIX, read_name
from edgit.git.process import TRANSFER, RefUpdate
from edgit.ledger.entries import LEDGER, LedgerEntry
from edgit.ledger.history import LedgerIndex
from edgit.ledger.reading import descends_from, read_index
from edgit.remote.conflicts import Pointer, find_conflicts, read_divergence, refused
from edgit.remote.differences import all_tags, needed_remote, read_tag_conflicts, refs_at, tracking_ref
from edgit.remote.merge import MergeResult, merge
from edgit.remote.records import join_records, records_to_bring
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository, read_repository
from resolver.version import is_version


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


def pull(
    lock: RepositoryLock, repository: Repository, *, keep: str | None = None, bound: float = TRANSFER
) -> PullResult:
    """Bring the remote's ledger and tags here within `bound` seconds, and replay on top what it has not. Raises
    `Refused` where both have moved one pointer to different versions, unless `keep` says which stays: `theirs` or
    `ours`."""
    git = repository.git
    remote = needed_remote(git)
    there = refs_at(repository, remote)
    theirs = there.get(LEDGER)
    wanted = [ref for ref, id in there.items() if repository.refs.get(ref) != id and (ref == LEDGER or read_name(ref))]
    records = records_to_bring(git, there)
    wanted_ids = {*(there[ref] for ref in wanted), *records.values()}
    if wanted_ids:
        # Objects only, and by their ids, since git looks each name up among all: which refs move, and where to, is
        # decided here, all at once.
        command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--stdin", remote]
        ids = "".join(f"{id}\n" for id in wanted_ids)
        git.over_network(*command, remote=remote, bound=bound, input=ids.encode())
    apart = read_divergence(repository, theirs) if theirs and not descends_from(git, repository.tip, theirs) else None
    if not (wanted_ids or apart):
        return _nothing_new(lock, repository, there, remote)
    conflicts = find_conflicts(apart) if apart else ()
    if conflicts and keep is None:
        raise refused(remote, conflicts)
    join_records(git, records)
    new = [ref for ref in wanted if ref not in repository.refs and (name := read_name(ref)) and is_version(name.slot)]
    here = git.check(there[ref] for ref in new)
    updates = [RefUpdate(ref, there[ref], None) for ref in new if there[ref] in here]
    if updates:
        lock.transact(updates)
        repository = read_repository(git, from_tags=False)
    merged = MergeResult()
    if apart:
        disputed = {each.pointer for each in conflicts}
        merged = merge(lock, repository, apart, there, tracking_ref(remote), disputed=disputed, keep=keep)
    elif theirs and git.ref(tracking_ref(remote)) != theirs:
        git.attempt("update-ref", tracking_ref(remote), theirs)
    repository = lock.catch_up(read_repository(git, from_tags=False))
    if _take_versions(lock, repository, there, remote):
        repository = read_repository(git, from_tags=False)
    ours, other = read_index(git, repository.tip), read_index(git, theirs)
    if theirs:
        _tell_lost(lock, repository, there, ours, other, remote)
    _bring_foreign(lock, repository, there, ours, other, remote)
    return PullResult(remote, merged.received, merged.replayed, merged.dropped, len(updates), tuple(lock.notes))


def _nothing_new(lock: RepositoryLock, repository: Repository, there: Mapping[str, str], remote: str) -> PullResult:
    """The end of a pull from a remote all of whose tags and moves are here: it may only lack some."""
    git, theirs = repository.git, there.get(LEDGER)
    if theirs and git.ref(tracking_ref(remote)) != theirs:
        git.attempt("update-ref", tracking_ref(remote), theirs)
    tags = repository.tags
    environments = [tag.ref for found in tags.environments.values() for tag in found.values()]
    environments += [tag.ref for found in tags.duplicates.values() for tag in found]
    if theirs and not all(ref in there for ref in environments):
        ours, other = read_index(git, repository.tip), read_index(git, theirs)
        _tell_lost(lock, repository, there, ours, other, remote)
    return PullResult(remote, notes=tuple(lock.notes))


def _take_versions(lock: RepositoryLock, repository: Repository, there: Mapping[str, str], remote: str) -> bool:
    """Versions' tags that are other objects here than at the remote, and of the same file, become the remote's; but not
    those that count, which a push brings there. Whether there were any."""
    taken = [each for each in read_tag_conflicts(repository, there) if each.same_file and not each.ours_counts]
    if taken:
        lock.transact([RefUpdate(each.ref, each.there, each.here) for each in taken])
    names = (each.ref.removeprefix(PREFIX) for each in taken)
    lock.notes += [f"{name} is the tag that {remote} has, of the same file" for name in names]
    return bool(taken)


def _tell_lost(
    lock: RepositoryLock,
    repository: Repository,
    there: Mapping[str, str],
    ours: LedgerIndex,
    theirs: LedgerIndex,
    remote: str,
) -> None:
    """Tell which environments' tags at the remote are not where its ledger says: deleted, or ones of before. A push
    sets them right. One that another tool has moved is no such: it is new."""
    names = all_tags(repository, there)
    for pointer, moved in sorted(theirs.last_moves.items()):
        ref = names.ref(*pointer)
        at = there.get(ref)
        was_before = at is None or at in ours.known_tags.get(pointer, ())
        if at != moved.tag and was_before and repository.refs.get(ref) != at:
            lock.notes.append(f"{ref.removeprefix(PREFIX)} at {remote} is not where its ledger says; next: edgit push")


def _bring_foreign(
    lock: RepositoryLock,
    repository: Repository,
    there: Mapping[str, str],
    ours: LedgerIndex,
    theirs: LedgerIndex,
    remote: str,
) -> None:
    """Tags of environments at the remote that no ledger accounts for come here as they are, to be adopted."""
    strange: dict[str, Pointer] = {}
    for ref, id in there.items():
        name = read_name(ref)
        if name is None or is_version(name.slot) or repository.refs.get(ref) == id:
            continue
        pointer = (name.key(repository.types), name.slot)
        if id not in ours.known_tags.get(pointer, ()):
            strange[ref] = pointer
    here = repository.git.check(there[ref] for ref in strange)
    updates = [RefUpdate(ref, there[ref], repository.refs.get(ref)) for ref in strange if there[ref] in here]
    if updates:
        lock.transact(updates)
    for update in updates if repository.tip else ():
        moved = theirs.last_moves.get(strange[update.ref])
        lock.notes.append(
            f"{update.ref.removeprefix(PREFIX)} was moved at {remote} by another tool "
            f"(the ledger says {(moved.after if moved else None) or 'none'}); "
            "next: edgit adopt, or edgit deploy set to move it on"
        )
