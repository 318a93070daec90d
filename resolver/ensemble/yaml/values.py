"""YAML text as plain values, with the place of every one of them.

Rules:

- YAML 1.2's core schema: `true` and `false` are the only booleans (`on`, `yes` and `no` are text), `010` is ten,
  `0o10` is eight, `12:30:45` and `2024-11-12` are text; there is no `<<` merge;
- mapping keys are text, as they are in JSON. One that stands twice is an error, and so is one that YAML reads as
  something else that is spelled otherwise (`1.0`, `0x14`, `True`, `~`, nothing at all): it is to be quoted;
- aliases work, within a bound on what they expand to; an alias inside its own anchor, absurd depth and absurd size are
  errors;
- every error names file, line and column.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from resolver.ensemble.yaml.loader import DEEPEST, Loader
from resolver.ensemble.yaml.places import Lines, Path, Place, YamlFile
from resolver.errors import InvalidEnsemble
from resolver.expression.javascript import to_text

#: Bounds on one text: characters, and values after aliases are followed.
LARGEST = 256 * 1024
MOST_VALUES = 20_000
#: Longest number, in characters: Python and JSON writers refuse to turn much longer ones into text again.
LONGEST_NUMBER = 400

_CORE = "tag:yaml.org,2002:"
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

#: What stands before a scalar's content: anchor and tag, then the line of a `|` or `>`, or a quote.
_HEAD = re.compile(r"(?:[&!]\S*\s+)*(?:[|>][^\n]*\n?|[\"']?)")


#: A quoted text; or, as the group, a placeholder outside of one, with all that touches it.
_PLACEHOLDER = re.compile(
    r"""\"(?:[^"\\]|\\.)*\"|'(?:[^']|'')*'"""
    r"""|([^\s,{}\[\]"':]*(?:\$\{[^{}\n]*\}|\{\{[^{}\n]*\}\})(?:\$\{[^{}\n]*\}|[^\s,{}\[\]])*)"""
)


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
    try:
        return _read(lines)
    except InvalidEnsemble as error:
        raise _quote_it(lines, error) from None


def _read(lines: Lines) -> YamlFile:
    breaks = _LineBreaks(lines.text)
    root = _composed(lines, breaks)
    if root is None:
        raise lines.error("the file is empty", 0)
    reader = _Reader(lines, breaks)
    return YamlFile(lines, reader.read(root, ()), reader.places)


def _quote_it(lines: Lines, error: InvalidEnsemble) -> InvalidEnsemble:
    """The error; where its line can be read once a placeholder is quoted, one that says so and shows that line."""
    start = lines.starts[(error.line or 1) - 1]
    line = lines.text[start:].partition("\n")[0]
    bare = [found for found in _PLACEHOLDER.finditer(line) if found[1]]
    if not bare:
        return error
    detail = f"YAML reads the braces of `{bare[0][0]}` as its own; "
    if not all(_stands_alone(line, found.start(), found.end()) for found in bare):
        return lines.error(detail + "put the whole text that it stands in between quotes", start + bare[0].start())
    quoted = _PLACEHOLDER.sub(lambda found: _in_quotes(found[0]) if found[1] else found[0], line)
    try:
        _read(Lines(lines.text[:start] + quoted + lines.text[start + len(line) :], lines.file))
    except InvalidEnsemble as other:
        if other.line == error.line:
            return error
    return lines.error(f"{detail}quote it: `{quoted.strip()}`", start + bare[0].start())


def _stands_alone(line: str, start: int, end: int) -> bool:
    """Whether what is there is a value or an item by itself, and not a part of a longer text."""
    before, behind = line[:start].rstrip(), line[end:].lstrip()
    return before[-1:] in ("", ":", ",", "[", "{", "-") and behind[:1] in ("", ",", "]", "}", "#")


def _in_quotes(placeholder: str) -> str:
    return f"'{placeholder}'" if '"' in placeholder else f'"{placeholder}"'


