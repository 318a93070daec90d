"""YAML text as plain values, with the place of every one of them.

Rules:

- YAML 1.2's core schema: `true` and `false` are the only booleans (`on`, `yes` and `no` are text), `010` is ten,
  `0o10` is eight, `12:30:45` and `2024-11-12` are text; there is no `<<` merge;
- mapping keys are text, as they are in JSON. One that stands twice is an error, and so is one that YAML reads as
  something else that is spelled otherwise (`1.0`, `0x14`, `True`, `~`, nothing at all): it is to be quoted;
- tags are those of the core schema;
- aliases work, within a bound on what they expand to; absurd depth and absurd size are errors;
- every error names file, line and column.
"""

from __future__ import annotations

import re
from typing import Any, Final

from resolver.ensemble.yaml.nodes import CORE, Mapping, Node, Scalar, Sequence
from resolver.ensemble.yaml.parser import DEEPEST, parse_yaml
from resolver.ensemble.yaml.places import Lines, Path, Place, YamlFile
from resolver.errors import InvalidEnsemble
from resolver.expression.javascript import to_text

#: Bounds on one text: characters, and values after aliases are followed.
LARGEST: Final = 256 * 1024
MOST_VALUES: Final = 20_000
#: Longest number, in characters: Python and JSON writers refuse to turn much longer ones into text again.
LONGEST_NUMBER: Final = 400

#: What may not be written as it is: control characters, halves of characters, and a byte order mark within the text.
_REFUSED = re.compile("[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
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


def read_yaml(text: str, file: str) -> YamlFile:
    """Read one YAML document. Raises `InvalidEnsemble` with file, line and column."""
    lines = Lines(text, file)
    if len(text) > LARGEST:
        raise lines.error(f"{len(text):,} characters; an ensemble has at most {LARGEST:,}", LARGEST)
    if refused := _REFUSED.search(lines.text):
        line, column = lines.position(refused.start())
        # Without the line itself: the character would upset whatever shows it.
        detail = f"the character U+{ord(refused[0]):04X} is not allowed in YAML; between double quotes it is an escape"
        raise InvalidEnsemble(detail, file=file, line=line, column=column)
    reader = _Reader(lines)
    return YamlFile(lines, reader.read(parse_yaml(lines), ()), reader.places)


class _Reader:
    """Nodes to values, noting each one's place. A bound on the values read stops alias bombs."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.places: dict[Path, Place] = {}

    def error(self, detail: str, node: Node) -> InvalidEnsemble:
        return self.lines.error(detail, node.start)

    def read(self, node: Node, path: Path) -> Any:
        if len(self.places) >= MOST_VALUES:
            raise self.error(f"more than {MOST_VALUES:,} values, aliases followed", node)
        if len(path) > DEEPEST:
            raise self.error(f"nested more than {DEEPEST} levels deep, aliases followed", node)
        self.places[path] = Place(node.start, node.content if isinstance(node, Scalar) else None)
        if isinstance(node, Scalar):
            return self._scalar(node)
        kind = "seq" if isinstance(node, Sequence) else "map"
        if node.tag not in (None, CORE + kind, "!"):
            raise self.error(f"the tag `{_shown_tag(node.tag)}` is not known here", node)
        if isinstance(node, Sequence):
            return [self.read(child, (*path, position)) for position, child in enumerate(node.items)]
        return self._mapping(node, path)

    def _mapping(self, node: Mapping, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first: dict[str, Node] = {}
        for key_node, value_node in node.pairs:
            key = self._key(key_node)
            if key in values:
                line, _ = self.lines.position(first[key].start)
                raise self.error(f"`{key}` stands here a second time; it was set on line {line}", key_node)
            first[key] = key_node
            values[key] = self.read(value_node, (*path, key))
        return values

    def _key(self, node: Node) -> str:
        if not isinstance(node, Scalar):
            raise self.error("a key is text, not a list or a mapping", node)
        key = self._text(node)
        if node.tag not in (None, "!", CORE + "str"):
            raise self.error(f"a key is text; the tag `{_shown_tag(node.tag)}` cannot stand here", node)
        if not node.plain or node.tag is not None:
            return key
        if key == "<<":
            raise self.error("`<<` merges nothing in YAML 1.2; write the fields out", node)
        if not key:
            raise self.error("a key is missing before this `:`", node)
        read = self._core(key, node)
        if not isinstance(read, str) and to_text(read) != key:
            raise self.error(f'as a key this is `{to_text(read)}` to YAML; quote it: "{key}"', node)
        return key

    def _text(self, node: Scalar) -> str:
        """The text of a scalar; `"\\ud83d\\ude00"`, as JSON writes it, is one character."""
        try:
            return node.text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self.error("an escape that is half of a character", node) from None

    def _scalar(self, node: Scalar) -> Any:
        text = self._text(node)
        if node.tag is None:
            return self._core(text, node) if node.plain else text
        tag = node.tag.removeprefix(CORE)
        if tag in ("str", "!"):
            return text
        if tag in ("null", "bool", "int", "float"):
            value = self._core(text, node)
            kinds = {"null": type(None), "bool": bool, "int": int, "float": (int, float)}
            if isinstance(value, kinds[tag]) and not (tag in ("int", "float") and isinstance(value, bool)):  # type: ignore[arg-type]
                return float(value) if tag == "float" else value
            raise self.error(f"`{text[:40]}` is not a {tag}", node)
        raise self.error(f"the tag `{_shown_tag(node.tag)}` is not known here", node)

    def _core(self, text: str, node: Scalar) -> Any:
        """What a text without quotes is by the core schema."""
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


def _shown_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(CORE) if tag.startswith(CORE) else tag
