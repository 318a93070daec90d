"""What the written form of a scalar says: lines folded, escapes read, blocks cut to their indentation.

Functions from text to text. A line ends in a line feed alone here; U+0085, U+2028 and U+2029 are characters like any
other, as YAML 1.2 has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

#: What a character after a backslash stands for.
_ESCAPES: Final = {
    **{"0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b"},
    **{" ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"},
}
#: A text between double quotes, piece by piece: an escape, white space, a line break, or all else.
_DOUBLE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|[ \t]+|\n|[^\\ \t\n]+", re.DOTALL)
_SINGLE = re.compile(r"''|[ \t]+|\n|[^' \t\n]+")
_ESCAPED_BREAK: Final = "\\\n"


class BadEscape(Exception):
    """An escape that YAML does not have; `offset` is its place in the text."""

    def __init__(self, escape: str, offset: int) -> None:
        super().__init__(escape)
        self.escape = escape
        self.offset = offset


def double_quoted(written: str) -> str:
    """What stands between double quotes. Raises `BadEscape`."""
    return _folded(written, _DOUBLE, _unescaped)


def single_quoted(written: str) -> str:
    """What stands between single quotes."""
    return _folded(written, _SINGLE, lambda piece, _: "'" if piece == "''" else piece)


def joined(breaks: int) -> str:
    """What so many line breaks in a row are in a folded text: one is a blank, and of more the first is nothing."""
    return "\n" * (breaks - 1) or " "


def _folded(written: str, pieces: re.Pattern[str], read: Callable[[str, int], str]) -> str:
    """A quoted text with its lines folded: no white space stays at a break, and the break is what it stands for."""
    text: list[str] = []
    blanks = ""
    breaks = 0
    escaped = False
    for piece in pieces.finditer(written):
        found = piece[0]
        if found[0] in " \t":
            blanks = found
        elif found == "\n":
            blanks = ""
            breaks += 1
        else:
            text.append(_between(blanks, breaks, escaped=escaped))
            blanks, breaks, escaped = "", 0, found == _ESCAPED_BREAK
            if escaped:
                breaks = 1
            else:
                text.append(read(found, piece.start()))
    text.append(_between(blanks, breaks, escaped=escaped))
    return "".join(text)


def _between(blanks: str, breaks: int, *, escaped: bool) -> str:
    if not breaks:
        return blanks
    return "" if escaped and breaks == 1 else joined(breaks)


def _unescaped(piece: str, offset: int) -> str:
    if piece[0] != "\\":
        return piece
    if len(piece) > 2:
        code = int(piece[2:], 16)
        if code > 0x10FFFF:
            raise BadEscape(piece, offset)
        return chr(code)
    if piece[1] not in _ESCAPES:
        raise BadEscape(piece, offset)
    return _ESCAPES[piece[1]]


# Blocks


def block_text(lines: list[str], *, folded: bool, chomping: str) -> str:
    """The text of a block's lines, their indentation taken off; `chomping` is `-`, `+` or nothing."""
    kept = len(lines)
    while kept and not lines[kept - 1]:
        kept -= 1
    body = lines[:kept]
    if not body:
        return "\n" * len(lines) if chomping == "+" else ""
    ending = {"-": 0, "": 1, "+": len(lines) - kept + 1}[chomping]
    return (_folded_block(body) if folded else "\n".join(body)) + "\n" * ending


def _folded_block(lines: list[str]) -> str:
    """Lines folded into one, but for those that are indented more, which keep their breaks."""
    text: list[str] = []
    blank = 0
    deeper: bool | None = None
    for line in lines:
        if not line:
            blank += 1
            continue
        before, deeper = deeper, line[0] in " \t"
        if before is None:
            text.append("\n" * blank)
        elif deeper or before:
            text.append("\n" * (blank + 1))
        else:
            text.append(joined(blank + 1))
        text.append(line)
        blank = 0
    return "".join(text)
