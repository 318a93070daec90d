"""The expressions of conditions, and the text templates that hold them: parsed once, then evaluated per request.

Rules:

- the language is a part of JavaScript's, with its precedence and its meaning of every operator (see `javascript`);
- text is read whole or not at all: what cannot be parsed raises `InvalidExpression` with the offset of its fault;
- evaluation has no effect and one way to fail: `Needed`, when it reads a name that the scope does not hold;
- a member that is not there is undefined, and so is every member of undefined: each `.` is as lenient as `?.`;
- a branch that is not taken is not evaluated, and so needs nothing;
- `-` inside a name is part of the name; a subtraction has spaces round it;
- `${…}` and `{{…}}` are the same, and within an expression they are a kind of parenthesis.

Grammar, with the loosest first:

    pipeline    = conditional ("|" NAME [arguments])*
    conditional = logical ["?" conditional ":" conditional]
    logical     = conjunction ("||" conjunction)* | comparison ("??" comparison)*
    conjunction = comparison ("&&" comparison)*
    comparison  = unary (OPERATOR unary)*           -- the operators of PRECEDENCE
    unary       = ("!" | "-" | "+") unary | postfix
    postfix     = primary (("." | "?.") NAME [arguments] | ["?."] "[" pipeline "]")*
    arguments   = "(" [pipeline ("," pipeline)*] ")"
    primary     = NUMBER | STRING | NAME | "(" pipeline ")" | "[" [pipeline ("," pipeline)* [","]] "]" | placeholder
    placeholder = "${" pipeline "}" | "{{" pipeline "}}"

From top to bottom: what is read (`Scope`), the tree, the two public classes, the parser, the filters and methods,
and the compiler that turns a tree into closures.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from resolver import javascript as js
from resolver.errors import InvalidExpression, listed, nearest
from resolver.javascript import UNDEFINED

#: Longest expression, in characters.
LONGEST: Final = 10_000
#: Deepest nesting, of the text and of the tree, so that neither parsing nor evaluating exhausts Python's stack.
DEEPEST: Final = 64

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class Scope(NamedTuple):
    """What an expression reads.

    `input` is the value of the names `input` and `trigger`; UNDEFINED if none was sent. `outputs` holds what each
    agent gave, by agent, and `variables` every other name (`state`, `env`, `params`, …). Outputs come first.
    """

    input: object = UNDEFINED
    variables: Mapping[str, object] = _NOTHING
    outputs: Mapping[str, object] = _NOTHING


class Needed(Exception):
    """Evaluation came to a name that the scope does not hold; `name` is that name, for `agents.x` it is `x`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


# The tree


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: null, undefined, a boolean, a number or a text."""

    value: object


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    """`[a, b]`: a new list each time."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """`input` or `trigger`."""


@dataclass(frozen=True, slots=True)
class Agent:
    """`agents.name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """Any other name: an agent's, or else a variable's."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`of.key`, also where it is written `of["key"]`."""

    of: Node
    key: str


@dataclass(frozen=True, slots=True)
class Index:
    """`of[key]`."""

    of: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Call:
    """`of.method(arguments)`, with one of METHODS."""

    of: Node
    method: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`!operand`, `-operand` or `+operand`."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`, with one of PRECEDENCE: both sides are always evaluated."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logical:
    """Two or more operands with `&&`, `||` or `??` between them: the first that decides is the last evaluated."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """`test ? then : otherwise`."""

    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Filtered:
    """`value | filter(arguments)`, with one of FILTERS; `default` is a Logical."""

    value: Node
    filter: str
    arguments: tuple[Node, ...]


Node: TypeAlias = (
    Literal
    | ArrayLiteral
    | Input
    | Agent
    | Name
    | Member
    | Index
    | Call
    | Unary
    | Binary
    | Logical
    | Conditional
    | Filtered
)

#: A compiled node.
Evaluate: TypeAlias = Callable[[Scope], object]


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case ArrayLiteral(items):
            return items
        case Member(of, _):
            return (of,)
        case Index(of, key):
            return (of, key)
        case Call(of, _, arguments):
            return (of, *arguments)
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Logical(_, operands):
            return operands
        case Conditional(test, then, otherwise):
            return (test, then, otherwise)
        case Filtered(value, _, arguments):
            return (value, *arguments)
        case _:
            return ()


def _walk(tree: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth. It keeps its own stack, as it meets trees before their depth is checked."""
    pending = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        yield node, depth
        pending.extend((child, depth + 1) for child in _children(node))


