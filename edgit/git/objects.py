"""Git's objects as values: what a tree and a pack look like. Nothing here starts a process."""

from __future__ import annotations

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
