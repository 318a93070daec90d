"""What a person reads at the terminal, and what a program reads from a pipe.

Rules:

- answers go to standard output, everything said about them to standard error;
- at a terminal there are colours, and lines fit its width; in a pipe neither colours nor boxes, and nothing is cut;
- times are written with their zone, in the form that `--date` reads.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING

import click

from edgit.ledger import LedgerMove
from resolver.history import format_instant

if TYPE_CHECKING:  # A script that asks for one version must not wait for rich.
    from rich.console import Console

#: Versions that a tree shows of one component, besides those that are live.
_SHOWN = 10


def console(file: IO[str] | None = None) -> Console:
    """Standard output, or another file, as rich writes it; for terminals."""
    from rich.console import Console  # noqa: PLC0415

    return Console(file=file or sys.stdout, highlight=False, emoji=False)


def coloured(file: IO[str] | None) -> bool:
    """Whether somebody who wants colours reads this."""
    return file is not None and file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def document(value: object) -> None:
    """A JSON document, indented, one scalar a line."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def lines(text: Iterable[str]) -> None:
    """Lines of an answer, in one write."""
    joined = "\n".join(text)
    if joined:
        click.echo(joined)


def note(text: str) -> None:
    """Something to know besides the answer."""
    _said("note: ", text, fg="cyan")


def warn(text: str) -> None:
    """Something that may have to be dealt with."""
    _said("warning: ", text, fg="yellow")


def next_step(text: str) -> None:
    """The exact next command."""
    _said("next: ", text, bold=True)


def fail(detail: str, hint: str | None) -> None:
    """An error, and what to do about it."""
    _said("error: ", detail, fg="red", bold=True)
    if hint:
        _said("", hint)


def _said(label: str, text: str, *, fg: str | None = None, bold: bool = False) -> None:
    """A line beside the answer. It is not wrapped here: what is copied from it must be one line."""
    if label and coloured(sys.stderr):
        label = click.style(label, fg=fg, bold=bold)
    click.echo(label + text, err=True)


def when(at: datetime | None) -> str:
    """An instant as people and `--date` read it."""
    return format_instant(at) if at else "unknown"


def who(actor: str | None) -> str:
    """A person without the address."""
    return (actor or "unknown").rpartition(" <")[0] or (actor or "unknown")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Rows under their columns; `empty` is said, apart from the answer, where there are none."""
    found = [[str(cell) for cell in row] for row in rows]
    if not found:
        note(empty)
        return
    if sys.stdout.isatty():
        _table_at_terminal(columns, found)
        return
    whole = [list(columns), *found]
    widths = [max(width(row[place]) for row in whole) for place in range(len(columns))]
    lines("  ".join(map(_padded, row, widths)).rstrip() for row in whole)


def _table_at_terminal(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row))
    console().print(shown)


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def component_tree(components: Iterable[tuple[str, str | None, Sequence[str], Mapping[str, str]]], empty: str) -> None:
    """Components (name, type, versions from the highest down, environment → version) with their versions."""
    found = list(components)
    if not found:
        note(empty)
        return
    tty, colour = sys.stdout.isatty(), coloured(sys.stdout)
    text = []
    for name, type, versions, environments in found:
        label = f"{name} ({type})" if type else name
        text.append(click.style(label, bold=True) if colour else label)
        leaves = list(_leaves(name, versions, environments))
        for place, (leaf, live) in enumerate(leaves):
            branch = ("└── " if place == len(leaves) - 1 else "├── ") if tty else "  "
            text.append(branch + leaf + (click.style(live, fg="green") if colour else live))
    lines(text)


def _leaves(name: str, versions: Sequence[str], environments: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """The versions of one component, with where each is live."""
    live: dict[str, list[str]] = {}
    for environment, version in environments.items():
        live.setdefault(version, []).append(environment)
    shown = [version for place, version in enumerate(versions) if place < _SHOWN or version in live]
    for version in [*shown, *sorted(set(live) - set(versions))]:
        yield version, f" [{', '.join(live[version])}]" if version in live else ""
    if len(shown) < len(versions):
        yield f"and {len(versions) - len(shown)} more: edgit tag list {name}", ""
    if not versions:
        yield f"no version yet: edgit tag create {name} v1.0.0", ""


def moves_as_json(moves: Iterable[LedgerMove]) -> list[dict[str, object]]:
    """Moves as a program reads them."""
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
