"""Every error that the core raises, each one written for the person who reads it.

Rules:

- an error says what was wrong (`detail`), and where: file, line, column, field;
- `text` and `offset` are the piece of source at fault and the place in it, drawn as a caret;
- a class carries the HTTP status and title that belong to it, so that no caller has to guess;
- errors are values: `located` changes nothing, and gives a copy that knows more about its place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, Self

#: Longest piece of source shown above a caret, in characters.
SHOWN = 96


class ResolverError(ValueError):
    """What was wrong and where. Lines and columns count from 1, `offset` from 0 within `text`."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Malformed request"

    def __init__(
        self,
        detail: str,
        *,
        text: str | None = None,
        offset: int | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.text = text
        self.offset = offset
        self.file = file
        self.line = line
        self.column = column
        self.field = field

    def located(
        self,
        *,
        text: str | None = None,
        offset: int | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        field: str | None = None,
    ) -> Self:
        """A copy of this error with the places that are given; what is not given stays."""
        return type(self)(
            self.detail,
            text=self.text if text is None else text,
            offset=self.offset if offset is None else offset,
            file=self.file if file is None else file,
            line=self.line if line is None else line,
            column=self.column if column is None else column,
            field=self.field if field is None else field,
        )

    @property
    def caret(self) -> str | None:
        """The source at fault with a caret below the place, two lines; None without a place."""
        if self.text is None or self.offset is None:
            return None
        before = self.text[: self.offset].rpartition("\n")[2]
        line = before + self.text[self.offset :].partition("\n")[0]
        start = max(0, len(before) - SHOWN // 2)
        shown = line[start : start + SHOWN].replace("\t", " ")
        return f"{shown}\n{' ' * (len(before) - start)}^"

    @property
    def where(self) -> str:
        """`file:line:column`, as far as it is known; the empty string when nothing is."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def __str__(self) -> str:
        head = ": ".join(part for part in (self.where, self.field, self.detail) if part)
        caret = self.caret
        return head if caret is None else head + "\n  " + caret.replace("\n", "\n  ")


class InvalidRequest(ResolverError):
    """A field of a request that is not what it should be."""


class InvalidReference(ResolverError):
    """A reference that cannot be read."""

    title = "Malformed reference"


class InvalidVersion(ResolverError):
    """A version or a range that is none."""

    title = "Malformed version"


class InvalidExpression(ResolverError):
    """An expression that cannot be parsed whole."""

    title = "Malformed expression"


class InvalidInstant(ResolverError):
    """An instant that names no single moment."""

    title = "Malformed instant"


class InvalidPercentage(ResolverError):
    """A percentage that is none, or lies outside 0 to 100."""

    title = "Malformed percentage"


class InvalidDocument(ResolverError):
    """A stored document (version map, rollout table, history, index) that cannot be read at all."""

    status = 503
    title = "Unreadable document"


class InvalidEnsemble(ResolverError):
    """An ensemble that cannot be loaded."""

    status = 422
    title = "Invalid ensemble"


class NotFound(ResolverError):
    """A component, pointer, version or ensemble that is not there; `detail` says what is there instead."""

    status = 404
    title = "Not found"


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """`a, b, c and 9 more`, sorted; `none` when there are none."""
    known = sorted(set(names))
    if not known:
        return "none"
    rest = len(known) - most
    return ", ".join(known[:most]) + (f" and {rest} more" if rest > 0 else "")


def nearest(name: str, names: Iterable[str]) -> str:
    """` Did you mean `x`?` where one of the names is close to `name`, else the empty string."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.75)
    return f" Did you mean `{close[0]}`?" if close else ""
