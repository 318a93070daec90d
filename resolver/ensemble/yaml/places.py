"""Where every value of a YAML text stands, and errors that show it.

Lines end as an editor ends them: at a line feed, a carriage return or both, and nowhere else. Lines and columns count
from 1, indexes from 0.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from resolver.errors import InvalidEnsemble, ResolverError

Path = tuple[str | int, ...]


class Lines:
    """A file's text by lines. `text` has lost its byte order mark, and each of its lines ends in a line feed alone."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self.file = file
        self.starts = [0, *(found.end() for found in re.finditer("\n", self.text))]

    def position(self, index: int) -> tuple[int, int]:
        """Line and column, both from 1."""
        line = bisect_right(self.starts, index)
        return line, index - self.starts[line - 1] + 1

    def error(self, detail: str, index: int) -> InvalidEnsemble:
        """An `InvalidEnsemble` about what stands at `index`, drawn with a caret below its line."""
        line, column = self.position(index)
        text = self.text[self.starts[line - 1] :].partition("\n")[0]
        return InvalidEnsemble(detail, text=text, offset=column - 1, file=self.file, line=line, column=column)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the index of its first character, of a scalar its content without quotes or `|`, and the
    index of its key if it has one."""

    index: int
    content: slice | None
    key: int | None = None


@dataclass(frozen=True)
class YamlFile:
    """A YAML text, read: its value, and the place of each value by its path."""

    lines: Lines
    value: Any
    places: dict[Path, Place]

    def at(self, path: Path) -> Any:
        """The value at this path."""
        value = self.value
        for part in path:
            value = value[part]
        return value

    def place(self, path: Path) -> Place:
        """The place of the value at this path, or of the nearest one that holds it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def line(self, path: Path) -> int:
        """The line, from 1, on which the value begins."""
        return self.lines.position(self.place(path).index)[0]

    def written(self, path: Path) -> str:
        """A scalar's content as it was written; the empty string for a list or a mapping."""
        content = self.place(path).content
        return self.lines.text[content] if content is not None else ""

    def error(self, path: Path, error: ResolverError | str) -> InvalidEnsemble:
        """An `InvalidEnsemble` about the value at `path`, drawn with a caret below the source line.

        An error that has an offset within the value is drawn there, where that can be told.
        """
        detail = error if isinstance(error, str) else error.detail
        field = format_path(path) or None
        index = self.place(path).index
        if isinstance(error, str) or error.offset is None:
            return self.lines.error(detail, index).located(field=field)
        within = self._index(path, error.offset)
        if within is not None:
            return self.lines.error(detail, within).located(field=field)
        # Escapes part the source from the value: say where the value begins, and show the value itself.
        return self.lines.error(detail, index).located(field=field, text=error.text, offset=error.offset)

    def key_error(self, path: Path, detail: str) -> InvalidEnsemble:
        """An `InvalidEnsemble` about the key that the value at `path` stands under."""
        key = self.place(path).key
        assert key is not None
        return self.lines.error(detail, key).located(field=format_path(path))

    def _index(self, path: Path, offset: int) -> int | None:
        """Where the character at `offset` of a text is written; None where that cannot be told."""
        content, value = self.place(path).content, self.at(path)
        if content is None or not isinstance(value, str):
            return None
        written = self.lines.text[content]
        if written == value:
            return int(content.start + offset)
        # Folding and indenting change nothing but white space: find the place by counting the other characters.
        ink = [index for index, character in enumerate(written) if not character.isspace()]
        if [written[index] for index in ink] != [character for character in value if not character.isspace()]:
            return None
        before = sum(not character.isspace() for character in value[:offset])
        if offset < len(value) and not value[offset].isspace():
            return int(content.start + ink[before])
        return int(content.start + (ink[before - 1] + 1 if before else 0))


def format_path(path: Path) -> str:
    """`flow[1].branch.then[0].agent`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
