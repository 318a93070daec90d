"""A place in a YAML text, and the steps that it takes: over gaps, anchors and tags, and the written form of scalars.

The cursor knows how the line that it is in is indented, which is what tells blocks apart. Only blanks indent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from resolver.ensemble.yaml.nodes import Scalar
from resolver.ensemble.yaml.places import Lines
from resolver.ensemble.yaml.scalars import BadEscape, block_text, double_quoted, joined, single_quoted
from resolver.ensemble.yaml.stream import Bounds
from resolver.errors import InvalidEnsemble

#: White space, comments and line breaks. A `#` begins a comment only where nothing is written right before it.
_GAP = re.compile(r"(?:[ \t]*(?:(?<![^ \t\n])#[^\n]*)?\n)*[ \t]*(?:(?<![^ \t\n])#[^\n]*)?")
_QUOTED = re.compile(r""""[^"\\]*(?:\\.[^"\\]*)*"|'[^']*(?:''[^']*)*'""", re.DOTALL)
#: From the end of a plain text's line to where it may go on.
_NEXT_LINE = re.compile(r"[ \t]*((?:\n[ \t]*)*\n)( *)[ \t]*")
_ANCHOR = re.compile(r"[&*]([^ \t\n,\[\]{}]+)")
_TAG = re.compile(r"!<([^ \t\n<>]+)>|(!(?:[0-9A-Za-z-]*!)?)([0-9A-Za-z%#;/?:@&=+$_.~*'()-]*)")
_BLOCK = re.compile(r"[|>](?:([1-9])([-+]?)|([-+]?)([1-9]?))[ \t]*(?:(?<=[ \t])#[^\n]*)?(?:\n|\Z)")
_FIRST_OF_BLOCK = re.compile(r"((?: *\n)*)( *)")


def _plain(closing: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Text without quotes, within one line: how it begins, and how it goes on in a further line."""
    safe = rf"[^ \t\n{closing}]"
    part = rf"(?:[^ \t\n:#{closing}]|:(?={safe}))"
    rest = rf"(?:[ \t]*(?:{part}|(?<=[^ \t\n])#))*"
    first = rf"""(?:[^ \t\n,\[\]{{}}#&*!|>'"%@`?:-]|[?:-](?={safe}))"""
    return re.compile(first + rest), re.compile(part + rest)


#: By whether the text stands in brackets, which end it.
_PLAIN: Final = {False: _plain(""), True: _plain(r",\[\]{}")}


TAB_INDENTS: Final = "a tab (\\t) stands where this line is indented; only blanks indent"


def _tab_indents(line: str, indent: int) -> bool:
    """Whether the first `indent` characters of a line hold a tab before anything else than blanks."""
    return line[:indent].lstrip(" ").startswith("\t")


@dataclass(frozen=True, slots=True)
class Properties:
    """What stands before a node: its anchor, its tag, and where they begin."""

    start: int | None = None
    anchor: str | None = None
    tag: str | None = None


NOTHING: Final = Properties()


class Cursor:
    """Where a parser stands. `fresh` says that nothing of its line was read yet but `indent` blanks, and `tabbed`
    that a tab is in the white space right before it."""

    def __init__(self, lines: Lines, bounds: Bounds) -> None:
        self.lines = lines
        self.handles = bounds.handles
        # Nothing behind the document is seen, so that its end ends whatever is open.
        self.text = lines.text[: bounds.end]
        self.position = bounds.start
        self.line = self.text.rfind("\n", 0, bounds.start) + 1
        self.fresh = False
        self.tabbed = False
        self.indent = 0

    # Looking

    @property
    def ended(self) -> bool:
        return self.position >= len(self.text)

    @property
    def column(self) -> int:
        return self.position - self.line

    def at(self, indicator: str) -> bool:
        """Whether `-`, `?` or `:` stands here as an indicator of a block, with white space behind it."""
        end = self.position + 1
        return self.text[self.position : end] == indicator and self.text[end : end + 1] in (" ", "\t", "\n", "")

    def error(self, detail: str, position: int | None = None) -> InvalidEnsemble:
        return self.lines.error(detail, self.position if position is None else position)

    # Moving

    def skip(self) -> None:
        """Over white space, comments and line breaks."""
        gap = _GAP.match(self.text, self.position)
        start, end = self.position, gap.end() if gap else self.position
        broke = self.text.rfind("\n", start, end)
        if broke >= 0:
            self.line = broke + 1
        if broke >= 0 or start == self.line:
            self.fresh = True
            blank = self.text[self.line : end]
            self.indent = len(blank) - len(blank.lstrip(" "))
            self.tabbed = "\t" in blank
        elif end > start:
            self.tabbed = "\t" in self.text[start:end]
        self.position = end

    def take(self, end: int) -> str:
        """What stands from here to `end`, which is passed."""
        taken = self.text[self.position : end]
        broke = taken.rfind("\n")
        if broke >= 0:
            self.line = self.position + broke + 1
        self.fresh = self.tabbed = False
        self.position = end
        return taken

    # Anchors, tags, aliases

    def properties(self, *, flow: bool) -> Properties:
        """The anchor and the tag here, as far as they stand on one line. Behind them white space is passed."""
        start, line = self.position, self.line
        anchor: str | None = None
        tag: str | None = None
        while self.text[self.position : self.position + 1] in ("&", "!") and self.line == line:
            is_anchor = self.text[self.position] == "&"
            if (anchor if is_anchor else tag) is not None:
                raise self.error(f"a second {'anchor' if is_anchor else 'tag'}; one value has one")
            if is_anchor:
                anchor = self.name()
            else:
                tag = self.tag()
            if self.text[self.position : self.position + 1] not in (" ", "\t", "\n", "", *(",]}" if flow else "")):
                raise self.error("after an anchor or a tag stands a blank")
            self.skip()
        return Properties(None if anchor is None and tag is None else start, anchor, tag)

    def name(self) -> str:
        """The name of the anchor or alias here."""
        found = _ANCHOR.match(self.text, self.position)
        if found is None:
            raise self.error("an anchor or an alias has a name")
        self.take(found.end())
        return found[1]

    def tag(self) -> str:
        """The tag here, its handle written out."""
        found = _TAG.match(self.text, self.position)
        if found is None:
            raise self.error("a tag is written `!name`, `!!name` or `!<name>`")
        verbatim, handle, suffix = found.groups()
        if verbatim is None and handle not in self.handles:
            raise self.error(f"no `%TAG` line says what `{handle}` stands for")
        if verbatim is None and handle != "!" and not suffix:
            raise self.error(f"a name is missing after `{handle}`")
        self.take(found.end())
        return verbatim if verbatim is not None else self.handles[handle] + suffix

    # Scalars

    def quoted(self, indent: int, tag: str | None, start: int) -> Scalar:
        """The text in quotes here; its further lines are indented by `indent` blanks at least."""
        found = _QUOTED.match(self.text, self.position)
        if found is None:
            raise self.error(f"the text that begins with {self.text[self.position]} has no end")
        inside = slice(found.start() + 1, found.end() - 1)
        begin = found.start()
        for line in found[0].split("\n"):
            if begin > found.start() and line[:indent].strip(" "):
                at_least = f"a further line of a text in quotes is indented by {indent} at least"
                raise self.error(TAB_INDENTS if _tab_indents(line, indent) else at_least, begin)
            begin += len(line) + 1
        quote, written = found[0][0], found[0][1:-1]
        try:
            text = double_quoted(written) if quote == '"' else single_quoted(written)
        except BadEscape as bad:
            detail = f"`{bad.escape}` is not an escape; a backslash is written `\\\\`"
            raise self.error(detail, inside.start + bad.offset) from None
        self.take(found.end())
        return Scalar(start, tag, text, inside, plain=False)

    def plain_line(self, *, flow: bool) -> str | None:
        """The text without quotes that begins here, as far as its first line goes; None where none can begin."""
        found = _PLAIN[flow][0].match(self.text, self.position)
        return self.take(found.end()) if found else None

    def plain_goes_on(self, first: str, indent: int, *, flow: bool) -> str:
        """That text with its further lines, which are indented by `indent` blanks at least."""
        parts = [first]
        while gap := _NEXT_LINE.match(self.text, self.position):
            found = _PLAIN[flow][1].match(self.text, gap.end())
            if found is None or len(gap[2]) < indent or any(_tab_indents(line, indent) for line in gap[1].split("\n")):
                break
            parts += [joined(gap[1].count("\n")), found[0]]
            self.take(found.end())
        return "".join(parts)

    def block(self, parent: int, tag: str | None, start: int) -> Scalar:
        """The `|` or `>` here, with the lines that are indented deeper than `parent`."""
        header = _BLOCK.match(self.text, self.position)
        if header is None:
            raise self.error("after `|` or `>` stand only `-` or `+`, an indentation from 1 to 9, and a comment")
        folded = self.text[self.position] == ">"
        stated = header[1] or header[4]
        self.take(header.end())
        indent = max(parent, 0) + int(stated) if stated else self.indent_of_block(parent)
        lines: list[str] = []
        while not self.ended:
            end = self.text.find("\n", self.position)
            line = self.text[self.position : end if end >= 0 else None]
            if line[:indent].strip(" "):
                if _tab_indents(line, indent):
                    raise self.error(TAB_INDENTS)
                break
            # A last line of blanks that has no end is no line, unless it is the only one.
            if line[indent:] or end >= 0 or not lines:
                lines.append(line[indent:])
            self.take(end + 1 if end >= 0 else len(self.text))
        text = block_text(lines, folded=folded, chomping=header[2] or header[3] or "")
        return Scalar(start, tag, text, slice(header.end(), self.position), plain=False)

    def indent_of_block(self, parent: int) -> int:
        """How far the lines of a block are indented that does not say it: as its first line that is not blank."""
        found = _FIRST_OF_BLOCK.match(self.text, self.position)
        assert found is not None
        longest = max(map(len, found[1].split("\n")))
        if found.end() == len(self.text) or len(found[2]) <= parent:
            return max(parent + 1, longest, len(found[2]) if found.end() == len(self.text) else 0)
        if longest > len(found[2]):
            raise self.error("a blank line before the text is indented deeper than the text", found.end())
        return len(found[2])
