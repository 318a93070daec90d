"""A JSON object or list, cut into its entries before any of them is read, so that a bad one spoils only itself.

A decoder refuses a whole document for one `NaN`, one half of a surrogate pair, one number like `01`. Here only
what holds a document together is looked at:

- strings end, and each bracket is closed by one of its kind;
- there is something between two commas; in an object that is a string, a colon, and a value without another colon;
- what an entry says does not matter here. A doubled name comes out twice.

A document that breaks these rules, for instance one that ends in its middle, cannot be cut into entries at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

#: What a decoder raises. RecursionError: JSON that is nested absurdly deep is a decoding failure like any other.
FAILURES = (msgspec.DecodeError, RecursionError, UnicodeError)
#: What JSON takes for white space.
SPACE = b" \t\r\n"
BYTE_ORDER_MARK = "\ufeff".encode()

_text = msgspec.json.Decoder(str)
_raw_map = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_maps = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
#: A single quotation mark opens a string that does not end. Behind a backslash, outside of strings, it opens none.
_TOKEN = re.compile(_STRING.pattern + rb'|\\["\\]|["\[\]{},:]', re.DOTALL)
_CLOSED_BY = {b"{": b"}", b"[": b"]"}
#: An escape that JSON may not know, and half a surrogate pair.
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4})?")


class Member(NamedTuple):
    """A member of an object. If its name is not a JSON text `fault` says so, and `name` is what can be read of it."""

    name: str
    value: bytes
    fault: str = ""


def plain(text: str | bytes) -> bytes:
    """A document's bytes, without a byte order mark. Half a surrogate pair is not UTF-8, and stays as it is."""
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    return data.removeprefix(BYTE_ORDER_MARK)


def members(text: bytes) -> list[Member] | None:
    """The members of an object, as listed; None for a text that is not an object, or is broken."""
    try:
        read = _raw_map.decode(text)
    except FAILURES:
        return _members(text)
    # The other way is slow, and seldom needed.
    return [Member(name, bytes(value)) for name, value in read.items()] if _all_kept(text, read) else _members(text)


def none_doubled(text: bytes) -> bool:
    """Whether a text is a list of objects, and no name stands twice in one of them."""
    try:
        return _all_kept(text, _raw_maps.decode(text))
    except FAILURES:
        return False


def _all_kept(text: bytes, read: object) -> bool:
    """Whether a decoder has left out no member: of a doubled name it keeps one."""
    return quotes(msgspec.json.encode(read)) == quotes(text)


def doubled(found: Sequence[Member]) -> list[str]:
    """The names that stand more than once, sorted."""
    names = [member.name for member in found if not member.fault]
    if len(names) == len(set(names)):
        return []
    return sorted(name for name, count in Counter(names).items() if count > 1)


def quotes(text: bytes) -> int:
    """How many quotation marks stand around texts. They show whether a decoder has left a member out."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.count(b'"')


def _members(text: bytes) -> list[Member] | None:
    places = _split(text, b"{")
    if places is None:
        return None
    found = []
    for start, colons, stop in places:
        if len(colons) != 1:
            return None
        written = text[start : colons[0]].strip(SPACE)
        if not _STRING.fullmatch(written):
            return None
        found.append(_member(written, text[colons[0] + 1 : stop].strip(SPACE)))
    return found


def elements(text: bytes) -> list[bytes] | None:
    """The elements of a list; None for a text that is not a list, or is broken."""
    found = _split(text, b"[")
    return None if found is None else [text[start:stop].strip(SPACE) for start, _, stop in found]


def _member(written: bytes, value: bytes) -> Member:
    try:
        return Member(_text.decode(written), value)
    except FAILURES:
        shown = written[1:-1].decode(errors="replace")
        return Member(_ESCAPE.sub("", shown), value, f"`{shown[:60]}` is no text that JSON can hold")


def _split(text: bytes, opening: bytes) -> list[tuple[int, list[int], int]] | None:
    """Where each entry begins and ends, and where its colons are, without those inside of nested values."""
    if text.lstrip(SPACE)[:1] != opening:
        return None
    found: list[tuple[int, list[int], int]] = []
    open_: list[bytes] = []
    start, colons = 0, list[int]()
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign == b'"':
            return None
        if sign in _CLOSED_BY:
            open_.append(_CLOSED_BY[sign])
            start = start or token.end()
        elif sign in (b"}", b"]"):
            if not open_ or open_.pop() != sign:
                return None
            if not open_:
                return _whole(text, [*found, (start, colons, token.start())], token.end())
        elif len(open_) == 1 and sign == b",":
            found.append((start, colons, token.start()))
            start, colons = token.end(), []
        elif len(open_) == 1 and sign == b":":
            colons.append(token.start())
    return None


def _whole(text: bytes, found: list[tuple[int, list[int], int]], end: int) -> list[tuple[int, list[int], int]] | None:
    """The entries, if nothing comes after them and there is something between all commas."""
    if text[end:].strip(SPACE):
        return None
    blank = [not text[start:stop].strip(SPACE) for start, _, stop in found]
    if blank == [True]:
        return []
    return None if any(blank) else found
