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
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import yaml

from resolver.errors import InvalidEnsemble, ResolverError

#: Bounds on one text: characters, levels of nesting, and values after aliases are followed.
LARGEST = 256 * 1024
DEEPEST = 40
MOST_VALUES = 20_000
#: Longest number, in characters: Python and JSON writers refuse to turn much longer ones into text again.
LONGEST_NUMBER = 400

Path = tuple[str | int, ...]

_CORE = "tag:yaml.org,2002:"
#: The tag of a plain scalar that has none in the text, as opposed to one that says `!!str`.
_PLAIN = "plain"
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

_BREAK = re.compile(r"\r\n|\r|\n")
#: What stands before a scalar's content: anchor and tag, then the line of a `|` or `>`, or a quote.
_HEAD = re.compile(r"(?:[&!]\S*\s+)*(?:[|>][^\r\n]*(?:\r\n|\r|\n)?|[\"']?)")


class Lines:
    """A file's text by lines, as an editor counts them: YAML's parser counts U+2028 and the like as well."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.starts = [0, *(found.end() for found in _BREAK.finditer(text))]

    def position(self, index: int) -> tuple[int, int]:
        """Line and column, both from 1."""
        line = bisect_right(self.starts, index)
        return line, index - self.starts[line - 1] + 1

    def error(self, detail: str, index: int) -> InvalidEnsemble:
        """An `InvalidEnsemble` about what stands at `index`, drawn with a caret below its line."""
        line, column = self.position(index)
        text = _BREAK.split(self.text[self.starts[line - 1] :], maxsplit=1)[0]
        return InvalidEnsemble(detail, text=text, offset=column - 1, file=self.file, line=line, column=column)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the index of its first character and, of a scalar, its content without quotes or `|`."""

    index: int
    content: slice | None


@dataclass(frozen=True)
class Source:
    """A YAML text, read: its value and the places of all values by their path."""

    lines: Lines
    value: Any
    places: dict[Path, Place]

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

    def _index(self, path: Path, offset: int) -> int | None:
        """Where the character at `offset` of a text is written; None where that cannot be told."""
        content = self.place(path).content
        value = self.value
        for part in path:
            value = value[part]
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

    def compose_scalar_node(self, anchor: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        node = super().compose_scalar_node(anchor)
        if event.tag is None and event.style is None:
            node.tag = _PLAIN
        return node


def read_yaml(text: str, file: str) -> Source:
    """Read one YAML document. Raises `InvalidEnsemble` with file, line and column."""
    lines = Lines(text.removeprefix("\ufeff"), file)
    if len(text) > LARGEST:
        raise lines.error(f"{len(text):,} characters; an ensemble has at most {LARGEST:,}", LARGEST)
    loader = None
    try:
        loader = _Loader(lines.text)
        root = loader.get_single_node()
    except yaml.reader.ReaderError as fault:
        line, column = lines.position(fault.position)
        raise InvalidEnsemble(
            # Without the line itself: the character would upset whatever shows it.
            f"the character U+{fault.character:04X} is not allowed in YAML",
            file=file,
            line=line,
            column=column,
        ) from None
    except yaml.MarkedYAMLError as fault:
        detail = " ".join(part for part in (fault.context, fault.problem) if part)
        mark = fault.problem_mark or fault.context_mark
        raise lines.error(detail, mark.index if mark is not None else 0) from None
    except (ValueError, OverflowError):
        # PyYAML hands what it read to `chr` and `int` unchecked.
        assert loader is not None
        raise lines.error("an escape or a number beyond what there is", loader.get_mark().index) from None
    finally:
        if loader is not None:
            loader.dispose()
    if root is None:
        raise lines.error("the file is empty", 0)
    reader = _Reader(lines)
    value = reader.read(root, ())
    return Source(lines, value, reader.places)


class _Reader:
    """Nodes to values, noting each one's place. A bound on the values read stops alias bombs."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.places: dict[Path, Place] = {}
        self.open: set[int] = set()

    def error(self, detail: str, node: Any) -> InvalidEnsemble:
        return self.lines.error(detail, node.start_mark.index)

    def read(self, node: Any, path: Path) -> Any:
        if len(self.places) >= MOST_VALUES:
            raise self.error(f"more than {MOST_VALUES:,} values, aliases followed", node)
        if len(path) > DEEPEST:
            raise self.error(f"nested more than {DEEPEST} levels deep, aliases followed", node)
        if id(node) in self.open:
            raise self.error("an alias stands inside the anchor that it names", node)
        self.places[path] = self._place(node)
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
                raise self.error("a key is text, not a list or a mapping", key_node)
            key = self._text(key_node)
            if key_node.tag not in (_PLAIN, _CORE + "str"):
                raise self.error(f"a key is text; the tag `{_shown_tag(key_node.tag)}` cannot stand here", key_node)
            if key == "<<" and key_node.style is None:
                raise self.error("`<<` merges nothing in YAML 1.2; write the fields out", key_node)
            if key in values:
                line, _ = self.lines.position(first[key].start_mark.index)
                raise self.error(f"`{key}` stands here a second time; it was set on line {line}", key_node)
            first[key] = key_node
            values[key] = self.read(value_node, (*path, key))
        return values

    def _text(self, node: Any) -> str:
        """The text of a scalar; `"\\ud83d\\ude00"`, as JSON writes it, is one character."""
        text: str = node.value
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self.error("an escape that is half of a character", node) from None

    def _expect_tag(self, node: Any, name: str) -> None:
        if node.tag not in (_CORE + name, "!"):
            raise self.error(f"the tag `{_shown_tag(node.tag)}` is not known here", node)

    def _scalar(self, node: Any) -> Any:
        text = self._text(node)
        tag = node.tag.removeprefix(_CORE)
        if tag == _PLAIN:
            return self._core(text, node)
        if tag == "str":
            return text
        if tag in ("null", "bool", "int", "float"):
            value = self._core(text, node)
            kinds = {"null": type(None), "bool": bool, "int": int, "float": (int, float)}
            if isinstance(value, kinds[tag]) and not (tag in ("int", "float") and isinstance(value, bool)):  # type: ignore[arg-type]
                return float(value) if tag == "float" else value
            raise self.error(f"`{text[:40]}` is not a {tag}", node)
        raise self.error(f"the tag `{_shown_tag(node.tag)}` is not known here", node)

    def _core(self, text: str, node: Any) -> Any:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if len(text) > LONGEST_NUMBER and any(kind.fullmatch(text) for kind in (_FLOAT, _OCTAL, _HEX)):
            raise self.error(f"a number of more than {LONGEST_NUMBER} characters; quote it if it is text", node)
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

    def _place(self, node: Any) -> Place:
        start, end = node.start_mark.index, node.end_mark.index
        if not isinstance(node, yaml.ScalarNode):
            return Place(start, None)
        head = _HEAD.match(self.lines.text, start, end)
        inside = head.end() if head else start
        return Place(start, slice(inside, end - 1 if node.style in ("'", '"') else end))


def _shown_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
