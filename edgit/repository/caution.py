"""What is known against a version before it goes live somewhere.

Rules:

- a version that was withdrawn goes live nowhere, by no command: whoever means it reinstates it first. Where it is live
  already it stays, and a rollback never chooses it;
- a version that was rolled back from an environment, or from its canary, is brought back there only with a word about
  who took it back, when and why. Once it was live there again, and left in another way, that is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edgit.errors import Refused
from edgit.git.tags import name_of
from edgit.ledger.entries import LedgerEntry
from edgit.ledger.history import LedgerMove, Withdrawal, moves_of, withdrawals_of
from edgit.ledger.reading import read_entries, read_entries_about
from edgit.repository.changes import DesiredPointer
from edgit.repository.reading import Repository
from edgit.repository.rollback import is_rollback
from resolver.instant import format_instant

#: The verbs of moves that make a version live which may have been bad there.
_BRINGING = ("deploy", "promote", "restore")
#: The past of so many components is asked of git by their names; of more, all of it is read.
_ASKED_FOR = 8


def heed(repository: Repository, desired: Sequence[DesiredPointer], verb: str, tell: Callable[[str], None]) -> None:
    """Tell what is known against what shall go live. Raises `Refused` for what was withdrawn."""
    news = [
        (each, version)
        for each in desired
        if (version := each.version) and repository.state.version(each.component, each.environment) != version
    ]
    withdrawn = {
        (each.component, version)
        for each, version in news
        if version in repository.state.withdrawn.get(each.component, {})
    }
    if withdrawn:
        raise _refusal(repository, sorted(withdrawn))
    if verb not in _BRINGING or repository.tip is None:
        return
    past = _read_past_of(repository, {each.component for each, _ in news})
    for each, version in news:
        if taken := rolled_back(past, each.component, each.environment).get(version):
            tell(
                f"{each.component} {version} was rolled back from {taken.environment} on "
                f"{format_instant(taken.at)} by {name_of(taken.actor)}{_because(taken.reason)}"
            )


def rolled_back(entries: Iterable[LedgerEntry], component: str, environment: str) -> dict[str, LedgerMove]:
    """Version → the last move that took it back, of those that were rolled back from an environment, or its canary, and
    were not live there since."""
    place = environment.removesuffix("-canary")
    found: dict[tuple[str, str], LedgerMove] = {}
    good: dict[str, list[str]] = {}
    for move in moves_of(entries, component):
        if move.environment.removesuffix("-canary") != place:
            continue
        before = good.setdefault(move.environment, [])
        back = move.version in before
        if back:
            del before[before.index(str(move.version)) + 1 :]
        elif move.version:
            before.append(move.version)
        if move.version:
            found.pop((move.environment, move.version), None)
        if move.before and (back or is_rollback(move.summary)):
            found[move.environment, move.before] = move
    return {version: move for (_, version), move in found.items()}


def read_withdrawals(repository: Repository) -> dict[tuple[str, str], Withdrawal]:
    """The versions that are withdrawn, each with who withdrew it, when and why."""
    if repository.tip is None or not any(repository.state.withdrawn.values()):
        return {}
    past = _read_past_of(repository, {name for name, found in repository.state.withdrawn.items() if found})
    return {key: each[-1] for key, each in withdrawals_of(past).items() if each[-1].withdrawn}


def _read_past_of(repository: Repository, components: set[str]) -> tuple[LedgerEntry, ...]:
    if repository.tip is None or not components:
        return ()
    if len(components) > _ASKED_FOR:
        return read_entries(repository.git, repository.tip)
    return read_entries_about(repository.git, repository.tip, sorted(components))


def _refusal(repository: Repository, withdrawn: Sequence[tuple[str, str]]) -> Refused:
    known = read_withdrawals(repository)
    return Refused(
        "\n".join(f"{name} {version} {known[name, version]}" for name, version in withdrawn),
        hint=f"choose another version: edgit tag list {withdrawn[0][0]}; or, if it is good after all: edgit reinstate "
        + " ".join(map("@".join, withdrawn)),
    )


def _because(reason: str | None) -> str:
    return f", because: {reason.splitlines()[0]}" if reason else ""
