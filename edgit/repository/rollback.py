"""Where a rollback goes."""

from __future__ import annotations

from edgit.errors import EdgitError
from edgit.ledger.history import last_good, moves_of
from edgit.repository.catalog import live_in
from edgit.repository.reading import Repository, read_past


def needed_rollback_version(repository: Repository, component: str, environment: str) -> str:
    """The version that a rollback goes to. Raises `EdgitError` where there is none."""
    version = last_good(moves_of(read_past(repository), component, environment))
    # What another tool moved counts as well, before it is on record.
    for found in repository.drift.unrecorded_moves:
        if found.pointer == (component, environment) and found.recorded:
            version = found.recorded
    if version is not None:
        return version
    live = repository.state.version(component, environment)
    if live is None:
        raise EdgitError(f"{component} was never live in {environment}; {live_in(repository, component)}")
    raise EdgitError(
        f"{component} has never had another good version in {environment} than {live}, which is live",
        hint=f"choose one of: edgit tag list {component}, then: "
        f"edgit rollback {component}@VERSION --from {environment}",
    )
