"""Push: the ledger and the tags come to the remote.

Rules:

- a push is atomic. The ledger only goes forward: what the remote has and this clone has not is pulled first, and comes
  before what is pushed;
- a tag that moves must be one that the ledger accounts for, so that what another tool has moved at the remote is never
  overwritten.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgit.components.tags import PREFIX
from edgit.errors import NotReached, Refused
from edgit.git.process import TRANSFER
from edgit.ledger.entries import LEDGER, LedgerEntry
from edgit.ledger.reading import descends_from, read_entries, read_index
from edgit.remote.differences import all_tags, needed_remote, read_tag_conflicts, refs_at, tracking_ref
from edgit.remote.pull import pull
from edgit.remote.records import records_to_bring, records_to_push
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository, read_repository

#: So many refs go into one git command: a command line is bounded.
_AT_ONCE = 500
#: How often somebody else may come in between.
_TRIES = 4


#: Why git refuses a ref of a push where the remote has moved on.
_MOVED_ON = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "already exists",
    "atomic push failed",
    "atomic transaction failed",
)


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did: refs that are new or moved at the remote, and how many entries it had not had."""

    remote: str
    entries: int
    tags: int

    @property
    def nothing(self) -> bool:
        return not self.entries and not self.tags


class _RemoteAhead(Refused):
    """The remote has moves that are not here."""


def share(lock: RepositoryLock, *, bound: float = TRANSFER) -> PushResult:
    """Bring the ledger and the tags to the remote, after what it has and this clone has not. Raises `Refused` where
    both have moved one pointer to different versions."""
    with lock.locked(from_tags=False) as found:
        repository = found
        for _ in range(_TRIES - 1):
            try:
                return push(repository, bound=bound)
            except _RemoteAhead:
                pulled = pull(lock, repository, bound=bound)
            # A tag may have been moved there, and no entry with it.
            if pulled.received:
                many = "a move" if len(pulled.received) == 1 else f"{len(pulled.received)} moves"
                lock.notes.append(f"{pulled.remote} had {many} that this clone had not; yours come after")
            repository = read_repository(lock.git, from_tags=False)
        return push(repository, bound=bound)


def push(repository: Repository, *, bound: float = TRANSFER) -> PushResult:
    """Bring the ledger and the tags to the remote, each step of it within `bound` seconds. Raises `Refused` where the
    remote has moves that are not here."""
    git = repository.git
    remote = needed_remote(git)
    there = refs_at(repository, remote)
    theirs = there.get(LEDGER)
    tagged = (tag for tags in repository.tags.versions.values() for tag in tags.values())
    new = {tag.ref: tag.id for tag in tagged if tag.ref not in there}
    if repository.tip is None:
        if theirs:
            raise Refused(f"{remote} has a ledger, and this clone has none", hint="next: edgit pull")
        return PushResult(remote, 0, _push_new(repository, remote, there, new, bound))
    if theirs and not (git.check([theirs]) and descends_from(git, repository.tip, theirs)):
        raise _RemoteAhead(
            f"{remote} has moves that this clone has not; nothing was pushed", hint="next: edgit pull, then edgit push"
        )
    if records_to_bring(git, there):
        raise _RemoteAhead(f"{remote} has publishes on record that are not here", hint="next: edgit pull")
    entries = read_entries(git, repository.tip, after=theirs)
    leases = _leases(repository, repository.tip, there, entries, remote)
    # New versions go first: they are in nobody's way, and a command line would not hold all of them.
    count = _push_new(repository, remote, there, new, bound)
    records = records_to_push(git, there)
    if leases or records or theirs != repository.tip:
        _push_moves(repository, remote, repository.tip, {**there, **new}, leases, records, bound)
    if git.ref(tracking_ref(remote)) != repository.tip:
        git.attempt("update-ref", tracking_ref(remote), repository.tip)
    return PushResult(remote, len(entries), count + len(leases))


def _push_new(
    repository: Repository, remote: str, there: Mapping[str, str], refs: Mapping[str, str], bound: float
) -> int:
    """Create versions' tags at the remote, by component."""
    # `refs/tags/components/x/v1.0.0` goes with all that begins as `refs/tags/components/x/v`.
    specs = _specs(repository, there, refs, lambda ref: ref[: ref.rindex("/") + 2])
    for start in range(0, len(specs), _AT_ONCE):
        part = specs[start : start + _AT_ONCE]
        command = ["push", "--quiet", "--atomic", "--no-verify", remote, *part]
        repository.git.over_network(*command, remote=remote, bound=bound)
    return len(refs)


