"""YAML text as plain values, with the place of every one of them.

Rules:

- YAML 1.2's core schema: `true` and `false` are the only booleans (`on`, `yes` and `no` are text), `010` is ten,
  `0o10` is eight, `12:30:45` and `2024-11-12` are text; there is no `<<` merge;
- mapping keys are text, as they are in JSON, and one that stands twice is an error;
- aliases work, within a bound on what they expand to; an alias inside its own anchor, absurd depth and absurd size are
  errors;
- every error names file, line and column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from resolver.errors import InvalidEnsemble, ResolverError

#: Bounds on one text: characters, levels of nesting, and values after aliases are followed.
LARGEST = 256 * 1024
DEEPEST = 40
MOST_VALUES = 20_000

Path = tuple[str | int, ...]

_CORE = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: line and column from 1, and its text as written where it is a one-line scalar."""

    line: int
    column: int
    #: How far into the scalar's source its first character lies: 1 behind a quote, else 0; None where the source and
    #: the value do not run in step (several lines, escapes), so that a place within the value cannot be told.
    inset: int | None
    written: str | None


@dataclass(frozen=True)
class Source:
    """A YAML text, read: its value and the places of all values by their path."""

    file: str
    lines: tuple[str, ...]
    value: Any
    places: dict[Path, Place]

    def place(self, path: Path) -> Place:
        """The place of the value at this path, or of the nearest one that holds it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def error(self, path: Path, error: ResolverError | str, *, offset: int | None = None) -> InvalidEnsemble:
        """An `InvalidEnsemble` about the value at `path`, drawn with a caret below the source line.

        `offset` (or the error's own) counts within the value, where the fault is not the whole of it.
        """
        place = self.place(path)
        detail = error if isinstance(error, str) else error.detail
        within = offset if isinstance(error, str) else error.offset
        exact = place.inset is not None
        column = place.column + (place.inset or 0) + (within or 0) if exact else place.column
        text, caret = self.lines[place.line - 1] if self.lines else "", column - 1
        if not exact and not isinstance(error, str) and error.text is not None and within is not None:
            # The source does not run in step with the value: show the value itself.
            text, caret = error.text, within
        return InvalidEnsemble(
            detail,
            text=text,
            offset=caret,
            file=self.file,
            line=place.line,
            column=column,
            field=format_path(path) or None,
        )


def format_path(path: Path) -> str:
    """`flow[1].branch.then[0].agent`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Loader(yaml.SafeLoader):
    """PyYAML's scanner and parser; the tags and the values are ours."""

    # No implicit resolvers: every plain scalar comes as text and `_scalar` reads it by the core schema.
    yaml_implicit_resolvers = {}  # noqa: RUF012

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {DEEPEST} levels deep",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(text: str, file: str) -> Source:
    """Read one YAML document. Raises `InvalidEnsemble` with file, line and column."""
    lines = tuple(re.split(r"\r\n|\r|\n", text))

    def error(detail: str, mark: Any) -> InvalidEnsemble:
        line = min(mark.line, len(lines) - 1)
        return InvalidEnsemble(
            detail, text=lines[line], offset=mark.column, file=file, line=line + 1, column=mark.column + 1
        )

    if len(text) > LARGEST:
        raise InvalidEnsemble(f"{len(text):,} characters; an ensemble has at most {LARGEST:,}", file=file)
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position] if isinstance(fault.position, int) else ""
        raise InvalidEnsemble(
            f"the character U+{ord(fault.character) if isinstance(fault.character, str) else fault.character:04X} "
            "is not allowed in YAML",
            file=file,
            line=before.count("\n") + 1,
            column=len(before) - before.rfind("\n"),
        ) from None
    except yaml.MarkedYAMLError as fault:
        detail = " ".join(part for part in (fault.context, fault.problem) if part)
        mark = fault.problem_mark or fault.context_mark
        if mark is None:
            raise InvalidEnsemble(detail, file=file) from None
        raise error(detail, mark) from None
    finally:
        if loader is not None:
            loader.dispose()
    if root is None:
        raise InvalidEnsemble("the file is empty", file=file, line=1, column=1)
    reader = _Reader(error)
    value = reader.read(root, ())
    return Source(file, lines, value, reader.places)


