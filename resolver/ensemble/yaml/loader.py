"""PyYAML's loader, where YAML 1.2 parts from 1.1.

PyYAML reads YAML 1.1. What differs is mended here, token by token, or refused; nothing may be read as another value
without a word. Tokens, events and nodes stay PyYAML's own.

Rules:

- lines end at line feeds alone (`text_for_loader` sees to the rest); U+0085, U+2028 and U+2029 are characters;
- a tab parts two things of one line like a blank; only blanks indent;
- a `#` begins a comment only where nothing is written right before it;
- what belongs to an entry at column `n` stands deeper than `n`, in brackets and quotes too. The bracket that closes may
  stand as far left as the line that it belongs to.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

#: Levels of nesting.
DEEPEST: Final = 40

_TAB_INDENTS: Final = "a tab (\\t) stands where this line is indented; only blanks indent"
#: White space, comments and line breaks before a token.
_GAP = re.compile(r"(?:[ \t]*(?:(?<![^ \t\n])#[^\n]*)?\n)*[ \t]*(?:(?<![^ \t\n])#[^\n]*)?")
#: From the end of a plain text's line to where it may go on.
_NEXT_LINE = re.compile(r"[ \t]*((?:\n[ \t]*)*\n)( *)[ \t]*(?![ \t\n\0])")
_MARK = re.compile(r"(?:---|\.\.\.)(?=[ \t\n\0])")
_ANCHOR = re.compile(r"[^ \t\n\0,\[\]{}]+")
#: What stands behind a `|` or `>`: the two indicators, white space, a comment.
_HEADER = re.compile(r"([-+]?[1-9]?|[1-9][-+])[ \t]*(?:(?<=[ \t])#[^\n]*)?\n")
_VERSION = re.compile(r"%YAML[ \t]+(?!1\.2[ \t\n])")


def _plain(closing: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Text without quotes, within one line: how it begins, and how it goes on in a further line."""
    safe = rf"[^ \t\n\0{closing}]"
    part = rf"(?:[^ \t\n\0:#{closing}]|:(?={safe}))"
    rest = rf"(?:[ \t]*(?:{part}|(?<=[^ \t\n])#))*"
    first = rf"""(?:[^ \t\n\0,\[\]{{}}#&*!|>'"%@`?:-]|[?:-](?={safe}))"""
    return re.compile(first + rest), re.compile(part + rest)


#: By whether the text stands in brackets, which end it.
_PLAIN: Final = {False: _plain(""), True: _plain(r",\[\]{}")}


def _tab_indents(line: str, indent: int) -> bool:
    """Whether the first `indent` characters of a line hold a tab before anything else than blanks."""
    return line[:indent].lstrip(" ").startswith("\t")


