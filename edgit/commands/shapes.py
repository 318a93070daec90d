"""What the commands print with `--format json`: every shape in one place.

Rules:

- scripts read these, so a name that is here stays. Values whose fields have these names are encoded as they are;
- percentages are text, since JSON's numbers are not exact everywhere; instants are as `format_instant` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from resolver.instant import format_instant

if TYPE_CHECKING:
    from edgit.guard.readings import Subject
    from edgit.guard.rules import WatchRules
    from edgit.guard.watch import WatchOutcome
    from edgit.kv.publish import PublishReport
    from edgit.kv.rollout import PercentageChange, PercentageTable
    from edgit.kv.status import KvStatus
    from edgit.ledger.history import LedgerMove
    from edgit.repository.changes import ChangeOutcome

#: A JSON document, or a part of one.
Shape = dict[str, Any]


def plain(value: object) -> Any:
    """A value, or several, with the fields by their names."""
    import msgspec  # noqa: PLC0415

    found = msgspec.to_builtins(value)
    return list(found) if isinstance(found, tuple) else found


def of_components(
    types: Mapping[str, str | None],
    names: Iterable[str],
    pointers: Mapping[str, Mapping[str, str]],
    environment: str | None = None,
) -> list[Shape]:
    """Components and what is live of them, sorted: today or at an instant."""
    return [
        {
            "name": name,
            "type": types.get(name),
            "environments": {
                where: version
                for where, version in sorted(pointers.get(name, {}).items())
                if environment in (None, where)
            },
        }
        for name in sorted(names)
    ]


def of_versions(versions: Iterable[tuple[str, str]]) -> list[Shape]:
    """Component and version."""
    return [{"component": name, "version": version} for name, version in versions]


def of_moves(moves: Iterable[LedgerMove]) -> list[Shape]:
    """Moves of the ledger."""
    return [
        {
            "component": move.component,
            "environment": move.environment,
            "version": move.version,
            "before": move.before,
            "at": format_instant(move.at),
            "actor": move.actor,
            "generation": move.generation,
            "reason": move.reason,
        }
        for move in moves
    ]


def of_outcome(outcome: ChangeOutcome, pushed: bool, report: PublishReport | None) -> Shape:
    """What a change did."""
    summary = outcome.entries[-1].summary if outcome.entries else ""
    return {
        # None where nothing was to be done.
        "verb": summary.partition(":")[0] or None,
        "generation": outcome.generation,
        "moved": [
            {"component": m.component, "environment": m.environment, "before": m.before, "version": m.after}
            for m in outcome.moved
        ],
        "created": of_versions(
            (each.component, each.version) for entry in outcome.entries for each, _, _ in entry.creations
        ),
        "withdrawn": [
            {"component": c.component, "version": c.version, "withdrawn": c.withdrawn}
            for entry in outcome.entries
            for c, _, _ in entry.withdrawals
        ],
        "unchanged": plain(outcome.unchanged),
        "notes": plain(outcome.notes),
        "pushed": pushed,
        "dry_run": outcome.dry_run,
        "published": of_report(report) if report else None,
    }


def of_report(report: PublishReport) -> Shape:
    """What a publish did; `announced` only where it was."""
    changed = [
        {"component": each.component, "environment": each.environment, "from": each.kv, "to": each.git}
        for each in report.changed
    ]
    shape: Shape = {
        **{name: value for name, value in plain(report).items() if name != "change"},
        "changed": changed,
        "warnings": plain(report.warnings),
        "held_back": plain(report.held_back),
        "seconds": round(report.seconds, 3),
    }
    return shape if report.announced else {name: value for name, value in shape.items() if name != "announced"}


def of_kv_status(status: KvStatus) -> Shape:
    """How KV stands to git."""
    return {
        "target": status.target,
        "state": status.kind,
        "kv": {"generation": status.kv_generation, "revision": status.kv_revision},
        "git": {"generation": status.generation, "revision": status.revision},
        "unpublished_moves": [
            {
                "component": name,
                "environment": move.environment,
                "version": move.version,
                "actor": move.actor,
                "at": format_instant(move.at),
                "generation": move.generation,
            }
            for name, move in status.moves
        ],
        "unpublished_versions": of_versions(status.versions),
        "differences": plain(status.differences),
        "held_back": plain(status.held_back),
        "faults": plain(status.faults),
    }


def of_percentages(table: PercentageTable) -> Shape:
    """The table of percentages."""
    entries = sorted(table.table.entries.items())
    return {
        "entries": {name: str(percentage) for name, percentage in entries},
        "versions": {name: percentage.version for name, percentage in entries if percentage.version},
        "problems": plain(table.problems),
    }


def of_percentage_change(change: PercentageChange) -> Shape:
    """A change of one percentage."""
    return {
        "target": change.target,
        "entry": change.entry,
        "before": None if change.before is None else str(change.before),
        "after": None if change.after is None else str(change.after),
        "version": None if change.after is None else change.after.version,
        "dry_run": change.dry_run,
        "notes": plain(change.notes),
    }


def of_watch(subject: Subject, rules: WatchRules, outcome: WatchOutcome) -> Shape:
    """A whole watch: times in seconds, null for what is not known."""
    return {
        "component": subject.component,
        "environment": subject.pointer,
        "version": subject.version,
        "verdict": outcome.verdict.word,
        "reason": outcome.reason,
        "rolled_back": outcome.rolled_back,
        "threshold": rules.threshold,
        "window": rules.window,
        "min_requests": rules.min_requests,
        "readings": [{**plain(step), "at": round(step.at, 3), "verdict": step.verdict.word} for step in outcome.steps],
    }
