"""How deep a JSON text is nested, found out before it is decoded.

A decoder descends with the text. CPython's recursion limit stops it. In WebAssembly the stack may end first, and the
whole isolate with it. So every JSON text from outside is measured here first, at the speed of `bytes.replace`.
"""

from __future__ import annotations

#: The deepest nesting that is read. It is ten times what any document of ours has. In WebAssembly a decoder managed
#: 2,000 levels, and took the isolate down with 3,000.
DEEPEST = 400

#: Bytes that are looked at together: a version map is 9 MB, and the copies made here would be ten times as much.
_WINDOW = 64 * 1024
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def too_deep(text: str | bytes, deepest: int = DEEPEST) -> bool:
    """Whether a decoder could descend more than `deepest` levels; twice as many in a text that is not JSON."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    if data.count(b"[") + data.count(b"{") <= deepest:
        return False
    # What is outside of strings, so that no bracket in a string can hide or close another one.
    outside = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(deepest):
        # Take the innermost level off.
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    return len(brackets) > deepest


def closed(text: bytes) -> bool:
    """Whether every string and bracket is closed again, each by its own kind. False for what is far too deep."""
    brackets, within, start = b"", False, 0
    while start < len(text):
        part = text[start : start + _WINDOW]
        # An escape is not cut in two.
        if (len(part) - len(part.rstrip(b"\\"))) % 2:
            part = text[start : start + _WINDOW + 1]
        parts = part.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        brackets += b"".join(parts[within::2]).translate(None, _NO_BRACKETS)
        for _ in range(2 * DEEPEST):
            fewer = brackets.replace(b"[]", b"").replace(b"{}", b"")
            if len(fewer) == len(brackets):
                break
            brackets = fewer
        if len(brackets) > 2 * DEEPEST:
            return False
        within ^= len(parts) % 2 == 0
        start += len(part)
    return not brackets and not within