def _root_name(node: Node) -> str | None:
    match node:
        case Input():
            return "input"
        case Agent(name) | Name(name):
            return name
        case _:
            return None


# Public classes


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. `names` are the roots that it may read: agents, variables, and `input` for `trigger` too."""

    text: str
    names: frozenset[str]
    tree: Node = field(repr=False, compare=False)
    closure: Evaluate = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> object:
        """The value in this scope, UNDEFINED included. Raises `Needed`, and nothing else."""
        return self.closure(scope)

    def needs(self, scope: Scope) -> tuple[str, ...]:
        """The names, sorted, that the value still depends on; empty where `evaluate` gives a value.

        What stands in a branch that this scope already rules out is not counted.
        """
        return tuple(sorted(_needed(self.tree, scope)))


@dataclass(frozen=True, slots=True)
class Template:
    """A text with any number of placeholders. `expression` is set if the text is one placeholder and nothing else."""

    text: str
    expression: Expression | None
    names: frozenset[str]
    pieces: tuple[str | Expression, ...] = field(repr=False, compare=False)

    def render(self, scope: Scope) -> object:
        """The text with each value in its place; the value itself, with its type, if the text is one placeholder.

        A value is turned into text as by `String(value)`, and one that is undefined leaves its placeholder as it
        stands. Raises `Needed`, and nothing else.
        """
        if self.expression is not None:
            return self.expression.evaluate(scope)
        return js.concat(_rendered(piece, scope) for piece in self.pieces)

    def needs(self, scope: Scope) -> tuple[str, ...]:
        """The names, sorted, that the text still depends on."""
        expressions = (piece for piece in self.pieces if isinstance(piece, Expression))
        return tuple(sorted({name for expression in expressions for name in expression.needs(scope)}))


def _rendered(piece: str | Expression, scope: Scope) -> str:
    if isinstance(piece, str):
        return piece
    value = piece.evaluate(scope)
    return piece.text if value is UNDEFINED else js.to_text(value)


def parse_expression(text: str) -> Expression:
    """A condition, or any text that is one expression as a whole: `a`, `${a}`, `{{a}}`, `${a} && ${b}`.

    Raises `InvalidExpression` with an offset into `text`.
    """
    parser = _Parser(text, 0)
    if parser.token.kind == "end":
        raise parser.fault("the expression is empty", parser.token.offset)
    tree = parser.pipeline(0)
    if parser.token.kind != "end":
        raise parser.unexpected()
    return parser.expression(tree, 0, len(text))


def parse_template(text: str) -> Template:
    """Any text: what stands in `${…}` or `{{…}}` is an expression, all else is itself.

    Raises `InvalidExpression` with an offset into `text`.
    """
    pieces: list[str | Expression] = []
    end = 0
    while opener := _PLACEHOLDER.search(text, end):
        start = opener.start()
        parser = _Parser(text, start)
        tree = parser.placeholder(0)
        pieces += [text[end:start], parser.expression(tree, start, parser.end)]
        end = parser.end
    kept = tuple(piece for piece in (*pieces, text[end:]) if piece)
    expressions = [piece for piece in kept if isinstance(piece, Expression)]
    return Template(
        text=text,
        expression=expressions[0] if len(kept) == len(expressions) == 1 else None,
        names=frozenset(name for expression in expressions for name in expression.names),
        pieces=kept,
    )


# Tokens


class _Token(NamedTuple):
    """A piece of the text. `kind` is a group of _TOKEN, or `end` with an empty text."""

    kind: str
    text: str
    offset: int


_NAME_START = r"(?:[^\W\d]|\$(?!\{))"
_NAME_PART = r"(?:\w|\$(?!\{))"
_PLACEHOLDER = re.compile(r"\$\{|\{\{")
_SPACE = re.compile(f"[{re.escape(js.WHITESPACE)}]*")
_TOKEN = re.compile(
    rf"""
      (?P<number> 0[xX][0-9a-fA-F]+ | 0[oO][0-7]+ | 0[bB][01]+
                | (?: [0-9]+ (?:\.[0-9]*)? | \.[0-9]+ ) (?:[eE][+-]?[0-9]+)? )
    | (?P<string> "[^"\\\r\n]*(?:\\(?:\r\n|.)[^"\\\r\n]*)*" | '[^'\\\r\n]*(?:\\(?:\r\n|.)[^'\\\r\n]*)*' )
    | (?P<name> {_NAME_START}{_NAME_PART}*(?:-{_NAME_PART}+)* )
    | (?P<placeholder> \$\{{ | \{{\{{ )
    | (?P<operator> [=!]== | [=!]= | [<>]= | && | \|\| | \?\? | \?\.(?![0-9]) )
    | (?P<unsupported> => | =< | = | <> | << | >> | & | \+\+ | -- | \*\* | \^ | ~ | \.\.\. | // | /\* | ; | ` | \{{ )
    | (?P<symbol> [-+*/%<>!?:.,|()\[\]}}] )
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER_GOES_ON = re.compile(_NAME_PART)
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

#: Precedence of the operators that evaluate both sides; a larger number binds tighter.
PRECEDENCE: Final[Mapping[str, int]] = {
    **dict.fromkeys(("===", "!==", "==", "!="), 1),
    **dict.fromkeys(("<", "<=", ">", ">=", "in"), 2),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys(("*", "/", "%"), 4),
}
_LOGICAL: Final = ("&&", "||", "??")
_CLOSERS: Final = {"(": ")", "[": "]", "${": "}", "{{": "}}", "?": ":"}
_LITERALS: Final[Mapping[str, object]] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": UNDEFINED,
    "NaN": js.to_number(UNDEFINED),
    "Infinity": js.to_number("Infinity"),
}

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
_UNSUPPORTED_WORDS: Final = frozenset({"typeof", "instanceof", "new", "delete", "void", "function", "await", "yield"})
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


class _Parser:
    """A cursor over the text: `token` is the one to look at, and what lies behind it is not read yet.

    A template is read placeholder by placeholder, so a parser may begin anywhere, and it never looks past the end of
    its own. `depth` counts how far a rule is nested.
    """

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.start = start
        self.end = start
        self.token = self.scan()

    # Reading tokens

    def advance(self) -> _Token:
        """The token that was looked at; the next one takes its place."""
        passed = self.token
        self.token = self.scan()
        return passed

    def scan(self) -> _Token:
        """The next token from `end` on, which moves behind it."""
        space = _SPACE.match(self.text, self.end)
        offset = space.end() if space else self.end
        if offset == len(self.text):
            return self.checked(_Token("end", "", offset))
        match = _TOKEN.match(self.text, offset)
        if match is None:
            character = self.text[offset]
            if character in "\"'":
                raise self.fault(f"the text that starts with {character} has no closing {character}", offset)
            raise self.fault(f"`{character}` is no part of an expression", offset)
        token = _Token(match.lastgroup or "", match[0], offset)
        if token.kind == "unsupported":
            raise self.fault(f"`{token.text}` is not supported: {_UNSUPPORTED[token.text]}", offset)
        if token.kind == "number":
            self.check_number(token)
        return self.checked(token)

    def checked(self, token: _Token) -> _Token:
        self.end = token.offset + len(token.text)
        if self.end - self.start > LONGEST:
            raise self.fault(f"an expression has at most {LONGEST} characters", self.start + LONGEST)
        return token

    def check_number(self, token: _Token) -> None:
        """Refuses what only looks like a number: `010`, `1_000`, `3px`."""
        end = token.offset + len(token.text)
        if _NUMBER_GOES_ON.match(self.text, end):
            raise self.fault("a letter, digit or `_` cannot follow a number directly", end)
        if len(token.text) > 1 and token.text[0] == "0" and token.text[1].isdigit():
            raise self.fault("a number does not start with 0; octal is written `0o10`", token.offset)

    def skip(self, opener: _Token) -> None:
        """Passes what closes `opener`, or says that it is missing."""
        self.check_closed(opener)
        self.advance()

    def check_closed(self, opener: _Token) -> None:
        closer = _CLOSERS[opener.text]
        if self.token.kind == "end":
            raise self.fault(f"`{opener.text}` has no `{closer}`", opener.offset)
        # No token is `}}`: two placeholders may end one right after the other.
        if not self.text.startswith(closer, self.token.offset):
            raise self.unexpected(f"`{closer}`")

    # Faults

    def fault(self, detail: str, offset: int) -> InvalidExpression:
        return InvalidExpression(detail, text=self.text, offset=offset)

    def unexpected(self, expected: str = "") -> InvalidExpression:
        """The fault that the present token is, with what should stand there instead."""
        kind, text, offset = self.token
        wanted = f", {expected} is missing" if expected else ""
        if kind == "end":
            return self.fault(f"the expression ends too early{wanted}", offset)
        hint = f": {_HINTS[text]}" if text in _HINTS else ""
        return self.fault(f"`{_shown(text)}` cannot stand here{wanted}{hint}", offset)

    def check_depth(self, depth: int) -> None:
        if depth > DEEPEST:
            raise self.fault(f"nested more than {DEEPEST} deep", self.token.offset)

    def expression(self, tree: Node, start: int, end: int) -> Expression:
        """The expression that this parser has read as `tree` from text[start:end]."""
        names = set()
        for node, depth in _walk(tree):
            if depth > DEEPEST:
                raise self.fault(f"more than {DEEPEST} steps build on one another", start)
            names.add(_root_name(node))
        return Expression(self.text[start:end], frozenset(name for name in names if name), tree, _compiled(tree))

    # Grammar

    def pipeline(self, depth: int) -> Node:
        """pipeline = conditional ("|" NAME [arguments])*"""
        self.check_depth(depth)
        value = self.conditional(depth)
        while self.token.text == "|":
            self.advance()
            value = self.filter(value, depth)
            if self.token.text in PRECEDENCE or self.token.text in (*_LOGICAL, "?", ".", "?.", "["):
                detail = "a filter ends its expression: to go on, put it in parentheses, `(… | length) > 3`"
                raise self.fault(detail, self.token.offset)
        return value

    def filter(self, value: Node, depth: int) -> Node:
        """The part of a pipeline after a bar: NAME [arguments]"""
        if self.token.kind != "name":
            raise self.unexpected("a filter's name")
        name = self.advance()
        if name.text not in FILTER_NAMES:
            meant = nearest(name.text, FILTER_NAMES) or " For 'or', write `||`."
            known = listed(FILTER_NAMES, most=len(FILTER_NAMES))
            raise self.fault(f"there is no filter `{_shown(name.text)}`.{meant} There are: {known}", name.offset)
        arguments = self.arguments(depth) if self.token.text == "(" else ()
        most = 1 if name.text == _DEFAULT else FILTERS[name.text].most
        if len(arguments) > most:
            raise self.fault(f"the filter `{name.text}` takes {_at_most(most)}", name.offset)
        if name.text != _DEFAULT:
            return Filtered(value, name.text, arguments)
        if not arguments:
            raise self.fault("the filter `default` takes 1 argument, the value to fall back to", name.offset)
        return Logical("??", (value, *arguments))

    def conditional(self, depth: int) -> Node:
        """conditional = logical ["?" conditional ":" conditional]"""
        self.check_depth(depth)
        test = self.logical(depth)
        if self.token.text != "?":
            return test
        mark = self.advance()
        then = self.conditional(depth + 1)
        self.skip(mark)
        return Conditional(test, then, self.conditional(depth + 1))

    def logical(self, depth: int) -> Node:
        """logical = conjunction ("||" conjunction)* | comparison ("??" comparison)*"""
        first = self.comparison(1, depth)
        if self.token.text == "??":
            value = self.chain("??", first, depth)
        else:
            value = self.chain("||", self.chain("&&", first, depth), depth)
        if self.token.text in _LOGICAL:
            detail = "`??` next to `&&` or `||` needs parentheses that say which comes first"
            raise self.fault(detail, self.token.offset)
        return value

    def chain(self, symbol: str, first: Node, depth: int) -> Node:
        """One row of a logical: OPERAND (symbol OPERAND)*, where the first OPERAND is already read."""
        operands = [first]
        while self.token.text == symbol:
            self.advance()
            operand = self.comparison(1, depth)
            operands.append(self.chain("&&", operand, depth) if symbol == "||" else operand)
        return Logical(symbol, tuple(operands)) if len(operands) > 1 else first

    def comparison(self, loosest: int, depth: int) -> Node:
        """comparison = unary (OPERATOR unary)*, of operators that bind at least as tightly as `loosest`.

        Equal ones group from the left; a tighter one after an operator takes that operator's right side.
        """
        self.check_depth(depth)
        left = self.unary(depth)
        while (precedence := PRECEDENCE.get(self.token.text, 0)) >= loosest:
            symbol = self.advance().text
            left = _binary(symbol, left, self.comparison(precedence + 1, depth + 1))
        return left

    def unary(self, depth: int) -> Node:
        """unary = ("!" | "-" | "+") unary | postfix"""
        self.check_depth(depth)
        if self.token.text in UNARY:
            symbol = self.advance().text
            return _unary(symbol, self.unary(depth + 1))
        return self.postfix(depth)

    def postfix(self, depth: int) -> Node:
        """postfix = primary (("." | "?.") NAME [arguments] | ["?."] "[" pipeline "]")*"""
        value = self.primary(depth)
        while True:
            if self.token.text in (".", "?."):
                dot = self.advance().text
                if dot == "." or self.token.text != "[":
                    value = self.named(value, depth)
            elif self.token.text == "[":
                bracket = self.advance()
                key = self.pipeline(depth + 1)
                self.skip(bracket)
                value = _member(value, key)
            elif self.token.text == "(":
                detail = f"only a method can be called, and there are: {listed(METHODS)}"
                raise self.fault(detail, self.token.offset)
            else:
                return value

    def named(self, value: Node, depth: int) -> Node:
        """The part of a postfix after a dot: NAME [arguments]"""
        if self.token.kind != "name":
            raise self.unexpected("a name")
        name = self.advance()
        if self.token.text != "(":
            return _member(value, Literal(name.text))
        method = METHODS.get(name.text)
        if method is None:
            meant = nearest(name.text, METHODS)
            if name.text in FILTER_NAMES:
                meant = f" It is a filter: write `| {name.text}`."
            raise self.fault(
                f"there is no method `{_shown(name.text)}`.{meant} There are: {listed(METHODS)}", name.offset
            )
        arguments = self.arguments(depth)
        if len(arguments) > method.most:
            raise self.fault(f"the method `{name.text}` takes {_at_most(method.most)}", name.offset)
        return Call(value, name.text, arguments)

    def arguments(self, depth: int) -> tuple[Node, ...]:
        """arguments = "(" [pipeline ("," pipeline)*] ")" """
        opener = self.advance()
        arguments: list[Node] = []
        while self.token.text != ")" or arguments:
            arguments.append(self.pipeline(depth + 1))
            if self.token.text != ",":
                break
            self.advance()
        self.skip(opener)
        return tuple(arguments)

    def primary(self, depth: int) -> Node:
        """primary = NUMBER | STRING | NAME | "(" pipeline ")" | array | placeholder"""
        token = self.token
        if token.kind == "name":
            return self.name()
        if token.kind == "number":
            return Literal(js.to_number(self.advance().text))
        if token.kind == "string":
            value = self.string(token)
            self.advance()
            return Literal(value)
        if token.kind == "placeholder":
            placed = self.placeholder(depth)
            self.advance()
            return placed
        if token.text == "(":
            self.advance()
            inner = self.pipeline(depth + 1)
            self.skip(token)
            return inner
        if token.text == "[":
            return self.array(depth)
        raise self.unexpected("a value")

    def placeholder(self, depth: int) -> Node:
        """placeholder = "${" pipeline "}" | "{{" pipeline "}}"; `end` is then its end, and what follows is not read."""
        opener = self.advance()
        if self.token.text in ("", "}"):
            self.check_closed(opener)
            raise self.fault("the placeholder is empty", self.token.offset)
        value = self.pipeline(depth + 1)
        self.check_closed(opener)
        self.end = self.token.offset + len(_CLOSERS[opener.text])
        return value

    def array(self, depth: int) -> Node:
        """array = "[" [pipeline ("," pipeline)* [","]] "]" """
        opener = self.advance()
        items: list[Node] = []
        while self.token.text != "]":
            items.append(self.pipeline(depth + 1))
            if self.token.text != ",":
                break
            self.advance()
        self.skip(opener)
        return ArrayLiteral(tuple(items))

    def name(self) -> Node:
        """NAME, as a literal or as the root of what is read."""
        token = self.token
        if token.text in _UNSUPPORTED_WORDS:
            raise self.fault(f"`{token.text}` is not supported", token.offset)
        if token.text in PRECEDENCE:
            raise self.unexpected("a value")
        self.advance()
        if self.token.text == "(":
            meant = f" It is a filter: write `… | {token.text}`." if token.text in FILTER_NAMES else ""
            detail = f"there is no function `{_shown(token.text)}`.{meant} There are the methods: {listed(METHODS)}"
            raise self.fault(detail, token.offset)
        if token.text in _LITERALS:
            return Literal(_LITERALS[token.text])
        return Input() if token.text in ("input", "trigger") else Name(token.text)

    def string(self, token: _Token) -> str:
        """The text that a STRING stands for."""

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


def _shown(text: str) -> str:
    return text if len(text) <= 32 else text[:31] + "…"


def _at_most(most: int) -> str:
    return f"at most {most} argument{'s' if most > 1 else ''}" if most else "no arguments"


def _member(of: Node, key: Node) -> Node:
    match of, key:
        case Name("agents"), Literal(str(name)):
            return Agent(name)
        case _, Literal(str(name)):
            return Member(of, name)
        case _:
            return Index(of, key)


def _unary(symbol: str, operand: Node) -> Node:
    """The node, or the constant that it amounts to: `-1` is one."""
    return Literal(UNARY[symbol](operand.value)) if isinstance(operand, Literal) else Unary(symbol, operand)


def _binary(symbol: str, left: Node, right: Node) -> Node:
    """The node, or the constant that it amounts to."""
    if isinstance(left, Literal) and isinstance(right, Literal):
        return Literal(BINARY[symbol](left.value, right.value))
    return Binary(symbol, left, right)


# Operators, methods and filters


def _not(value: object) -> bool:
    return not js.truthy(value)


def _strict_unequal(left: object, right: object) -> bool:
    return not js.strict_equal(left, right)


def _loose_unequal(left: object, right: object) -> bool:
    return not js.loose_equal(left, right)


def _in(key: object, of: object) -> bool:
    return js.has_member(of, key)


UNARY: Final[Mapping[str, Callable[[object], object]]] = {"!": _not, "-": js.negate, "+": js.to_number}

BINARY: Final[Mapping[str, Callable[[object, object], object]]] = {
    "===": js.strict_equal,
    "!==": _strict_unequal,
    "==": js.loose_equal,
    "!=": _loose_unequal,
    "<": js.less,
    "<=": js.less_or_equal,
    ">": js.greater,
    ">=": js.greater_or_equal,
    "in": _in,
    "+": js.add,
    "-": js.subtract,
    "*": js.multiply,
    "/": js.divide,
    "%": js.remainder,
}


class Method(NamedTuple):
    """What may be called on a text and on a list, with at most so many arguments; on all else it gives undefined."""

    on_text: Callable[..., object]
    on_list: Callable[..., object] | None = None
    most: int = 0


METHODS: Final[Mapping[str, Method]] = {
    "includes": Method(js.text_includes, js.list_includes, most=2),
    "startsWith": Method(js.starts_with, most=2),
    "endsWith": Method(js.ends_with, most=2),
    "toLowerCase": Method(str.lower),
    "toUpperCase": Method(str.upper),
    "trim": Method(js.trim),
}


class Filter(NamedTuple):
    """What is done to a value, with at most so many arguments after it."""

    apply: Callable[..., object]
    most: int = 0


def _split(value: object, separator: object = UNDEFINED) -> list[object]:
    return js.split(js.to_text(value), " " if separator is UNDEFINED else js.to_text(separator))


def _join(value: object, separator: object = UNDEFINED) -> object:
    if type(value) is not list:
        return UNDEFINED
    return js.list_joined(value, ", " if separator is UNDEFINED else js.to_text(separator))


def _length(value: object) -> int:
    if type(value) is list:
        return len(value)
    return js.js_length(value) if type(value) is str else 0


def _first(value: object) -> object:
    return js.member(value, 0) if type(value) is list else UNDEFINED


def _last(value: object) -> object:
    return js.member(value, len(value) - 1) if type(value) is list else UNDEFINED


def _slice(value: object, start: object = UNDEFINED, end: object = UNDEFINED) -> list[object]:
    return js.list_slice(value, start, end) if type(value) is list else []


#: The filters by name. A value that a filter is not made for becomes text or a number first; a filter of lists gives
#: an empty list, and `first`, `last` and `join` give undefined.
FILTERS: Final[Mapping[str, Filter]] = {
    "uppercase": Filter(lambda value: js.to_text(value).upper()),
    "lowercase": Filter(lambda value: js.to_text(value).lower()),
    "capitalize": Filter(lambda value: js.capitalized(js.to_text(value))),
    "trim": Filter(lambda value: js.trim(js.to_text(value))),
    "split": Filter(_split, most=1),
    "join": Filter(_join, most=1),
    "length": Filter(_length),
    "first": Filter(_first),
    "last": Filter(_last),
    "slice": Filter(_slice, most=2),
    "reverse": Filter(lambda value: value[::-1] if type(value) is list else []),
    "sort": Filter(lambda value: js.list_sorted(value) if type(value) is list else []),
    "abs": Filter(lambda value: js.double(abs(js.to_number(value)))),
    "round": Filter(lambda value: js.round_half_up(js.to_number(value))),
    "floor": Filter(lambda value: js.floor(js.to_number(value))),
    "ceil": Filter(lambda value: js.ceil(js.to_number(value))),
    "string": Filter(js.to_text),
    "number": Filter(js.to_number),
    "boolean": Filter(js.truthy),
    "keys": Filter(js.own_keys),
    "values": Filter(lambda value: [js.member(value, key) for key in js.own_keys(value)]),
    "json": Filter(js.json_text),
}
#: `a | default(b)` is `a ?? b`, and like it reads `b` only if it must: no filter in the table can do that.
_DEFAULT: Final = "default"
FILTER_NAMES: Final = (*FILTERS, _DEFAULT)


# What a value depends on


def _needed(node: Node, scope: Scope) -> frozenset[str]:
    """The names that the value of `node` still depends on. Only after Needed: it compiles anew at every step."""
    try:
        _compiled(node)(scope)
    except Needed as missing:
        match node:
            case Logical(symbol, operands):
                return _needed_in_turn(symbol, operands, scope)
            case Conditional(test, then, otherwise):
                for_test = _needed(test, scope)
                if for_test:
                    return for_test | _needed(then, scope) | _needed(otherwise, scope)
                return _needed(then if js.truthy(_compiled(test)(scope)) else otherwise, scope)
            case Agent() | Name():
                return frozenset({missing.name})
            case _:
                return _union(_needed(child, scope) for child in _children(node))
    return frozenset()


def _needed_in_turn(symbol: str, operands: tuple[Node, ...], scope: Scope) -> frozenset[str]:
    """Of operands in a row: those after the first that is known to decide are never read."""
    test, goes_on = _GOES_ON[symbol]
    found: list[frozenset[str]] = []
    for operand in operands:
        found.append(_needed(operand, scope))
        if not found[-1] and test(_compiled(operand)(scope)) is not goes_on:
            break
    return _union(found)


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)


# Compiling: one closure per node, each specialised where that saves time on every request.
# A value in flight is always one that a double holds, if it is a number: members, literals and operators see to it.

#: Which test of an operand makes a logical operator go on to the next: (test, the answer that does).
_GOES_ON: Final[Mapping[str, tuple[Callable[[object], bool], bool]]] = {
    "&&": (js.truthy, True),
    "||": (js.truthy, False),
    "??": (js.nullish, True),
}
#: How two ints are compared, which needs no conversion.
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compiled(node: Node) -> Evaluate:
    match node:
        case Literal(value):
            return lambda _: value
        case ArrayLiteral(items):
            elements = _all_compiled(items)
            return lambda scope: [element(scope) for element in elements]
        case Input() | Agent() | Name() | Member():
            return _compiled_path(node)
        case Index(of, key):
            return _compiled_index(of, _compiled(key))
        case Call(of, method, arguments):
            return _compiled_call(_compiled(of), METHODS[method], _all_compiled(arguments))
        case Unary(symbol, operand):
            return _applied(UNARY[symbol], _compiled(operand))
        case Binary(symbol, left, right):
            return _compiled_binary(symbol, left, right)
        case Logical(symbol, operands):
            return _compiled_logical(symbol, _all_compiled(operands))
        case Conditional(test, then, otherwise):
            return _compiled_conditional(_compiled(test), _compiled(then), _compiled(otherwise))
        case Filtered(value, name, arguments):
            return _applied(FILTERS[name].apply, _compiled(value), *_all_compiled(arguments))


def _all_compiled(nodes: Iterable[Node]) -> tuple[Evaluate, ...]:
    return tuple(_compiled(node) for node in nodes)


def _applied(function: Callable[..., object], *operands: Evaluate) -> Evaluate:
    if len(operands) == 1:
        (operand,) = operands
        return lambda scope: function(operand(scope))
    if len(operands) == 2:
        left, right = operands
        return lambda scope: function(left(scope), right(scope))
    return lambda scope: function(*[operand(scope) for operand in operands])


def _compiled_path(node: Node) -> Evaluate:
    """A root and the members after it, in one closure."""
    backwards: list[str] = []
    while isinstance(node, Member):
        backwards.append(node.key)
        node = node.of
    keys = tuple(reversed(backwards))
    match node:
        case Input():
            return _input_path(keys)
        case Agent(name):
            return _context_path(name, keys, _agents_variable(name))
        case Name(name):
            return _context_path(name, keys, _variable(name))
        case _:
            of = _compiled(node)
            return lambda scope: _follow(of(scope), keys)


def _follow(value: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        value = js.member(value, key)
    return value if keys else js.read(value)


def _input_path(keys: tuple[str, ...]) -> Evaluate:
    def read(scope: Scope) -> object:
        value = scope.input
        for key in keys:
            # Nearly always an object, whose member can be had without a call.
            value = value.get(key, UNDEFINED) if type(value) is dict else js.member(value, key)
        return js.double(value) if type(value) is int else value

    return read


def _context_path(name: str, keys: tuple[str, ...], variable: Evaluate) -> Evaluate:
    """What follows an agent's output, of which `output` is another name, or else a variable."""
    output_keys = keys[1:] if keys[:1] == ("output",) else keys

    def read(scope: Scope) -> object:
        if name in scope.outputs:
            return _follow(scope.outputs[name], output_keys)
        return _follow(variable(scope), keys)

    return read


def _variable(name: str) -> Evaluate:
    def read(scope: Scope) -> object:
        if name in scope.variables:
            return scope.variables[name]
        raise Needed(name)

    return read


def _agents_variable(name: str) -> Evaluate:
    """`agents.name` where the agent gave no output, but a variable `agents` was sent that knows it."""

    def read(scope: Scope) -> object:
        agents = scope.variables.get("agents")
        if js.has_member(agents, name):
            return js.member(agents, name)
        raise Needed(name)

    return read


def _compiled_index(of: Node, key: Evaluate) -> Evaluate:
    value_of = _compiled(of)
    # `output` is another name of an agent's output however it is spelled, so also where it is computed.
    agent = of.name if isinstance(of, (Agent, Name)) else None

    def read(scope: Scope) -> object:
        value = value_of(scope)
        if js.nullish(value):
            return UNDEFINED
        name = key(scope)
        if name == "output" and agent in scope.outputs:
            return value
        return js.member(value, name)

    return read


def _compiled_call(of: Evaluate, method: Method, arguments: tuple[Evaluate, ...]) -> Evaluate:
    def call(scope: Scope) -> object:
        value = of(scope)
        function = method.on_text if type(value) is str else method.on_list if type(value) is list else None
        if function is None:
            return UNDEFINED
        return function(value, *[argument(scope) for argument in arguments])

    return call


def _compiled_logical(symbol: str, operands: tuple[Evaluate, ...]) -> Evaluate:
    test, goes_on = _GOES_ON[symbol]
    *firsts, last = operands

    def evaluate(scope: Scope) -> object:
        for operand in firsts:
            value = operand(scope)
            if test(value) is not goes_on:
                return value
        return last(scope)

    return evaluate


def _compiled_conditional(test: Evaluate, then: Evaluate, otherwise: Evaluate) -> Evaluate:
    return lambda scope: then(scope) if js.truthy(test(scope)) else otherwise(scope)


def _compiled_binary(symbol: str, left: Node, right: Node) -> Evaluate:
    match symbol, left, right:
        case "%", _, Literal(int(divisor)) if type(divisor) is int and divisor > 0:
            return _remainder_by(_compiled(left), divisor)
        case ("===", operand, Literal(constant)) | ("===", Literal(constant), operand):
            return _equal_to(_compiled(operand), constant)
        case ("!==", operand, Literal(constant)) | ("!==", Literal(constant), operand):
            return _applied(operator.not_, _equal_to(_compiled(operand), constant))
        case (("<" | "<=" | ">" | ">="), _, _):
            return _ordered(_ORDERS[symbol], BINARY[symbol], _compiled(left), _compiled(right))
        case _:
            return _applied(BINARY[symbol], _compiled(left), _compiled(right))


def _remainder_by(operand: Evaluate, divisor: int) -> Evaluate:
    def evaluate(scope: Scope) -> object:
        value = operand(scope)
        # Only with a negative side do `%` of JavaScript and of Python differ.
        if type(value) is int and value >= 0:
            return value % divisor
        return js.remainder(value, divisor)

    return evaluate


def _equal_to(operand: Evaluate, constant: object) -> Evaluate:
    """`operand === constant`. What differs in type differs to Python's `==` too, except for booleans and numbers."""
    if type(constant) is str:
        return lambda scope: operand(scope) == constant
    if type(constant) is int or type(constant) is float:

        def evaluate(scope: Scope) -> object:
            value = operand(scope)
            return value == constant and type(value) is not bool

        return evaluate
    return lambda scope: operand(scope) is constant


def _ordered(
    order: Callable[[Any, Any], bool], compare: Callable[[object, object], object], left: Evaluate, right: Evaluate
) -> Evaluate:
    def evaluate(scope: Scope) -> object:
        a, b = left(scope), right(scope)
        if type(a) is int and type(b) is int:
            return order(a, b)
        return compare(a, b)

    return evaluate
