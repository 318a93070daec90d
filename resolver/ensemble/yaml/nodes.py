"""What a YAML text is made of, before its values are read: scalars, lists and mappings with their tags and places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

#: The tags of YAML's own types begin so.
CORE = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A text; `content` is where it is written, without its quotes or its `|`. `plain` if it has neither."""

    start: int
    tag: str | None
    text: str
    content: slice
    plain: bool


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A list."""

    start: int
    tag: str | None
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """Keys with their values, as they stand."""

    start: int
    tag: str | None
    pairs: tuple[tuple[Node, Node], ...]


Node: TypeAlias = Scalar | Sequence | Mapping
