"""Withdrawing versions, and reinstating them: whether `latest`, `stable` and ranges choose them.

Where a withdrawn version is live it stays live, and its name is not free again.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgit.errors import Refused
from edgit.ledger.entries import Withdrawn
from edgit.repository.catalog import needed_version_tag
from edgit.repository.changes import ChangeOutcome, DesiredPointer, begin, complete
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository


def withdraw(
    lock: RepositoryLock,
    repository: Repository,
    versions: Sequence[tuple[str, str]],
    reason: str | None,
    *,
    withdrawn: bool = True,
    dry_run: bool = False,
) -> ChangeOutcome:
    """Withdraw versions, or reinstate them, all or none, as one entry. Raises `EdgitError` for one that is not there,
    `Refused` for one that is not on record."""
    writer = begin(lock, repository)
    changes: list[Withdrawn] = []
    unchanged: list[DesiredPointer] = []
    for component, version in dict.fromkeys(versions):
        if version not in writer.versions.get(component, {}):
            needed_version_tag(repository, component, version)
            raise Refused(f"{component} {version} is not on record yet", hint=f"next: edgit adopt {component}")
        if (version in writer.withdrawn.get(component, {})) == withdrawn:
            unchanged.append(DesiredPointer(component, version, version))
        else:
            changes.append(Withdrawn(component, version, withdrawn))
    if changes:
        what = str(changes[0]) if len(changes) == 1 else f"{len(changes)} versions"
        writer.add(f"{'withdraw' if withdrawn else 'reinstate'}: {what}", changes, {}, reason=reason)
    return complete(lock, writer, unchanged=unchanged, dry_run=dry_run)
