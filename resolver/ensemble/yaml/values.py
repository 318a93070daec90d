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
from typing import Any

import yaml

from resolver.ensemble.yaml.places import Lines, Path, Place, YamlFile
from resolver.errors import InvalidEnsemble

#: Bounds on one text: characters, levels of nesting, and values after aliases are followed.
LARGEST = 256 * 1024
DEEPEST = 40
MOST_VALUES = 20_000
#: Longest number, in characters: Python and JSON writers refuse to turn much longer ones into text again.
LONGEST_NUMBER = 400

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

#: What stands before a scalar's content: anchor and tag, then the line of a `|` or `>`, or a quote.
_HEAD = re.compile(r"(?:[&!]\S*\s+)*(?:[|>][^\r\n]*(?:\r\n|\r|\n)?|[\"']?)")


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


def read_yaml(text: str, file: str) -> YamlFile:
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
    return YamlFile(lines, value, reader.places)


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
