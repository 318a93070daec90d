"""What keeps a file from being a version: KV holds text of a bounded size, and what is served should be meant.

A doubt (conflict markers, a pointer of Git LFS) may be meant after all, and a fault never.
"""

from __future__ import annotations

import re

from edgit.kv.store import LARGEST_VALUE

_LFS = b"version https://git-lfs.github.com/spec/"
_CONFLICT = re.compile(rb"^<{7} .*\r?\n(?:.*\r?\n)*?={7}\r?\n(?:.*\r?\n)*?>{7} ", re.MULTILINE)


def content_fault(data: bytes) -> str | None:
    """Why KV cannot hold a file; None where it can."""
    if len(data) > LARGEST_VALUE:
        return f"it has {len(data):,} bytes, and KV takes {LARGEST_VALUE:,} (25 MiB)"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return f"it is not UTF-8 text (byte {error.start:,}, line {line:,}){_guess(data)}"
    return None


def content_doubt(data: bytes) -> str | None:
    """What in a file was probably not meant to be served; None where nothing was."""
    if data.startswith(_LFS):
        return "it is a pointer of Git LFS and not the file itself: take it out of LFS, or fetch it: git lfs pull"
    if found := _CONFLICT.search(data):
        line = data.count(b"\n", 0, found.start()) + 1
        return f"it has the markers of a merge conflict (line {line:,})"
    return None


def _guess(data: bytes) -> str:
    """What a file that is no UTF-8 probably is."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ", and looks like UTF-16"
    if any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in data):
        return ", and looks binary"
    return ", and looks like Latin-1: iconv -f ISO-8859-1 -t UTF-8"
