"""Errors as `application/problem+json` (RFC 9457), with the place at fault and what exists instead."""

from __future__ import annotations

import re

import msgspec

from resolver.errors import ResolverError

CONTENT_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an error. `caret` is the source at fault with a mark below the place."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    caret: str | None = None


class Refused(ResolverError):
    """A request that is refused for its form, not for what it asks."""

    def __init__(self, status: int, title: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status  # type: ignore[misc]
        self.title = title  # type: ignore[misc]
        self.headers = headers


def problem_of(error: ResolverError) -> Problem:
    """The problem document of an error."""
    return Problem(
        type="urn:edge-resolver:" + re.sub(r"[^a-z0-9]+", "-", error.title.lower()).strip("-"),
        title=error.title,
        status=error.status,
        detail=error.detail,
        field=error.field,
        file=error.file,
        line=error.line,
        column=error.column,
        caret=error.caret,
    )
