"""What a person reads at the terminal, and what a program reads from a pipe.

Rules:

- answers go to standard output, everything said about them to standard error;
- colours are for terminals, and not where NO_COLOR is set; nothing is ever cut;
- times are written with their zone, in the form that `--date` reads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO, Literal

import click

from resolver.instant import format_instant

#: Versions that a tree shows of one component, besides those that are live.
_SHOWN = 10


def coloured(file: IO[str] | None) -> bool:
    """Whether somebody who wants colours reads this."""
    return file is not None and file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Printed:
    """What this process has printed so far."""

    documents = 0


def document(value: object) -> None:
    """A JSON document, indented, one scalar a line."""
    import json  # noqa: PLC0415

    Printed.documents += 1
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def rows(values: Iterable[object]) -> None:
    """A JSON list, one value a line, so that `diff` of two shows which values differ."""
    import json  # noqa: PLC0415

    Printed.documents += 1
    joined = ",\n".join(f"  {json.dumps(value, ensure_ascii=False)}" for value in values)
    click.echo(f"[\n{joined}\n]" if joined else "[]")


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

    At a terminal that is too narrow the last column stands below the one before it, so that no row is torn.
    """
    from rich.cells import cell_len  # noqa: PLC0415

    found = list(rows)
    if not found:
        note(empty)
        return
    widths = [max(map(cell_len, column)) for column in zip(columns, *found, strict=True)]
    if not sys.stdout.isatty():
        # rich would take a millisecond for each row.
        padded = ([c + " " * (w - cell_len(c)) for c, w in zip(row, widths, strict=True)] for row in (columns, *found))
        lines("  ".join(cells).rstrip() for cells in padded)
        return
    import shutil  # noqa: PLC0415

    if sum(widths) + 2 * (len(widths) - 1) > shutil.get_terminal_size().columns:
        *columns, under = columns
        found = [(*row[:-2], f"{row[-2]}\n{under}: {row[-1]}" if row[-1] else row[-2]) for row in found]
    from rich.table import Column, Table  # noqa: PLC0415

    headings = (Column(heading, overflow="fold") for heading in columns)
    drawn = Table(*headings, box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for row in found:
        drawn.add_row(*row)
    _draw(drawn)


def component_tree(
    components: Iterable[tuple[str, str | None, Sequence[str], Mapping[str, str]]],
    empty: str,
    withdrawn: Mapping[str, Container[str]],
) -> None:
    """Components (name, type, versions from the highest down, environment → version) with their versions."""
    found = [
        (f"{name} ({type})" if type else name, _leaves(name, versions, environments, withdrawn.get(name, ())))
        for name, type, versions, environments in components
    ]
    if not found:
        note(empty)
    elif not sys.stdout.isatty():
        lines(line for label, leaves in found for line in (label, *(f"  {leaf}{live}" for leaf, live in leaves)))
    else:
        from rich.text import Text  # noqa: PLC0415
        from rich.tree import Tree  # noqa: PLC0415

        trees = [(Tree(Text(label, "bold")), leaves) for label, leaves in found]
        for tree, leaves in trees:
            for leaf, live in leaves:
                tree.add(Text.assemble(leaf, (live, "green")))
        _draw(*(tree for tree, _ in trees))


def _draw(*drawn: object) -> None:
    """Show at a terminal what rich draws."""
    from rich.console import Console  # noqa: PLC0415

    colours: Literal["standard"] | None = "standard" if coloured(sys.stdout) else None
    Console(color_system=colours, markup=False, emoji=False, highlight=False).print(*drawn)


def _leaves(
    name: str, versions: Sequence[str], environments: Mapping[str, str], withdrawn: Container[str]
) -> Iterable[tuple[str, str]]:
    """The versions of one component, with where each is live."""
    live: dict[str, list[str]] = {}
    for environment, version in environments.items():
        live.setdefault(version, []).append(environment)
    shown = [version for place, version in enumerate(versions) if place < _SHOWN or version in live]
    for version in [*shown, *sorted(set(live) - set(versions))]:
        mark = " (withdrawn)" if version in withdrawn else ""
        yield version + mark, f" [{', '.join(live[version])}]" if version in live else ""
    if len(shown) < len(versions):
        yield f"and {len(versions) - len(shown)} more: edgit tag list {name}", ""
    if not versions:
        yield f"no version yet: edgit tag create {name} v1.0.0", ""


def diff(found: Iterable[str]) -> None:
    """A unified diff."""
    colours = {"+": "green", "-": "red", "@": "cyan"} if coloured(sys.stdout) else {}
    lines(click.style(line, fg=colours[line[0]]) if line[:1] in colours else line for line in found)
