"""What still serves a version that was moved away from: told after a rollback, a promotion and a breach."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edgit import terminal
from edgit.errors import EdgitError
from edgit.ledger.history import published_pointers
from edgit.repository.reading import Repository, read_repository
from edgit.repository.serving import Serving, still_serving

if TYPE_CHECKING:
    from edgit.kv.store import Kv
    from resolver.rollout import RolloutTable


def still_served(
    repository: Repository, versions: Mapping[str, str], started: float | None = None
) -> Callable[[Kv | None], None]:
    """What tells what serves these versions of these components once the move is made, and how long it took."""

    def tell(store: Kv | None) -> None:
        found = find_served(repository, versions, store)
        for each in found:
            terminal.warn(f"still served: {each}")
        if found:
            for component in dict.fromkeys(each.component for each in found):
                terminal.next_step(how_to_end(component, versions[component], found))
        if started is not None:
            terminal.note(f"done in {time.monotonic() - started:.1f} s")

    return tell


def find_served(repository: Repository, versions: Mapping[str, str], store: Kv | None) -> list[Serving]:
    """What serves these versions now."""
    now = read_repository(repository.git)
    pointers = published_pointers(now.state)
    table = _table(store)
    return [
        each
        for component, version in versions.items()
        for each in still_serving(pointers.get(component, {}), component, version, table, now.types.get(component))
    ]


def how_to_end(component: str, version: str, found: list[Serving]) -> str:
    """The command that takes a version out wherever it is served still."""
    pointers = {each.pointer for each in found if each.component == component}
    if pointers <= {"latest", "stable"}:
        return f"edgit withdraw {component}@{version}"
    return f"edgit rollback {component} --everywhere --if-current {version}"


def _table(store: Kv | None) -> RolloutTable | None:
    """The percentages in force; None where they cannot be read now."""
    if store is None:
        return None
    from edgit.kv.rollout import get_percentages  # noqa: PLC0415

    try:
        return get_percentages(store).table
    except EdgitError:
        return None
