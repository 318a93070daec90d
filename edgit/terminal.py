"""What a person reads at the terminal, and what a program reads from a pipe.

Rules:

- answers go to standard output, everything said about them to standard error;
- colours are for terminals, and not where NO_COLOR is set; nothing is ever cut;
- times are written with their zone, in the form that `--date` reads.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO

import click

from resolver.history import format_instant

#: Versions that a tree shows of one component, besides those that are live.
_SHOWN = 10


def coloured(file: IO[str] | None) -> bool:
    """Whether somebody who wants colours reads this."""
    return file is not None and file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def document(value: object) -> None:
    """A JSON document, indented, one scalar a line."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def many(count: int, noun: str) -> str:
    """`1 move`, `2 moves`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


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
    """Rows under their columns; `empty` is said, apart from the answer, where there are none.

    At a terminal that is too narrow the last column stands below its row, so that no row is torn.
    """
    found = [[str(cell) for cell in row] for row in rows]
    if not found:
        note(empty)
        return
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    widths = [max(map(width, column)) for column in zip(columns, *found, strict=True)]
    if room is None or sum(widths) + 2 * (len(widths) - 1) <= room:
        heading, *text = (_row(row, widths) for row in (columns, *found))
    else:
        heading, *text = _stacked(columns, found, widths)
    lines([click.style(heading, bold=True) if coloured(sys.stdout) else heading, *text])


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell + " " * (room - width(cell)) for cell, room in zip(cells, widths, strict=True)).rstrip()


def _wrapped(text: str, indent: str) -> list[str]:
    """A text that stands 4 columns from the left, in lines of the terminal's width; all but the first are indented."""
    room = max(20, shutil.get_terminal_size().columns)
    whole = textwrap.wrap(
        text, room, initial_indent="    ", subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line[4:] if place == 0 else line for place, line in enumerate(whole)]


def _stacked(columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterable[str]:
    yield _row(columns[:-1], widths[:-1])
    for row in rows:
        yield _row(row[:-1], widths[:-1])
        if row[-1]:
            first, *rest = _wrapped(f"{columns[-1]}: {row[-1]}", "      ")
            yield from ["    " + first, *rest]


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


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
            last = place == len(leaves) - 1
            branch = ("└── " if last else "├── ") if tty else "  "
            first, *rest = _wrapped(leaf + live, "      " if last else "│     ") if tty else [leaf + live]
            if colour and live:
                first = leaf + click.style(first.removeprefix(leaf), fg="green")
                rest = [click.style(line, fg="green") for line in rest]
            text += [branch + first, *rest]
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


def diff(found: Iterable[str]) -> None:
    """A unified diff."""
    colours = {"+": "green", "-": "red", "@": "cyan"} if coloured(sys.stdout) else {}
    lines(click.style(line, fg=colours[line[0]]) if line[:1] in colours else line for line in found)
