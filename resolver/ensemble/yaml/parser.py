"""From a YAML 1.2 text to nodes: one pass from left to right, by indentation.

Rules:

- what the specification forbids is an error with its place. One thing more is let be: the bracket that closes a list
  or mapping may stand as far left as the block that it is in;
- a tab may stand wherever white space parts two things of one line; only blanks indent;
- a key that has no `?` before it stands on one line and has at most 1,024 characters;
- an alias is the node of its anchor again, and cannot stand inside it.

A block is indented as its first entry is. What belongs to an entry at column `n` stands on the entry's own line, or
deeper than `n`; only a list that is a mapping's value may stand at the same column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from resolver.ensemble.yaml.cursor import NOTHING, TAB_INDENTS, Cursor, Properties
from resolver.ensemble.yaml.nodes import Mapping, Node, Scalar, Sequence
from resolver.ensemble.yaml.places import Lines
from resolver.ensemble.yaml.stream import Bounds, find_document
from resolver.errors import InvalidEnsemble, nearest

#: Levels of nesting.
DEEPEST: Final = 40
#: Longest key, in characters, that has no `?` before it.
LONGEST_KEY: Final = 1_024

_COLON = re.compile(r"[ \t]*:(?=[ \t\n]|\Z)")
_COLON_IN_FLOW = re.compile(r"[ \t]*:(?=[ \t\n,\[\]{}]|\Z)")
_COLON_AT_ENCLOSED = re.compile(r"[ \t]*:")
_INSIDE_A_LINE: Final = "no list or mapping can begin here, inside a line; text with `: ` or `- ` in it is quoted"


class Beginning(NamedTuple):
    """Where a block would begin, and why it cannot."""

    start: int
    column: int
    refused: str | None


def parse_yaml(lines: Lines) -> Node:
    """The one document of a text. Raises `InvalidEnsemble` with the place of its first fault."""
    parser = _Parser(lines, find_document(lines))
    root = parser.block_node(-1)
    parser.skip()
    if not parser.ended:
        raise parser.unexpected()
    return root


class _Parser(Cursor):
    """Each method reads what stands at the cursor and leaves the cursor behind it."""

    def __init__(self, lines: Lines, bounds: Bounds) -> None:
        super().__init__(lines, bounds)
        #: The nodes by anchor; None while one is being read.
        self.anchors: dict[str, Node | None] = {}
        #: Where the brackets begin that are open.
        self.brackets: list[int] = []
        #: Whether the node within brackets that was read last ends in a quote or a bracket.
        self.enclosed = False
        self.depth = 0

    # Faults

    def unexpected(self) -> InvalidEnsemble:
        """What stands here belongs to nothing."""
        if self.fresh and self.tabbed:
            return self.error(TAB_INDENTS)
        if self.at(":"):
            return self.error("a `:` stands here, and no key: a key stands on one line; text with `: ` in it is quoted")
        if self.fresh and self.indent > 0:
            return self.error("nothing above that this line could belong to begins at its column")
        return self.error(f"`{self.text[self.position]}` cannot stand here")

    def descend(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"nested more than {DEEPEST} levels deep")

    # Anchors and aliases

    def own(self, *, flow: bool) -> Properties:
        """The anchor and the tag here. What is read from here on stands inside the anchor."""
        found = self.properties(flow=flow)
        if found.anchor is not None:
            self.anchors[found.anchor] = None
        return found

    def both(self, outer: Properties, inner: Properties) -> Properties:
        """What stands before one node, in two lines."""
        if inner.start is None or outer.start is None:
            return outer if inner.start is None else inner
        if outer.anchor is not None and inner.anchor is not None:
            raise self.error("a second anchor; one value has one", inner.start)
        if outer.tag is not None and inner.tag is not None:
            raise self.error("a second tag; one value has one", inner.start)
        return Properties(outer.start, outer.anchor or inner.anchor, outer.tag or inner.tag)

    def anchored(self, properties: Properties, node: Node) -> Node:
        if properties.anchor is not None:
            self.anchors[properties.anchor] = node
        return node

    def alias(self, properties: Properties) -> Node:
        start = self.position
        if properties.start is not None:
            raise self.error("an alias has no anchor or tag of its own")
        name = self.name()
        if name not in self.anchors:
            hint = nearest(name, self.anchors) or (" A blank stands before a `:`." if name.endswith(":") else "")
            raise self.error(f"no anchor `{name}` stands before this alias.{hint}", start)
        node = self.anchors[name]
        if node is None:
            raise self.error("an alias stands inside the anchor that it names", start)
        return node

    # Blocks

    def block_node(self, parent: int, *, compact: bool = False, beside: bool = False) -> Node:
        """What belongs to an entry at the column `parent`, from behind its indicator on.

        `compact`: a block may begin in the same line. `beside`: a list may begin at the column `parent`.
        """
        self.descend()
        behind = self.position
        outer = NOTHING
        while True:
            self.skip()
            least = parent if beside and self.at("-") else parent + 1
            if self.ended or (self.fresh and self.indent < least):
                node: Node = self.empty(outer, behind)
                break
            inside = not (self.fresh or compact)
            refused = _INSIDE_A_LINE if inside else TAB_INDENTS if self.tabbed else None
            beginning = Beginning(self.position, self.column, refused)
            inner = self.own(flow=False)
            if inner.start is None or not (self.ended or self.fresh):
                node = self.block_content(parent, outer, inner, beginning)
                break
            outer = self.both(outer, inner)
        self.depth -= 1
        return self.anchored(outer, node)

    def block_content(self, parent: int, outer: Properties, inner: Properties, beginning: Beginning) -> Node:
        """The node here. `outer` is its own; `inner` is its first key's, if it has keys, and else its own too."""
        start, column, refused = beginning
        begin = start if outer.start is None else outer.start
        if self.at("-") or self.at("?"):
            if refused or inner.start is not None:
                raise self.error(refused or _INSIDE_A_LINE)
            if self.at("-"):
                return self.sequence(parent, column, begin, outer.tag)
            return self.mapping(column, begin, outer.tag, None)
        if self.text[self.position] in "|>":
            own = self.both(outer, inner)
            return self.anchored(own, self.block(parent, own.tag, begin))
        line, alias = self.line, self.text[self.position] == "*"
        node = self.inline(parent + 1, inner, start, flow=False)
        if self.line == line and _COLON.match(self.text, self.position):
            if refused:
                raise self.error(refused, start if refused == TAB_INDENTS else None)
            self.check_length(start)
            return self.mapping(column, begin, outer.tag, self.anchored(inner, node))
        own = self.both(outer, inner)
        if alias:
            return node if own.start is None else self.alias(own)
        if isinstance(node, Scalar) and node.plain:
            text = self.plain_goes_on(node.text, parent + 1, flow=False)
            node = replace(node, text=text, content=slice(node.content.start, self.position))
        return self.anchored(own, replace(node, start=begin, tag=own.tag))

    def goes_on(self, column: int) -> bool:
        """Whether the next line that says something is an entry of the block at this column."""
        self.skip()
        if self.ended:
            return False
        if not self.fresh or self.tabbed or self.indent > column:
            raise self.unexpected()
        return self.indent == column

    def sequence(self, parent: int, column: int, start: int, tag: str | None) -> Sequence:
        items = []
        while True:
            self.take(self.position + 1)
            items.append(self.block_node(column, compact=True))
            if not self.goes_on(column) or (column == parent and not self.at("-")):
                return Sequence(start, tag, tuple(items))
            if not self.at("-"):
                raise self.error("a further entry of this list begins with `- `")

    def mapping(self, column: int, start: int, tag: str | None, first: Node | None) -> Mapping:
        """A block of keys and values. The first key was read already, unless it has a `?`."""
        pairs: list[tuple[Node, Node]] = []
        while True:
            if first is None and self.at("?"):
                pairs.append(self.explicit_entry(column))
            else:
                key = self.key() if first is None else first
                self.skip()
                self.take(self.position + 1)
                pairs.append((key, self.block_node(column, beside=True)))
            first = None
            if not self.goes_on(column):
                return Mapping(start, tag, tuple(pairs))

    def explicit_entry(self, column: int) -> tuple[Node, Node]:
        """`? key`, and `: value` in a further line."""
        self.take(self.position + 1)
        key = self.block_node(column, compact=True, beside=True)
        if not self.goes_on(column) or not self.at(":"):
            return key, self.empty(NOTHING, self.position)
        self.take(self.position + 1)
        return key, self.block_node(column, compact=True, beside=True)

    def key(self) -> Node:
        """The key here, which ends on its line before a colon."""
        start, line = self.position, self.line
        own = self.own(flow=False)
        if self.ended or self.line != line:
            raise self.error("an anchor or a tag stands on the line of its key", start)
        if self.at("-"):
            raise self.error("an entry of a list cannot stand among keys")
        node = self.inline(0, own, start, flow=False)
        if self.line != line or not _COLON.match(self.text, self.position):
            raise self.error("a `:` is missing behind this key", start)
        self.check_length(start)
        return self.anchored(own, node)

    def check_length(self, start: int) -> None:
        if self.position - start > LONGEST_KEY:
            raise self.error(f"a key has at most {LONGEST_KEY:,} characters; a longer one begins with `? `", start)

    # What may stand within a line

    def empty(self, properties: Properties, position: int) -> Scalar:
        """A value of which nothing is written."""
        start = position if properties.start is None else properties.start
        return Scalar(start, properties.tag, "", slice(position, position), plain=True)

    def inline(self, indent: int, properties: Properties, start: int, *, flow: bool) -> Node:
        """An alias, a text in quotes, what stands in brackets, or the first line of a text without quotes."""
        tag = properties.tag
        match self.text[self.position]:
            case "*":
                return self.alias(properties)
            case '"' | "'":
                return self.quoted(indent, tag, start)
            case "[":
                return self.flow_sequence(indent, tag, start)
            case "{":
                return self.flow_mapping(indent, tag, start)
        if (_COLON_IN_FLOW if flow else _COLON).match(self.text, self.position):
            return self.empty(properties, self.position)
        begin = self.position
        text = self.plain_line(flow=flow)
        if text is None:
            raise self.unexpected()
        return Scalar(start, tag, text, slice(begin, self.position), plain=True)

    # Within brackets: no block can stand there

    def flow_skip(self, indent: int) -> str:
        """To what comes next: its first character. Its line is indented by `indent` at least, unless it closes."""
        self.skip()
        if self.ended:
            opening = self.brackets[-1]
            closing = "]" if self.text[opening] == "[" else "}"
            raise self.error(f"`{self.text[opening]}` has no `{closing}`", opening)
        character = self.text[self.position]
        if self.fresh and self.indent < (indent - 1 if character in "]}" else indent):
            if self.tabbed:
                raise self.unexpected()
            raise self.error(f"a line within these brackets is indented by {indent} at least")
        return character

    def flow_sequence(self, indent: int, tag: str | None, start: int) -> Sequence:
        return Sequence(start, tag, tuple(self.flow_entry(indent) for _ in self.entries(indent, "]")))

    def flow_mapping(self, indent: int, tag: str | None, start: int) -> Mapping:
        return Mapping(start, tag, tuple(self.flow_pair(indent) for _ in self.entries(indent, "}")))

    def entries(self, indent: int, closing: str) -> Iterator[None]:
        """Stops at each entry between the brackets that begin here; each is to be read before the next stop."""
        self.brackets.append(self.position)
        self.take(self.position + 1)
        while (character := self.flow_skip(indent)) != closing:
            if character == ",":
                raise self.error("nothing stands before this comma")
            yield
            character = self.flow_skip(indent)
            if character not in (",", closing):
                raise self.error(f"`,` or `{closing}` is missing before this")
            if character == ",":
                self.take(self.position + 1)
        self.brackets.pop()
        self.take(self.position + 1)

    def flow_node(self, indent: int) -> Node:
        self.descend()
        start = self.position
        own = NOTHING
        while (more := self.own(flow=True)).start is not None:
            own = self.both(own, more)
            self.flow_skip(indent)
        character = self.text[self.position]
        if character in ",]}":
            node: Node = self.empty(own, self.position)
        else:
            node = self.inline(indent, own, start, flow=True)
            if isinstance(node, Scalar) and node.plain and node.text and character != "*":
                text = self.plain_goes_on(node.text, indent, flow=True)
                node = replace(node, text=text, content=slice(node.content.start, self.position))
        self.enclosed = character in "\"'[{"
        self.depth -= 1
        return self.anchored(own, node)

    def flow_entry(self, indent: int) -> Node:
        """An entry of a list: a value, or one pair, which is a mapping of its own."""
        start, line = self.position, self.line
        if self.at("?"):
            return Mapping(start, None, (self.flow_pair(indent),))
        node = self.flow_node(indent)
        colon = self.flow_colon() if self.line == line else None
        if colon is None:
            return node
        self.check_length(start)
        return Mapping(start, None, ((node, self.flow_value(indent, colon)),))

    def flow_pair(self, indent: int) -> tuple[Node, Node]:
        """`key: value`, `key` or `: value`, each also behind a `?`."""
        if self.at("?"):
            self.take(self.position + 1)
            self.flow_skip(indent)
        key = self.flow_node(indent)
        self.flow_skip(indent)
        return key, self.flow_value(indent, self.flow_colon())

    def flow_colon(self) -> re.Match[str] | None:
        """The colon here, of the key that was read last. After a quote or a bracket it needs no blank."""
        return (_COLON_AT_ENCLOSED if self.enclosed else _COLON_IN_FLOW).match(self.text, self.position)

    def flow_value(self, indent: int, colon: re.Match[str] | None) -> Node:
        if colon is None:
            return self.empty(NOTHING, self.position)
        self.take(colon.end())
        self.flow_skip(indent)
        return self.flow_node(indent)
