"""What stands around the one document of a text: directives, the marks `---` and `...`, comments.

Rules:

- a text holds one document, as an ensemble's file does;
- a line that begins with `---` or `...` ends what stands before it, whatever that is;
- `%YAML` says 1.2 or nothing: 1.1 means other values. Directives that YAML does not define are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from resolver.ensemble.yaml.nodes import CORE
from resolver.ensemble.yaml.places import Lines

_MARK = re.compile(r"^(?:---|\.\.\.)(?=[ \t\n]|\Z)", re.MULTILINE)
_BLANK = re.compile(r"[ \t]*(?:#.*)?")
_ENDED = re.compile(r"\.\.\.(?:[ \t]+(?:#.*)?)?")
_COMMENT = re.compile(r"[ \t]#")
_WORD = re.compile(r"[^ \t]+")
_VERSION = re.compile(r"[0-9]+\.[0-9]+")
_HANDLE = re.compile(r"!|![0-9A-Za-z-]*!")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the document's content begins and ends, and what the tags' handles stand for."""

    start: int
    end: int
    handles: dict[str, str]


def find_document(lines: Lines) -> Bounds:
    """The one document of the text. Raises `InvalidEnsemble` where there are none or several."""
    text = lines.text
    start, handles = _prologue(lines)
    if start == len(text):
        raise lines.error("the file is empty", 0)
    mark = _MARK.match(text, start)
    if mark and mark[0] == "---":
        start = mark.end()
    ending = _MARK.search(text, start)
    end = ending.start() if ending else len(text)
    for position, line in _lines_from(text, end):
        if not (_BLANK.fullmatch(line) or _ENDED.fullmatch(line)):
            raise lines.error("a second document begins here; a file holds one", position)
    return Bounds(start, end, handles)


def _prologue(lines: Lines) -> tuple[int, dict[str, str]]:
    """Where the directives end, and the handles that they define."""
    handles = {"!": "!", "!!": CORE}
    seen: set[str] = set()
    position = 0
    for position, line in _lines_from(lines.text, 0):
        if line.startswith("%"):
            _read_directive(lines, position, line, handles, seen)
        elif not _BLANK.fullmatch(line) and (seen or not _ENDED.fullmatch(line)):
            break
    else:
        position = len(lines.text)
    mark = _MARK.match(lines.text, position)
    if seen and not (mark and mark[0] == "---"):
        raise lines.error("after a directive stands `---`", position)
    return position, handles


def _read_directive(lines: Lines, position: int, line: str, handles: dict[str, str], seen: set[str]) -> None:
    """`seen` takes what may stand once: `%YAML`, and each handle."""
    comment = _COMMENT.search(line)
    name, *words = _WORD.findall(line[: comment.start()] if comment else line)
    what = name
    if name == "%YAML":
        if len(words) != 1 or not _VERSION.fullmatch(words[0]) or name in seen:
            raise lines.error("`%YAML` stands once, with its version: %YAML 1.2", position)
        if words[0] != "1.2":
            raise lines.error(f"this is read as YAML 1.2 and not {words[0][:8]}; take the line out", position)
    elif name == "%TAG":
        if len(words) != 2 or not _HANDLE.fullmatch(words[0]) or words[0] in seen:
            raise lines.error("`%TAG` stands once for a handle, with a prefix: %TAG !e! tag:example.com:", position)
        what = words[0]
        handles[what] = words[1]
    seen.add(what)


def _lines_from(text: str, position: int) -> Iterator[tuple[int, str]]:
    """The lines from here on, each with its place."""
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        yield position, text[position:end]
        position = end + 1
