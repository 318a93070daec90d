"""`edgit history --all`: the whole record, moves, new and withdrawn versions, with who, when and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from edgit import terminal
from edgit.commands import shapes
from edgit.ledger.entries import LedgerEntry
from edgit.repository.reading import Repository, read_past
from resolver.instant import format_instant


@dataclass(frozen=True, slots=True)
class Recorded:
    """One change of the ledger, with the entry that has it. One of a version itself has no environment."""

    component: str
    environment: str | None
    before: str | None
    version: str | None
    at: datetime
    actor: str
    entry: LedgerEntry
    became: str = "made"

    @property
    def verb(self) -> str:
        return self.entry.summary.partition(":")[0]

    @property
    def what(self) -> str:
        if self.environment is None:
            return f"{self.component} {self.version}: {self.became}"
        return f"{self.component} {self.environment}: {self.before or 'none'} -> {self.version or 'none'}"

    @property
    def why(self) -> str:
        reason = (self.entry.reason or "").splitlines()
        plain = self.environment is None or self.verb in ("deploy", "unset") or " " in self.verb
        return ("" if plain else f"{self.verb}: " if reason else self.verb) + (reason[0] if reason else "")


def tell_record(
    repository: Repository, component: str | None, environment: str | None, limit: int | None, format: str
) -> None:
    """Every change of a component or of all, the newest first; of one environment the moves alone."""
    found = [
        each
        for entry in read_past(repository)
        for each in _changes(entry)
        if component in (None, each.component) and environment in (None, each.environment)
    ]
    found.sort(key=lambda each: (each.at, each.entry.generation))
    shown = found[::-1][:limit]
    if format == "json":
        terminal.document([_shape(each) for each in shown])
        return
    rows = [
        (str(each.entry.generation), terminal.when(each.at), terminal.who(each.actor), each.what, each.why)
        for each in shown
    ]
    terminal.table(("gen", "when", "who", "what", "why"), rows, "the ledger is empty")


def _changes(entry: LedgerEntry) -> Iterator[Recorded]:
    for made, at, actor in entry.creations:
        yield Recorded(made.component, None, None, made.version, at, actor, entry)
    for each, at, actor in entry.withdrawals:
        became = "withdrawn" if each.withdrawn else "reinstated"
        yield Recorded(each.component, None, None, each.version, at, actor, entry, became)
    for move, at, actor in entry.moves:
        yield Recorded(move.component, move.environment, move.before, move.after, at, actor, entry)


def _shape(each: Recorded) -> shapes.Shape:
    return {
        "component": each.component,
        "environment": each.environment,
        "version": each.version,
        "before": each.before,
        "at": format_instant(each.at),
        "actor": each.actor,
        "generation": each.entry.generation,
        "reason": each.entry.reason,
        "verb": each.verb,
    }