def _composed(lines: Lines, breaks: _LineBreaks) -> Any:
    """PyYAML's root node."""
    loader = Loader(breaks.hidden(lines.text).removesuffix("\n") + "\n")
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as fault:
        detail = " ".join(part for part in (fault.context, fault.problem) if part)
        mark = fault.problem_mark or fault.context_mark
        # The line end that was added is not the reader's.
        raise lines.error(breaks.shown(detail), min(mark.index, len(lines.text)) if mark is not None else 0) from None
    except (ValueError, OverflowError):
        # PyYAML hands what it read to `chr` and `int` unchecked.
        raise lines.error(
            "an escape or a number beyond what there is", min(loader.get_mark().index, len(lines.text))
        ) from None
    finally:
        loader.dispose()


class _LineBreaks:
    """The characters that end lines for PyYAML, and none in YAML 1.2. Others stand for them while it reads."""

    def __init__(self, text: str) -> None:
        free = (code for code in range(0xE000, 0xF900) if chr(code) not in text)
        self.stand_ins = dict(zip((0x85, 0x2028, 0x2029), free, strict=False))
        self.back = {stand_in: code for code, stand_in in self.stand_ins.items()}

    def hidden(self, text: str) -> str:
        return text.translate(self.stand_ins)

    def shown(self, text: str) -> str:
        return text.translate(self.back)


class _Reader:
    """Nodes to values, noting each one's place. A bound on the values read stops alias bombs."""

    def __init__(self, lines: Lines, breaks: _LineBreaks) -> None:
        self.lines = lines
        self.breaks = breaks
        self.places: dict[Path, Place] = {}
        self.open: set[int] = set()

    def error(self, detail: str, node: Any) -> InvalidEnsemble:
        return self.lines.error(detail, node.start_mark.index)

    def read(self, node: Any, path: Path, key: int | None = None) -> Any:
        if len(self.places) >= MOST_VALUES:
            raise self.error(f"more than {MOST_VALUES:,} values, aliases followed", node)
        if len(path) > DEEPEST:
            raise self.error(f"nested more than {DEEPEST} levels deep, aliases followed", node)
        if id(node) in self.open:
            raise self.error("an alias stands inside the anchor that it names", node)
        self.places[path] = self._place(node, key)
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
            key = self._key(key_node)
            if key in values:
                line, _ = self.lines.position(first[key].start_mark.index)
                raise self.error(f"`{key}` stands here a second time; it was set on line {line}", key_node)
            first[key] = key_node
            values[key] = self.read(value_node, (*path, key), key_node.start_mark.index)
        return values

    def _key(self, node: Any) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self.error("a key is text, not a list or a mapping", node)
        key = self._text(node)
        if node.tag not in (Loader.PLAIN, _CORE + "str"):
            raise self.error(f"a key is text; the tag `{_shown_tag(node.tag)}` cannot stand here", node)
        if node.tag != Loader.PLAIN:
            return key
        if key == "<<":
            raise self.error("`<<` merges nothing in YAML 1.2; write the fields out", node)
        if not key:
            raise self.error("a key is missing before this `:`", node)
        read = self._core(key, node)
        if not isinstance(read, str) and to_text(read) != key:
            raise self.error(f'as a key this is `{to_text(read)}` to YAML; quote it: "{key}"', node)
        return key

    def _text(self, node: Any) -> str:
        """The text of a scalar; `"\\ud83d\\ude00"`, as JSON writes it, is one character."""
        text = self.breaks.shown(node.value)
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
        if tag == Loader.PLAIN:
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

    def _place(self, node: Any, key: int | None) -> Place:
        start, end = node.start_mark.index, node.end_mark.index
        if not isinstance(node, yaml.ScalarNode):
            return Place(start, None, key)
        head = _HEAD.match(self.lines.text, start, end)
        inside = head.end() if head else start
        return Place(start, slice(inside, end - 1 if node.style in ("'", '"') else end), key)


def _shown_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
