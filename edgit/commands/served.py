"""What still serves a version that was moved away from: told after a rollback, a promotion and a breach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgit import terminal
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.ledger.history import published_pointers
from edgit.repository.reading import read_repository
from edgit.repository.serving import Serving, still_serving

if TYPE_CHECKING:
    from edgit.kv.store import Kv
    from resolver.rollout import RolloutTable


def tell_served(found: Sequence[Serving]) -> None:
    """Name what serves the versions still, and the command that takes each out."""
    for each in found:
        terminal.warn(f"still served: {each}")
    for component, version in dict.fromkeys((each.component, each.version) for each in found):
        terminal.next_step(how_to_end(component, version, [each for each in found if each.component == component]))


def find_served(git: Git, versions: Mapping[str, str], store: Kv | None) -> list[Serving]:
    """What serves these versions now."""
    now = read_repository(git)
    pointers = published_pointers(now.state)
    table = _table(store)
    return [
        each
        for component, version in versions.items()
        for each in still_serving(pointers.get(component, {}), component, version, table, now.types.get(component))
    ]


def how_to_end(component: str, version: str, found: Sequence[Serving]) -> str:
    """The command that takes a version out wherever it is served still."""
    if all(each.derived for each in found):
        return f"edgit withdraw {component}@{version} --reason TEXT --publish"
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
