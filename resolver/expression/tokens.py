"""From text to tokens, one at a time, and the fault that is told where a text cannot go on.

Rules:

- a fault is an `InvalidExpression` with an offset into the whole text, and says what to write instead;
- what JavaScript has and this language has not is a token too, so that it is refused by name;
- `-` inside a name is part of the name, `$` begins a name unless `{` follows;
- names and dashes that touch a placeholder are text. They are no tokens, and the parser asks for them where it comes to
  a placeholder or a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from resolver.errors import InvalidExpression
from resolver.expression import javascript as js

#: Longest expression, in characters.
LONGEST: Final = 10_000


class Token(NamedTuple):
    """A piece of the text. `kind` is a group of _TOKEN, or `end` with an empty text."""

    kind: str
    text: str
    offset: int


#: What opens a placeholder, in an expression and in a template.
PLACEHOLDER: Final = re.compile(r"\$\{|\{\{")

_NAME_START = r"(?:[^\W\d]|\$(?!\{))"
_NAME_PART = r"(?:\w|\$(?!\{))"
_NAME = rf"{_NAME_START}{_NAME_PART}*(?:-{_NAME_PART}+)*"
_SPACE = re.compile(f"[{re.escape(js.WHITESPACE)}]*")
_TOKEN = re.compile(
    rf"""
      (?P<number> 0[xX][0-9a-fA-F]+ | 0[oO][0-7]+ | 0[bB][01]+
                | (?: [0-9]+ (?:\.[0-9]*)? | \.[0-9]+ ) (?:[eE][+-]?[0-9]+)? )
    | (?P<string> "[^"\\\r\n]*(?:\\(?:\r\n|.)[^"\\\r\n]*)*" | '[^'\\\r\n]*(?:\\(?:\r\n|.)[^'\\\r\n]*)*' )
    | (?P<name> {_NAME} )
    | (?P<placeholder> \$\{{ | \{{\{{ )
    | (?P<operator> [=!]== | [=!]= | [<>]= | && | \|\| | \?\? | \?\.(?![0-9]) )
    | (?P<unsupported> => | =< | = | <> | << | >> | & | \+\+ | -- | \*\* | \^ | ~ | \.\.\. | // | /\* | ; | ` | \{{ )
    | (?P<symbol> [-+*/%<>!?:.,|()\[\]}}] )
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER_GOES_ON = re.compile(_NAME_PART)
_DASHES_BEFORE_PLACEHOLDER = re.compile(rf"-*(?={PLACEHOLDER.pattern})")
_TEXT_AFTER_PLACEHOLDER = re.compile(rf"(?:-*{_NAME})?{_DASHES_BEFORE_PLACEHOLDER.pattern}|(?:-*{_NAME})?")
#: A whole placeholder within quotes; one that is meant as it stands is written `\${`.
_QUOTED_PLACEHOLDER = re.compile(r"(?<!\\)(?:\$\{[^}]+\}|\{\{[^}]+\}\})")
_ESCAPE = re.compile(
    r"\\(?:u\{(?P<point>[0-9a-fA-F]+)\}|u(?P<unit>[0-9a-fA-F]{4})|x(?P<byte>[0-9a-fA-F]{2})"
    r"|(?P<octal>[1-9]|0[0-9])|(?P<other>\r\n|.))",
    re.DOTALL,
)
#: What a character after a backslash stands for, where it is not simply itself; the end of a line is skipped.
_ESCAPED: Final = {
    **{"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"},
    **dict.fromkeys(("\n", "\r", "\r\n", "\u2028", "\u2029"), ""),
}
_CLOSERS: Final = {"(": ")", "[": "]", "${": "}", "{{": "}}", "?": ":"}

#: What a symbol that the language does not have was probably meant to be.
_UNSUPPORTED: Final[Mapping[str, str]] = {
    "=": "nothing can be assigned; to compare, write `===`",
    "=>": "for 'at least', write `>=`",
    "=<": "for 'at most', write `<=`",
    "<>": "for 'unequal', write `!==`",
    "&": "for 'and', write `&&`",
    "++": "nothing can be changed; to add 1, write `+ 1`",
    "--": "nothing can be changed; for two minuses, write `- -`",
    "**": "there are no powers",
    "<<": "there are no operators on bits",
    ">>": "there are no operators on bits",
    "^": "there are no operators on bits",
    "~": "there are no operators on bits",
    "...": "there is no spread",
    "//": "there are no comments",
    "/*": "there are no comments",
    ";": "an expression has no end mark",
    "`": "a text stands in ' or \"",
    "{": "there are no object literals; a placeholder starts with `${` or `{{`",
}
#: What was probably meant by a word or symbol in a place where it cannot stand.
_HINTS: Final[Mapping[str, str]] = {
    "and": "for 'and', write `&&`",
    "or": "for 'or', write `||`",
    "is": "for 'is', write `===`",
    "instanceof": "there are no classes",
    "|": "put the value and its filter in parentheses",
    ",": "a comma stands only between arguments and between elements of a list",
    "/": "there are no regular expressions",
}


class Tokens:
    """A cursor over the text: `token` is the one to look at, and what lies behind it is not read yet.

    A template is read placeholder by placeholder, so a cursor may begin anywhere, and it never looks past the end of
    its own.
    """

    def __init__(self, text: str, start: int = 0) -> None:
        self.text = text
        self.start = start
        self.end = start
        self.token = self._scan()

    def advance(self) -> Token:
        """The token that was looked at; the next one takes its place."""
        passed = self.token
        self.token = self._scan()
        return passed

    def close(self, opener: Token) -> None:
        """Passes what closes `opener`, or says that it is missing."""
        self.check_closed(opener)
        self.advance()

    def close_placeholder(self, opener: Token) -> None:
        """Ends at what closes `opener`. What follows is not read: it may be the text of a template."""
        self.check_closed(opener)
        self.end = self.token.offset + len(_CLOSERS[opener.text])

    def check_closed(self, opener: Token) -> None:
        """Refuses a present token that does not close `opener`."""
        closer = _CLOSERS[opener.text]
        if self.token.kind == "end":
            raise self.fault(f"`{opener.text}` has no `{closer}`", opener.offset)
        # No token is `}}`: two placeholders may end one right after the other.
        if not self.text.startswith(closer, self.token.offset):
            raise self.unexpected(f"`{closer}`")

    def at_placeholder(self) -> bool:
        """Whether a placeholder touches what is read."""
        return PLACEHOLDER.match(self.text, self.end) is not None

    def dashes_before_placeholder(self) -> str | None:
        """Passes the dashes between the present token and a placeholder that touches it; None if there is none."""
        return self._passed(_DASHES_BEFORE_PLACEHOLDER)

    def text_after_placeholder(self) -> str:
        """Passes the name and the dashes that touch the placeholder just read; often there are none."""
        return self._passed(_TEXT_AFTER_PLACEHOLDER) or ""

    def _passed(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self.text, self.end)
        if match is None:
            return None
        self.end = match.end()
        return match[0]

    def fault(self, detail: str, offset: int) -> InvalidExpression:
        """The error to raise."""
        return InvalidExpression(detail, text=self.text, offset=offset)

    def unexpected(self, expected: str = "") -> InvalidExpression:
        """The fault that the present token is, with what should stand there instead."""
        kind, text, offset = self.token
        wanted = f", {expected} is missing" if expected else ""
        if kind == "end":
            return self.fault(f"the expression ends too early{wanted}", offset)
        hint = f": {_HINTS[text]}" if text in _HINTS else ""
        return self.fault(f"`{shown(text)}` cannot stand here{wanted}{hint}", offset)

    def string(self, token: Token) -> str:
        """The text that a STRING stands for."""
        if quoted := _QUOTED_PLACEHOLDER.search(token.text):
            meant = f"take the quotes off, or write `\\{quoted[0][0]}`"
            detail = f"`{shown(quoted[0])}` is not read within quotes: {meant}"
            raise self.fault(detail, token.offset + quoted.start())

        def unescaped(escape: re.Match[str]) -> str:
            digits = escape["point"] or escape["unit"] or escape["byte"]
            if digits is not None and int(digits, 16) <= 0x10FFFF:
                return chr(int(digits, 16))
            character: str | None = escape["other"]
            if character is None or character in "ux":
                at = token.offset + 1 + escape.start()
                raise self.fault(f"`{escape[0][:8]}` is not an escape; a backslash is written `\\\\`", at)
            return _ESCAPED.get(character, character)

        return js.paired(_ESCAPE.sub(unescaped, token.text[1:-1]))

    def _scan(self) -> Token:
        """The next token from `end` on, which moves behind it."""
        space = _SPACE.match(self.text, self.end)
        offset = space.end() if space else self.end
        if offset == len(self.text):
            return self._measured(Token("end", "", offset))
        match = _TOKEN.match(self.text, offset)
        if match is None:
            character = self.text[offset]
            if character in "\"'":
                raise self.fault(f"the text that starts with {character} has no closing {character}", offset)
            raise self.fault(f"`{character}` is no part of an expression", offset)
        token = Token(match.lastgroup or "", match[0], offset)
        if token.kind == "unsupported":
            raise self.fault(f"`{token.text}` is not supported: {_UNSUPPORTED[token.text]}", offset)
        if token.kind == "number":
            self._check_number(token)
        return self._measured(token)

    def _measured(self, token: Token) -> Token:
        self.end = token.offset + len(token.text)
        if self.end - self.start > LONGEST:
            raise self.fault(f"an expression has at most {LONGEST} characters", self.start + LONGEST)
        return token

    def _check_number(self, token: Token) -> None:
        """Refuses what only looks like a number: `010`, `1_000`, `3px`."""
        end = token.offset + len(token.text)
        if _NUMBER_GOES_ON.match(self.text, end):
            raise self.fault("a letter, digit or `_` cannot follow a number directly", end)
        if len(token.text) > 1 and token.text[0] == "0" and token.text[1].isdigit():
            raise self.fault("a number does not start with 0; octal is written `0o10`", token.offset)


def shown(text: str) -> str:
    """A piece of the text as an error quotes it."""
    return text if len(text) <= 32 else text[:31] + "…"
