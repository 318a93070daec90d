"""Git, asked in bulk: one process for many refs or many objects, never one for each.

Rules:

- objects are read by `cat-file --batch`, and written as one pack made here, so that a command costs a handful of
  processes however much it moves;
- refs move in one `update-ref --stdin` transaction, each with the value that it must have had;
- nothing here knows what a component is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

PACK_KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


FILE_MODE = "100644"


TREE_MODE = "40000"


class Object(NamedTuple):
    """A git object: `kind` is commit, tree, blob or tag."""

    kind: str
    body: bytes


class TreeEntry(NamedTuple):
    """One line of a tree."""

    mode: str
    id: str

    @property
    def is_tree(self) -> bool:
        return self.mode == TREE_MODE

    @property
    def is_file(self) -> bool:
        """Whether it is a file, and no link, submodule or folder."""
        return self.mode.startswith("100")


def pack_header(kind: int, size: int) -> bytes:
    """The kind and size of an object in a pack: 4 bits of the size, then 7 at a time, the lowest first."""
    header = bytearray()
    byte = kind << 4 | size & 0x0F
    size >>= 4
    while size:
        header.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    header.append(byte)
    return bytes(header)


@dataclass(frozen=True, slots=True)
class AnnotatedTag:
    """An annotated tag: what it points at, who set it and when (seconds), and its message."""

    target: str
    target_kind: str
    name: str
    tagger: str | None
    at: int | None
    message: str


_PERSON = re.compile(r"(?P<who>.*) (?P<at>-?\d+) (?P<zone>[+-]\d+)$")


def read_person(line: str) -> tuple[str | None, int | None]:
    """Who and when (seconds) from `Ada <ada@example.com> 1731422700 +0000`."""
    found = _PERSON.fullmatch(line)
    return (found["who"], max(0, int(found["at"]))) if found else (None, None)


def read_headers(body: bytes) -> tuple[dict[str, str], str]:
    """The first header of each name, and the message, of a tag or a commit."""
    head, _, message = body.decode(errors="replace").partition("\n\n")
    headers: dict[str, str] = {}
    for line in head.split("\n"):
        name, _, value = line.partition(" ")
        headers.setdefault(name, value)
    return headers, message


def read_tag_object(body: bytes) -> AnnotatedTag:
    """An annotated tag from its text."""
    headers, message = read_headers(body)
    tagger, at = read_person(headers.get("tagger", ""))
    return AnnotatedTag(
        headers.get("object", ""), headers.get("type", ""), headers.get("tag", ""), tagger, at, message.strip()
    )
