"""The message of an entry's commit, which says everything.

Rules:

- its last paragraph is one line for each change, then the generation: the past is read from messages alone;
- what `write_message` writes, `read_message` reads;
- names and paths may hold anything. The characters that a line is made of are escaped.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from edgit.ledger.entries import NONE, Created, LedgerChange, Moved, Withdrawn
from resolver.errors import ResolverError
from resolver.instant import format_instant, parse_instant


def write_message(summary: str, changes: Sequence[LedgerChange], generation: int, reason: str | None) -> str:
    """An entry's message; `read_message` reads it again."""
    paragraphs = [summary, *([reason.strip()] if reason and reason.strip() else [])]
    trailer = [*map(_line, changes), f"Generation: {generation}"]
    return "\n\n".join([*paragraphs, "\n".join(trailer)]) + "\n"


def read_message(message: str) -> tuple[str, str | None, tuple[LedgerChange, ...], int]:
    """Summary, reason, changes and generation. Raises `ValueError` for a message that is no entry's."""
    head, _, trailer = message.strip("\n").rpartition("\n\n")
    summary, _, reason = head.partition("\n\n")
    *lines, last = trailer.split("\n")
    if not (found := _GENERATION.fullmatch(last)):
        raise ValueError("its last line is no generation")
    return summary, reason.strip() or None, tuple(map(_change, lines)), int(found[1])


_GENERATION = re.compile(r"Generation: ([0-9]+)")


def _line(change: LedgerChange) -> str:
    said: list[tuple[str, str | None]]
    if isinstance(change, Moved):
        head = f"Move: {change}"
        said = [
            ("tag", f"{change.tag_before or NONE} -> {change.tag or NONE}"),
            ("version", change.version_tag or NONE),
        ]
    elif isinstance(change, Withdrawn):
        head, said = f"{'Withdraw' if change.withdrawn else 'Reinstate'}: {change.name}", []
    else:
        head = f"Version: {change.name}"
        said = [
            ("tag", change.tag),
            ("commit", change.commit),
            ("file", f"{change.type or NONE} {change.path or ''}" if change.path or change.type else None),
        ]
    said += [("at", format_instant(change.at) if change.at else None), ("by", change.actor)]
    return "; ".join([head, *(f"{name} {_escaped(value)}" for name, value in said if value is not None)])


def _change(line: str) -> LedgerChange:
    kind, _, rest = line.partition(": ")
    head, *parts = rest.split("; ")
    told = {name: _unescaped(value) for name, _, value in (part.partition(" ") for part in parts)}
    name, *words = head.split(" ")
    component, _, slot = name.removeprefix("components/").rpartition("/")
    try:
        at = _instant(told["at"]) if "at" in told else None
        if kind == "Move":
            before, _, after = words
            tag_before, tag = told["tag"].split(" -> ")
            return Moved(
                component,
                slot,
                _value(before),
                _value(after),
                _value(tag_before),
                _value(tag),
                _value(told["version"]),
                at,
                told.get("by"),
            )
        if kind == "Version":
            type, _, path = told.get("file", "").partition(" ")
            return Created(component, slot, told["tag"], told["commit"], _value(type), path or None, at, told.get("by"))
        if kind in ("Withdraw", "Reinstate"):
            return Withdrawn(component, slot, kind == "Withdraw", at, told.get("by"))
    except (KeyError, ValueError, ResolverError):
        raise ValueError(f"`{line[:80]}` is no change") from None
    raise ValueError(f"`{line[:80]}` is no change")


# Of a hundred thousand changes many are of one moment.
_instant = functools.lru_cache(maxsize=4096)(parse_instant)


# What people and paths are called may hold anything: the characters that a line is made of are written as `%3B`, and so
# are bytes that are no UTF-8.
_SPECIAL = re.compile(r"[%;\x00-\x1f\x7f\u0085\u2028\u2029\udc80-\udcff]")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: quote(found[0], safe="", errors="surrogateescape"), text)


def _unescaped(text: str) -> str:
    return unquote(text, errors="surrogateescape") if "%" in text else text


def _value(text: str) -> str | None:
    return None if text in (NONE, "") else text
