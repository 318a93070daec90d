"""Whether this clone knows what the remote knows: a short look at it, before something is said or moved.

Rules:

- the look is short, and at most once a minute for what only answers: a script asks a thousand times;
- what is behind and has no moves of its own is brought up to date; what has is told, as is a remote that is away;
- whoever moves something looks each time, and moves on what the remote has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from edgit.errors import EdgitError, NotReached
from edgit.git.process import Git
from edgit.ledger.entries import LEDGER
from edgit.ledger.published import PUBLISHED
from edgit.ledger.reading import descends_from
from edgit.remote.differences import tracking_ref
from edgit.remote.pull import PullResult, pull
from edgit.remote.records import records_to_bring
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository, read_repository

#: Where what was published is kept, beside the ledger.
_PUBLISHED = f"{PUBLISHED}*"
#: How long a look may take, and what it leads to, in seconds; and for how long what it saw is enough.
LOOK, CATCH_UP, ENOUGH = 2.0, 20.0, 60.0


class Standing(StrEnum):
    """How a clone stands to its remote."""

    NO_REMOTE = "no remote"
    NO_LEDGER_THERE = "no ledger there"
    FRESH = "fresh"
    BEHIND = "behind"
    NO_LEDGER_HERE = "no ledger here"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the remote showed."""

    standing: Standing
    remote: str = ""
    #: Its ledger, as it is, or was when it last answered.
    ledger: str | None = None
    #: What else is shared, as it has it.
    published: Mapping[str, str] | None = None
    #: When it was last looked at, and when it last answered, in seconds.
    at: float = 0.0
    answered: float | None = None
    #: Why it is away.
    problem: str | None = None
    #: The tags that looked strange to this clone then, and that the look has not explained.
    strange: tuple[str, ...] = ()

    @property
    def age(self) -> str:
        """How long ago the remote last answered, for a message."""
        if self.answered is None:
            return "not seen yet"
        minutes = int(max(0.0, time.time() - self.answered) // 60)
        days, hours = minutes // 1440, minutes // 60
        said = f"{days} days" if days > 1 else f"{hours} h" if hours > 1 else f"{minutes} min"
        return f"as last seen {said} ago"


def look(git: Git, *, bound: float | None = None) -> Look:
    """Ask the remote for its ledger, and how this clone stands to it. Never raises for a remote that is away."""
    remote = git.remote()
    if remote is None:
        return Look(Standing.NO_REMOTE)
    bound, now = LOOK if bound is None else bound, time.time()
    try:
        there = git.remote_refs(remote, LEDGER, _PUBLISHED, bound=bound)
    except NotReached as error:
        before = read_stamp(git)
        known = before.answered if before and before.remote == remote else None
        found = Look(Standing.AWAY, remote, at=now, answered=known, problem=error.detail.splitlines()[0])
    else:
        ledger = there.pop(LEDGER, None)
        found = Look(_stands(git, ledger, there), remote, ledger, there, now, now)
    _stamp(git, found)
    return found


def _stands(git: Git, theirs: str | None, records: Mapping[str, str]) -> Standing:
    if theirs is None:
        return Standing.NO_LEDGER_THERE
    tip = git.ref(LEDGER)
    if tip is None:
        return Standing.NO_LEDGER_HERE
    known = descends_from(git, tip, theirs) and not records_to_bring(git, records)
    return Standing.FRESH if known else Standing.BEHIND


# What was seen is kept


def _file(git: Git) -> Path:
    return git.folder / "edgit" / "seen.json"


def read_stamp(git: Git) -> Look | None:
    """What the last look showed."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        told = json.loads(_file(git).read_bytes())
        return Look(**{**told, "standing": Standing(told["standing"]), "strange": tuple(told["strange"])})
    return None


def forget(git: Git) -> None:
    """Let the next command look again: what the last look showed is no longer so."""
    with suppress(OSError):
        _file(git).unlink(missing_ok=True)


def _stamp(git: Git, found: Look) -> None:
    """Keep what a look showed. A repository that cannot be written is looked at each time."""
    with suppress(OSError):
        file = _file(git)
        file.parent.mkdir(exist_ok=True)
        file.with_suffix(".new").write_text(json.dumps(asdict(found)), "utf-8")
        file.with_suffix(".new").replace(file)


# Before an answer


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The repository as it is now, and what there is to say about that: notes, and warnings."""

    repository: Repository
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Whether the remote has moves that are not here.
    behind: bool = False


def refresh(git: Git) -> Refreshed:
    """The repository, brought up to date where the remote is ahead of it and that takes nothing but a fetch."""
    seen = read_stamp(git)
    if seen is None or not 0 <= time.time() - seen.at < ENOUGH:
        return _refreshed(git, look(git), None)
    repository = read_repository(git)
    strange = _strange(repository)
    if strange - set(seen.strange):
        # A plain fetch may have brought tags whose moves are at the remote.
        return _refreshed(git, look(git), repository)
    if seen.standing in (Standing.BEHIND, Standing.NO_LEDGER_HERE) and not _has(git, seen.ledger):
        return Refreshed(repository, warnings=_told(seen), behind=True)
    return Refreshed(repository, warnings=_told(seen) if seen.standing is Standing.AWAY else ())


def is_fresh(git: Git) -> bool:
    """Whether a clone needs no look before it answers: it was fresh a moment ago, or has no remote."""
    seen = read_stamp(git)
    if seen is None or seen.standing is Standing.NO_REMOTE:
        return git.remote() is None
    quiet = seen.standing in (Standing.FRESH, Standing.NO_LEDGER_THERE)
    return quiet and 0 <= time.time() - seen.at < ENOUGH


def _refreshed(git: Git, seen: Look, repository: Repository | None) -> Refreshed:
    notes: tuple[str, ...] = ()
    if seen.standing is Standing.NO_LEDGER_HERE or (seen.standing is Standing.BEHIND and not _has_own_moves(git, seen)):
        try:
            notes, repository = _catch_up(git, seen.remote), None
            seen = replace(seen, standing=Standing.FRESH)
        except EdgitError as error:
            seen = replace(seen, problem=error.detail)
    repository = repository or read_repository(git)
    _stamp(git, replace(seen, strange=tuple(sorted(_strange(repository)))))
    behind = seen.standing in (Standing.BEHIND, Standing.NO_LEDGER_HERE)
    return Refreshed(repository, notes, _told(seen), behind)


def _catch_up(git: Git, remote: str) -> tuple[str, ...]:
    lock = RepositoryLock(git)
    with lock.locked(from_tags=False) as repository:
        pulled = pull(lock, repository, bound=CATCH_UP)
    return (f"{remote} had {_many(pulled)} that this clone had not; they are here now", *lock.notes)


def _many(pulled: PullResult) -> str:
    moves = len(pulled.received)
    return "publishes on record" if not moves else "1 move" if moves == 1 else f"{moves} moves"


def _has_own_moves(git: Git, seen: Look) -> bool:
    """Whether entries here are not at the remote, as far as it was last seen."""
    tip, known = git.ref(LEDGER), git.ref(tracking_ref(seen.remote))
    return tip is not None and (known is None or not descends_from(git, known, tip))


def _has(git: Git, ledger: str | None) -> bool:
    """Whether a ledger of the remote's has come here since."""
    return ledger is not None and bool(git.check([ledger])) and descends_from(git, git.ref(LEDGER), ledger)


def _strange(repository: Repository) -> set[str]:
    """The tags that this clone cannot account for."""
    return {each.tag.id for each in repository.drift.unrecorded_moves}


def _told(seen: Look) -> tuple[str, ...]:
    """What there is to say of a clone that may not know what is live."""
    why = f" ({seen.problem})" if seen.problem else ""
    if seen.standing is Standing.AWAY:
        return (f"{seen.age}; {seen.problem}",)
    if seen.standing is Standing.NO_LEDGER_HERE:
        return (f"{seen.remote} has a ledger, and this clone has none: what is live is not known here{why}. "
                "Next: edgit pull",)  # fmt: skip
    if seen.standing is Standing.BEHIND:
        return (f"{seen.remote} has moves that this clone has not, which has moves of its own{why}: what is live "
                "may be another version. Next: edgit pull",)  # fmt: skip
    return ()


def told_offline(repository: Repository) -> tuple[str, ...]:
    """What there is to say where nobody is to be asked."""
    if repository.tip is None and repository.git.remote() is not None:
        return ("offline, and this clone has no ledger: what is live is not known here. Next: edgit pull",)
    return ()


# Before a move


def bring_up_to_date(lock: RepositoryLock, repository: Repository, *, bound: float | None = None) -> Repository:
    """The repository with what the remote has, within the lock; what was done is noted there. A remote that is away is
    told, and no obstacle. Raises `Refused` where both have moved one pointer to different versions."""
    git = repository.git
    seen = look(git, bound=bound)
    if seen.standing is Standing.AWAY:
        lock.notes.append(f"{seen.problem}; this goes by what was here, {seen.age}")
    if seen.standing not in (Standing.BEHIND, Standing.NO_LEDGER_HERE):
        return repository
    try:
        pulled = pull(lock, repository, bound=CATCH_UP)
    except NotReached as error:
        lock.notes.append(f"{error.detail}; this goes by what was here")
        return read_repository(git)
    lock.notes.append(f"{seen.remote} had {_many(pulled)} that this clone had not; this comes after")
    _stamp(git, replace(seen, standing=Standing.FRESH))
    return lock.catch_up(read_repository(git))