def _specs(
    repository: Repository, there: Mapping[str, str], refs: Mapping[str, str], prefix_of: Callable[[str], str]
) -> list[str]:
    """What tells git to push these refs and no other. It compares each refspec with every ref at the remote, so those
    that are new are named by a pattern, where nothing else would go along."""
    groups: dict[str, list[str]] = {}
    for ref in refs:
        groups.setdefault(prefix_of(ref), []).append(ref)
    others = sorted(ref for ref, id in repository.refs.items() if id not in (there.get(ref), refs.get(ref)))
    specs = []
    for prefix, group in sorted(groups.items()):
        after = bisect_left(others, prefix)
        alone = not any(other.startswith(prefix) for other in others[after : after + 1])
        if (
            len(group) > 1
            and alone
            and all(ref not in there and repository.refs.get(ref) == refs[ref] for ref in group)
        ):
            specs.append(f"{prefix}*:{prefix}*")
        else:
            specs += [f"{refs[ref]}:{ref}" for ref in group]
    return specs


def _push_moves(
    repository: Repository,
    remote: str,
    tip: str,
    there: Mapping[str, str],
    leases: Mapping[str, tuple[str | None, str | None]],
    records: Mapping[str, str],
    bound: float,
) -> None:
    """Move the ledger, the records and the tags at the remote, all or none; each tag only from what was seen there."""
    # A tag that is new there needs no lease: without force git creates one, and moves none.
    new = {ref: new for ref, (new, old) in leases.items() if new and old is None}
    moved = {ref: lease for ref, lease in leases.items() if ref not in new}
    specs = [f"{tip}:{LEDGER}", *(f"{new or ''}:{ref}" for ref, (new, _) in moved.items())]
    specs += [f"{id}:{ref}" for ref, id in records.items()]
    specs += _specs(repository, there, new, lambda ref: "/".join([*ref.split("/")[:3], ""]))
    guards = [f"--force-with-lease={ref}:{old}" for ref, (_, old) in moved.items()]
    command = ["push", "--quiet", "--atomic", "--no-verify", *guards, remote, *specs]
    done = repository.git.attempt_over_network(*command, remote=remote, bound=bound)
    if done.returncode == 0:
        return
    said = done.stderr.decode(errors="replace").strip()
    if "stale info" in said or "rejected" in said:
        # What a hook there says is told; that a ref had moved between the look and the push says itself.
        told = {
            line.strip() for line in re.findall(r"^remote: (.+)$", said, re.MULTILINE) if "but expected" not in line
        }
        told |= {why for why in re.findall(r"^ ! .*\((.+)\)$", said, re.MULTILINE) if why not in _MOVED_ON}
        why = "; ".join(sorted(told)) or "it has moved on meanwhile"
        raise (Refused if told else _RemoteAhead)(
            f"{remote} did not take the push, and nothing was moved there: {why}",
            hint="next: edgit pull, then edgit push",
        )
    raise NotReached(f"git push to {remote} failed: {said}", hint="your moves are safe here; next: edgit push")


def _leases(
    repository: Repository, tip: str, there: Mapping[str, str], entries: Sequence[LedgerEntry], remote: str
) -> dict[str, tuple[str | None, str | None]]:
    """Ref → (the object that it moves to, None to delete it; what the remote has now), for all that is not there what
    it is here. Raises `Refused` where another tool has moved at the remote what these entries move."""
    names = all_tags(repository, there)
    foreign = {found.pointer for found in repository.drift.unrecorded_moves}
    index = read_index(repository.git, tip)
    ours = {(moved.component, moved.environment) for entry in entries for moved, _, _ in entry.moves}
    leases: dict[str, tuple[str | None, str | None]] = {}
    strange = []
    for pointer, moved in index.last_moves.items():
        ref = names.ref(*pointer)
        want = moved.tag if pointer in foreign else repository.refs.get(ref)
        have = there.get(ref)
        if have == want:
            continue
        if have is None or have in index.known_tags[pointer]:
            leases[ref] = (want, have)
        elif pointer in ours:
            strange.append(ref.removeprefix(PREFIX))
    if strange:
        raise Refused(
            f"another tool has moved {', '.join(strange)} at {remote}; nothing was pushed",
            hint="next: edgit pull, then edgit adopt to keep what it did, or edgit deploy set to move it on",
        )
    # Versions never change: a version's tag at the remote that is of another file than what was released.
    leases |= {each.ref: (each.here, each.there) for each in read_tag_conflicts(repository, there) if each.ours_counts}
    return leases
