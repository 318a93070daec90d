"""The records of what was published, shared like the ledger.

Rules:

- a record of a local KV is this machine's own, and stays here;
- two that have grown apart become one: theirs stays, and what ours has besides comes after it. What was published is
  never lost, and instants never go back.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgit.git.process import Git
from edgit.ledger.published import PUBLISHED, joined_records
from edgit.ledger.reading import descends_from

_OWN = f"{PUBLISHED}local/"


def shared_records(refs: Mapping[str, str]) -> dict[str, str]:
    """Ref → object id, of those records that are shared."""
    return {ref: id for ref, id in refs.items() if ref.startswith(PUBLISHED) and not ref.startswith(_OWN)}


def records_here(git: Git) -> dict[str, str]:
    """The shared records of this clone."""
    return shared_records(git.refs(PUBLISHED.rstrip("/")))


def records_to_bring(git: Git, there: Mapping[str, str]) -> dict[str, str]:
    """The remote's records that have what this clone has not: ref → object id there."""
    here = records_here(git)
    return {ref: id for ref, id in shared_records(there).items() if not _contains(git, here.get(ref), id)}


def records_to_push(git: Git, there: Mapping[str, str]) -> dict[str, str]:
    """The records that have what the remote has not: ref → object id here."""
    return {ref: id for ref, id in records_here(git).items() if there.get(ref) != id}


def join_records(git: Git, records: Mapping[str, str]) -> None:
    """Let the records here have what the remote's have, once their objects are here."""
    here = records_here(git)
    for ref, theirs in records.items():
        joined_records(git, ref, here.get(ref), theirs)


def _contains(git: Git, ours: str | None, theirs: str) -> bool:
    return ours == theirs or (ours is not None and bool(git.check([theirs])) and descends_from(git, ours, theirs))
