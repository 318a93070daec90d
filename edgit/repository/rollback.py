"""Where a rollback goes.

Rules:

- good is what requests ran, and was not itself rolled back from. What was set and never published is passed over; where
  that is live in git, a rollback takes it back, and says so;
- a rollback that was made and not published yet is finished, and not begun again: to repeat the command is safe. Who
  wants to go on from there says so (`--if-current`);
- what was taken out is not good: a canary that has ended stays ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgit.errors import EdgitError, Refused
from edgit.ledger.entries import LedgerEntry
from edgit.ledger.history import LedgerMove, last_good, moves_of
from edgit.ledger.published import PublishedPast
from edgit.repository.catalog import live_in
from edgit.repository.published import read_published_past
from edgit.repository.reading import Repository, read_past
from resolver.errors import listed
from resolver.instant import format_instant

_BACK = ("rollback", "guard")
_CANARY = "-canary"


@dataclass(frozen=True, slots=True)
class RollbackGoal:
    """The version that a pointer goes back to, None for a canary that ends, and the `bad` one that it goes from; `note`
    says what may be a surprise."""

    version: str | None
    bad: str
    note: str | None = None


def is_rollback(summary: str) -> bool:
    """Whether an entry of the ledger is a rollback, by its summary."""
    return summary.partition(":")[0] in _BACK


def rollback_goal(
    repository: Repository,
    component: str,
    environment: str,
    *,
    published: PublishedPast | None = None,
    if_current: str | None = None,
) -> RollbackGoal:
    """Where a rollback goes. `if_current` is the version that it must go back from.

    Raises `EdgitError` where there is nothing to go back to, `Refused` where another version is live.
    """
    entries = read_past(repository)
    was_set = _set_moves(repository, entries, component, environment)
    ran = published.moves(entries, component, environment) if published else []
    live = was_set[-1].version if was_set else None
    _refuse_other(component, environment, live, if_current)
    if live is None:
        raise _nothing_live(repository, was_set, component, environment)
    runs = ran[-1].version if ran else None
    last = was_set[-1]
    if is_rollback(last.summary) and runs != live and if_current is None:
        made = f"{format_instant(last.at)} by {last.actor.rpartition(' <')[0]}"
        return RollbackGoal(
            live,
            last.before or live,
            f"{component} {environment} was rolled back from {last.before} at {made}, and that is not published as far "
            f"as is known here: it is finished, not begun again. To go on from {live}: --if-current {live}",
        )
    path = [move.version for move in ran or was_set]
    if path[-1] != live:
        path.append(live)
    note = None
    if runs not in (None, live):
        note = (
            f"{component} {environment}: no publish of {live} is on record here; by the record {runs} runs. If that is "
            f"what is wrong, then: edgit rollback {component} --from {environment} --if-current {runs}"
        )
    withdrawn = repository.state.withdrawn.get(component, {})
    version = last_good(path, withdrawn)
    if version is None and not environment.endswith(_CANARY):
        before = last_good((move.version for move in was_set), withdrawn)
        raise EdgitError(
            f"{component} has never had another good version in {environment} than {path[-1]}, which is live"
            + (f"; withdrawn: {listed(withdrawn)}" if withdrawn else ""),
            hint=f"{before} was set there before, and no publish of it is on record here; if it is good: "
            f"edgit rollback {component}@{before} --from {environment}"
            if before
            else f"choose one of: edgit tag list {component}, then: "
            f"edgit rollback {component}@VERSION --from {environment}",
        )
    return RollbackGoal(version, str(path[-1]), note)


def needed_rollback_version(repository: Repository, component: str, environment: str) -> str:
    """The version that a rollback of an environment which is no canary goes to. Raises `EdgitError`."""
    goal = rollback_goal(repository, component, environment, published=read_published_past(repository.git))
    if goal.version is None:
        raise EdgitError(f"{component} has had no other good version in {environment}")
    return goal.version


def _set_moves(
    repository: Repository, entries: Sequence[LedgerEntry], component: str, environment: str
) -> list[LedgerMove]:
    """What was set there, oldest first; what another tool has moved counts too, before it is on record."""
    moves = moves_of(entries, component, environment)
    for found in repository.drift.unrecorded_moves:
        if found.pointer == (component, environment) and found.meaning.version and moves:
            last = moves[-1]
            moves.append(
                LedgerMove(
                    component, environment, last.version, found.meaning.version, last.at, last.actor, last.generation,
                    None, "adopt",
                )
            )  # fmt: skip
    return moves


def _refuse_other(component: str, environment: str, live: str | None, if_current: str | None) -> None:
    if if_current is not None and live != if_current:
        raise Refused(
            f"{component} {environment} is at {live or 'nothing'}, not at {if_current}; nothing was moved",
            hint=f"what happened there: edgit history {component} --from {environment}",
        )


def _nothing_live(repository: Repository, moves: Sequence[LedgerMove], component: str, environment: str) -> EdgitError:
    if not moves:
        return EdgitError(f"{component} was never live in {environment}; {live_in(repository, component)}")
    last = moves[-1]
    return EdgitError(
        f"{component} was taken out of {environment} at {format_instant(last.at)}; {live_in(repository, component)}",
        hint=f"next, if it was wrong to take it out: edgit deploy set {component} {last.before} --to {environment}",
    )


def former_release(
    repository: Repository, environment: str, *, published: PublishedPast | None = None, generation: int | None = None
) -> dict[str, str]:
    """Component → version of a whole environment: as it was at a generation, or before its last good release.

    Raises `EdgitError` where there was nothing.
    """
    ledger = read_past(repository)
    entries = published.entries if published else ledger
    states = list(_states(entries, environment))
    if generation is not None:
        at = [state for number, state in states if number <= generation]
        if not at or not at[-1]:
            raise EdgitError(
                f"nothing was live in {environment} at generation {generation}",
                hint="which generations there are: edgit history --all",
            )
        return dict(at[-1])
    live = frozenset(
        (name, found[environment]) for name, found in repository.state.pointers.items() if environment in found
    )
    last = next((e for e in reversed(ledger) if any(m.environment == environment for m, _, _ in e.moves)), None)
    if last is not None and is_rollback(last.summary) and (not states or states[-1][1] != live):
        return dict(live)
    goal = last_good(state or None for _, state in states)
    if goal is None:
        raise EdgitError(
            f"{environment} has had no other good release before",
            hint=f"what it had when: edgit history --from {environment}",
        )
    return dict(goal)


def _states(entries: Sequence[LedgerEntry], environment: str) -> Iterator[tuple[int, frozenset[tuple[str, str]]]]:
    """What an environment was, one after the other, each with the first generation that it was so."""
    live: dict[str, str] = {}
    for entry in entries:
        moved = [each for each, _, _ in entry.moves if each.environment == environment]
        for each in moved:
            if each.after is None:
                live.pop(each.component, None)
            else:
                live[each.component] = each.after
        if moved:
            yield entry.generation, frozenset(live.items())