class _Reader:
    """Nodes to values, noting each one's place. A bound on the values read stops alias bombs."""

    def __init__(self, error: Any) -> None:
        self.error = error
        self.places: dict[Path, Place] = {}
        self.open: set[int] = set()

    def read(self, node: Any, path: Path) -> Any:
        if len(self.places) >= MOST_VALUES:
            raise self.error(f"more than {MOST_VALUES:,} values, aliases followed", node.start_mark)
        if len(path) > DEEPEST:
            raise self.error(f"nested more than {DEEPEST} levels deep, aliases followed", node.start_mark)
        if id(node) in self.open:
            raise self.error("an alias stands inside the anchor that it names", node.start_mark)
        self.places[path] = _place(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                self._expect_tag(node, "seq")
                return [self.read(child, (*path, position)) for position, child in enumerate(node.value)]
            self._expect_tag(node, "map")
            return self._mapping(node, path)
        finally:
            self.open.discard(id(node))

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.error("a key is text, not a list or a mapping", key_node.start_mark)
            key = key_node.value
            if key == "<<" and key_node.style is None:
                raise self.error("`<<` merges nothing in YAML 1.2; write the fields out", key_node.start_mark)
            if key in values:
                line = first[key].start_mark.line + 1
                raise self.error(f"`{key}` stands here a second time; it was set on line {line}", key_node.start_mark)
            first[key] = key_node
            values[key] = self.read(value_node, (*path, key))
        return values

    def _expect_tag(self, node: Any, name: str) -> None:
        if node.tag not in (_CORE + name, "!"):
            raise self.error(f"the tag `{_shown_tag(node.tag)}` is not known here", node.start_mark)

    def _scalar(self, node: Any) -> Any:
        text: str = node.value
        tag = node.tag.removeprefix(_CORE)
        plain = node.style is None
        # PyYAML gives `str` to a plain scalar for want of implicit resolvers, and to one that says `!!str`.
        explicit = plain and _starts_with_tag(node)
        if tag == "str" and plain and not explicit:
            return self._core(text, node)
        if tag in ("str", "!"):
            return text
        if tag in ("null", "bool", "int", "float"):
            value = self._core(text, node)
            kinds = {"null": type(None), "bool": bool, "int": int, "float": (int, float)}
            if isinstance(value, kinds[tag]) and not (tag in ("int", "float") and isinstance(value, bool)):  # type: ignore[arg-type]
                return float(value) if tag == "float" else value
            raise self.error(f"`{text[:40]}` is not a {tag}", node.start_mark)
        raise self.error(f"the tag `{_shown_tag(node.tag)}` is not known here", node.start_mark)

    def _core(self, text: str, node: Any) -> Any:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if len(text) > 400 and text[:1] in "+-0123456789." and _FLOAT.fullmatch(text):
            raise self.error("a number of more than 400 characters; quote it if it is text", node.start_mark)
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        if _HEX.fullmatch(text):
            return int(text[2:], 16)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _INFINITE.fullmatch(text):
            return float("-inf" if text[0] == "-" else "inf")
        if _NAN.fullmatch(text):
            return float("nan")
        return text


def _starts_with_tag(node: Any) -> bool:
    mark = node.start_mark
    return mark.buffer is not None and mark.buffer[mark.pointer : mark.pointer + 1] in ("!", "&") and _tagged(mark)


def _tagged(mark: Any) -> bool:
    """Whether the properties before a scalar (anchor and tag, in any order) hold a tag."""
    source = mark.buffer[mark.pointer : mark.pointer + 200]
    return re.match(r"(?:&\S+\s+)?!", source) is not None


def _shown_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag


def _place(node: Any) -> Place:
    start, end = node.start_mark, node.end_mark
    inset = None
    written = None
    if isinstance(node, yaml.ScalarNode) and start.line == end.line and start.buffer is not None:
        written = start.buffer[start.pointer : end.pointer]
        if written == node.value:
            inset = 0
        elif written[1:-1] == node.value:
            inset = 1
    return Place(start.line + 1, start.column + 1, inset, written)
