"""What a person reads at the terminal, and what a program reads from a pipe.

Rules:

- answers go to standard output, everything said about them to standard error;
- at a terminal there are colours, and lines fit its width; in a pipe neither colours nor boxes, and nothing is cut;
- times are written with their zone, in the form that `--date` reads.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from edgit.ledger import LedgerMove
from resolver.history import format_instant

#: Versions that a tree shows of one component, besides those that are live.
_SHOWN = 10


def console(file: IO[str] | None = None) -> Console:
    """Standard output, or another file, as rich writes it."""
    target = file or sys.stdout
    tty = target.isatty()
    # In a pipe nothing is wrapped: whoever reads it splits lines.
    return Console(file=target, width=None if tty else 10_000, highlight=False, soft_wrap=not tty, emoji=False)


def error_console() -> Console:
    """Standard error."""
    return console(sys.stderr)


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
    error_console().print(Text("note: ", style="cyan"), Text(text), sep="", soft_wrap=True)


def warn(text: str) -> None:
    """Something that may have to be dealt with."""
    error_console().print(Text("warning: ", style="yellow"), Text(text), sep="", soft_wrap=True)


def next_step(text: str) -> None:
    """The exact next command."""
    error_console().print(Text("next: ", style="bold"), Text(text), sep="", soft_wrap=True)


def fail(detail: str, hint: str | None) -> None:
    """An error, and what to do about it."""
    err = error_console()
    err.print(Text("error: ", style="bold red"), Text(detail), sep="", soft_wrap=True)
    if hint:
        err.print(Text(hint), soft_wrap=True)


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
    out = console()
    if out.is_terminal:
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            shown.add_column(column, overflow="fold")
        for row in found:
            shown.add_row(*map(escape, row))
        out.print(shown)
        return
    whole = [list(columns), *found]
    widths = [max(len(row[place]) for row in whole) for place in range(len(columns))]
    lines("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in whole)


def component_tree(components: Iterable[tuple[str, str | None, Sequence[str], Mapping[str, str]]], empty: str) -> None:
    """Components (name, type, versions from the highest down, environment → version) with their versions."""
    found = list(components)
    if not found:
        note(empty)
        return
    out = console()
    for name, type, versions, environments in found:
        live: dict[str, list[str]] = {}
        for environment, version in environments.items():
            live.setdefault(version, []).append(environment)
        label = f"{name} ({type})" if type else name
        kept = [v for place, v in enumerate(versions) if place < _SHOWN or v in live]
        kept += [version for version in sorted(live) if version not in versions]
        leaves = [version + (f" [{', '.join(live[version])}]" if version in live else "") for version in kept]
        if len(kept) < len(versions):
            leaves.append(f"and {len(versions) - len(kept)} more: edgit tag list {name}")
        if not versions:
            leaves.append(f"no version yet: edgit tag create {name} v1.0.0")
        if out.is_terminal:
            tree = Tree(Text(label, style="bold"))
            for leaf in leaves:
                text = Text(leaf)
                text.highlight_regex(r"\[.*\]$", "green")
                tree.add(text)
            out.print(tree)
        else:
            lines([label, *(f"  {leaf}" for leaf in leaves)])


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