class Loader(yaml.SafeLoader):
    """Text to nodes. Tags are not applied; every plain scalar comes as text with the tag PLAIN."""

    #: The tag of a plain scalar that has none in the text, as opposed to one that says `!!str`.
    PLAIN: Final = "plain"

    # No implicit resolvers: the core schema is read from the nodes.
    yaml_implicit_resolvers = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        #: Where tokens begin that a tab stands right before.
        self.tabbed: set[int] = set()
        self.after_block = False

    # Nodes

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if self.depth > DEEPEST:
            raise self.fault(f"nested more than {DEEPEST} levels deep", event.start_mark)
        # In YAML 1.2 an anchor may be set anew.
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        node = super().compose_scalar_node(anchor)
        if event.tag is None and event.style is None:
            node.tag = self.PLAIN
        return node

    # Where a token may begin

    def fault(self, problem: str, mark: Any = None) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=problem, problem_mark=mark or self.get_mark())

    def scan_to_next_token(self) -> None:
        gap = _GAP.match(self.buffer, self.pointer)
        assert gap is not None
        passed = gap[0]
        if self.after_block and _tab_indents(passed, max(self.indent + 1, 1)):
            raise self.fault(_TAB_INDENTS)
        self.after_block = False
        fresh = "\n" in passed or self.column == 0
        self.forward(len(passed))
        white = passed.rpartition("\n")[2]
        if "\n" in passed and not self.flow_level:
            self.allow_simple_key = True
        if "\t" in white:
            self.tabbed.add(self.index)
        if self.peek() == "\0" or not fresh:
            return
        indent = len(white) - len(white.lstrip(" "))
        least = self.indent if self.flow_level and self.peek() in "]}" else self.indent + 1
        if indent < least and self.flow_level:
            raise self.fault(
                _TAB_INDENTS if "\t" in white else f"a line in brackets is indented by {least} at least here"
            )
        if indent <= self.indent and "\t" in white:
            raise self.fault(_TAB_INDENTS)
        if indent <= self.indent and self.peek() in "|>":
            raise self.fault("a block of text begins deeper than what it belongs to")

    def refuse_tab(self, mark: Any) -> None:
        """A block's entry that a tab stands before, which would indent it."""
        if not self.flow_level and mark.index in self.tabbed:
            raise self.fault(_TAB_INDENTS, mark)

    def fetch_block_entry(self) -> None:
        self.refuse_tab(self.get_mark())
        super().fetch_block_entry()

    def fetch_key(self) -> None:
        self.refuse_tab(self.get_mark())
        super().fetch_key()

    def fetch_value(self) -> None:
        key = self.possible_simple_keys.get(self.flow_level)
        self.refuse_tab(key.mark if key else self.get_mark())
        super().fetch_value()

    def check_key(self) -> bool:
        return self.peek(1) in " \t\n\0"

    def check_value(self) -> bool:
        after = self.peek(1)
        if after in " \t\n\0" or (self.flow_level and after in ",[]{}"):
            return True
        # Behind a key in quotes or brackets a colon needs no blank.
        key = self.possible_simple_keys.get(self.flow_level) if self.flow_level else None
        return key is not None and self.buffer[self.pointer + key.index - self.index] in "\"'[{"

    def check_plain(self) -> bool:
        return _PLAIN[bool(self.flow_level)][0].match(self.buffer, self.pointer) is not None

    # Tokens

    def scan_plain(self) -> Any:
        first, further = _PLAIN[bool(self.flow_level)]
        start = end = self.get_mark()
        found = first.match(self.buffer, self.pointer)
        chunks = []
        while found:
            chunks.append(found[0])
            self.forward(len(found[0]))
            end = self.get_mark()
            gap = _NEXT_LINE.match(self.buffer, self.pointer)
            blank = gap[1].split("\n") if gap else []
            if gap is None or len(gap[2]) <= self.indent or any(_tab_indents(line, self.indent + 1) for line in blank):
                break
            found = None if _MARK.match(self.buffer, gap.end(1)) else further.match(self.buffer, gap.end())
            if found:
                chunks.append("\n" * (gap[1].count("\n") - 1) or " ")
                self.forward(gap.end() - gap.start())
        return yaml.ScalarToken("".join(chunks), True, start, end)

    def scan_anchor(self, token: Any) -> Any:
        start = self.get_mark()
        self.forward()
        name = _ANCHOR.match(self.buffer, self.pointer)
        if name is None:
            raise self.fault("an anchor or an alias has a name", start)
        self.forward(len(name[0]))
        return token(name[0], start, self.get_mark())

    def scan_flow_scalar_breaks(self, double: bool, start_mark: Any) -> Any:
        begin = self.pointer
        chunks = super().scan_flow_scalar_breaks(double, start_mark)
        *blank, last = self.buffer[begin : self.pointer].split("\n")
        least = self.indent + 1
        if any(_tab_indents(line, least) for line in (*blank, last)):
            raise self.fault(_TAB_INDENTS)
        if len(last) < least:
            raise self.fault(f"a further line of a text in quotes is indented by {least} at least here")
        return chunks

    def scan_block_scalar(self, style: str) -> Any:
        token = super().scan_block_scalar(style)
        self.after_block = True
        if self.indent < 0 and self.peek() == "#" and not token.value.strip():
            # A text that is a whole document may begin at the margin; PyYAML would take this one for a comment.
            raise self.fault("a block of text is indented")
        return token

    def scan_block_scalar_indentation(self) -> Any:
        chunks, longest, end = super().scan_block_scalar_indentation()
        if self.indent < self.column < longest and self.peek() != "\0":
            raise self.fault("a blank line before the text is indented deeper than the text")
        return chunks, longest, end

    def scan_block_scalar_indicators(self, start_mark: Any) -> tuple[bool | None, int | None]:
        header = _HEADER.match(self.buffer, self.pointer)
        if header is None:
            detail = "after `|` or `>` stand only `-` or `+`, an indentation from 1 to 9, and a comment"
            raise self.fault(detail, start_mark)
        self.forward(len(header[1]))
        digits = header[1].strip("-+")
        return {"-": False, "+": True}.get(header[1].strip(digits)), int(digits) if digits else None

    def scan_block_scalar_ignored_line(self, start_mark: Any) -> None:  # noqa: ARG002
        self.forward(self.buffer.index("\n", self.pointer) + 1 - self.pointer)

    def scan_directive(self) -> Any:
        if _VERSION.match(self.buffer, self.pointer):
            raise self.fault("this is read as YAML 1.2; say so, or take the line out")
        return super().scan_directive()
