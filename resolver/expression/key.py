"""What requests are drawn by: a template whose parts must all be there, or else it gives no key.

JavaScript turns everything into text: `user-${input.user}` is `user-undefined` for all who are not logged in, and
`user-[object Object]` for all who are. One such key would put everybody on the same side of a canary. So here, and
only here:

- a part is what becomes text or a number: what a placeholder holds, each side of `+ - * / %`, what a filter takes, and
  each element that `join` writes;
- a part is a text or a number. One that is missing, null, empty, NaN, a boolean, a list or an object makes the whole no
  key, and `NoKey` says which one;
- an empty text that is written as such is one: `'' + input.id`;
- `??`, `||` and `default` go on where what is before them gives no key;
- a filter of lists or objects, and `json`, take lists and objects too;
- what only decides (a test before `?`, both sides of a comparison) is evaluated as anywhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from resolver.errors import InvalidExpression
from resolver.expression import compiler
from resolver.expression import javascript as js
from resolver.expression.compiler import Evaluate, compiled
from resolver.expression.expression import Expression, parse_expression
from resolver.expression.functions import BINARY, FILTERS, METHODS, UNARY
from resolver.expression.javascript import UNDEFINED
from resolver.expression.scope import Needed, Scope
from resolver.expression.template import parse_template
from resolver.expression.tree import (
    AgentOutput,
    ArrayLiteral,
    Binary,
    Call,
    Conditional,
    Filtered,
    Index,
    Input,
    Interpolation,
    Literal,
    Logical,
    Member,
    Name,
    Node,
    Placeholder,
    Unary,
)

#: The operators whose sides become text or numbers.
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%"})
#: The filters that make neither text nor a number of what they take.
_OF_ANYTHING: Final = frozenset(
    {"first", "last", "slice", "reverse", "sort", "join", "length", "keys", "values", "boolean", "json"}
)
#: `$input.user_id` as a whole, the older form of `${input.user_id}`.
_OLDER_FORM = re.compile(r"\$[^\W\d][\w.-]*")


@dataclass(frozen=True, slots=True)
class NoKey:
    """There is no key for this input: `why` says which part is at fault, as in "`input.user` is null"."""

    why: str


@dataclass(frozen=True, slots=True)
class Key:
    """A parsed key. `names` are the roots that it may read."""

    text: str
    names: frozenset[str]
    tree: Node = field(repr=False, compare=False)
    closure: Evaluate = field(repr=False, compare=False)

    @classmethod
    def of(cls, template: Expression) -> Key:
        """The key that a template gives."""
        return cls(template.text, template.names, template.tree, _value(template.tree, template.text, _is_part))

    def evaluate(self, scope: Scope) -> str | NoKey:
        """The key in this scope, as `String(value)` writes it. Raises nothing."""
        try:
            return js.to_text(self.closure(scope)) or NoKey(f"`{self.text}` is empty")
        except _Absent as absent:
            return NoKey(absent.why)
        except Needed as needed:
            return NoKey(f"`{needed.name}` was not sent")


def parse_key(text: str) -> Key:
    """A key: what stands in placeholders is read, all else is text.

    Raises `InvalidExpression` with an offset into `text`, also for a key that reads nothing.
    """
    template = parse_expression(text) if _OLDER_FORM.fullmatch(text) else parse_template(text)
    if not template.names:
        detail = f"`{text[:40]}` is the same for every request; the key is an expression: ${{input.user_id}}"
        raise InvalidExpression(detail, text=text, offset=0)
    return Key.of(template)


class _Absent(Exception):
    """A part that gives no key, and why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


_Accepts: TypeAlias = Callable[[object], bool]


def _is_part(value: object) -> bool:
    if type(value) is str:
        return value != ""
    return type(value) is int or (type(value) is float and not math.isnan(value))


def _is_there(value: object) -> bool:
    return _is_part(value) or type(value) is list or type(value) is dict


def _is_anything(_: object) -> bool:
    return True


def _value(node: Node, text: str, accepts: _Accepts) -> Evaluate:
    """The value of a node, if it is accepted. Raises `_Absent` where it is not, or where a part of it is none.

    `text` is what stands there, to be told.
    """
    match node:
        case Literal(str(_)):
            return compiled(node)
        case Logical("??" | "||" as symbol, operands):
            return _first_accepted(symbol, [_value(operand, text, accepts) for operand in operands])
        case Logical("&&", (*firsts, last)):
            tests = [(_value(first, text, _is_anything), _value(first, text, accepts)) for first in firsts]
            return _last_accepted(tests, _value(last, text, accepts))
        case Conditional(test, then, otherwise):
            return compiler.conditional(compiled(test), _value(then, text, accepts), _value(otherwise, text, accepts))
        case _:
            return _checked(_of_parts(node, text), accepts, _path(node) or text)


def _checked(evaluate: Evaluate, accepts: _Accepts, written: str) -> Evaluate:
    def checked(scope: Scope) -> object:
        value = evaluate(scope)
        if accepts(value):
            return value
        raise _Absent(f"`{written}` is {_kind(value)}")

    return checked


def _first_accepted(symbol: str, operands: Sequence[Evaluate]) -> Evaluate:
    *firsts, last = operands

    def evaluate(scope: Scope) -> object:
        for operand in firsts:
            try:
                value = operand(scope)
            except _Absent:
                continue
            if symbol == "??" or js.truthy(value):
                return value
        return last(scope)

    return evaluate


def _last_accepted(tests: Sequence[tuple[Evaluate, Evaluate]], last: Evaluate) -> Evaluate:
    """`a && b`. Each test is there twice: to be asked, and to be the value where its answer is no."""

    def evaluate(scope: Scope) -> object:
        for test, value in tests:
            if not js.truthy(test(scope)):
                return value(scope)
        return last(scope)

    return evaluate


def _of_parts(node: Node, text: str) -> Evaluate:
    """The value of a node, whose parts must all be accepted."""
    match node:
        case Unary("-" | "+" as symbol, operand):
            return compiler.applied(UNARY[symbol], _value(operand, text, _is_part))
        case Binary(symbol, left, right) if symbol in _ARITHMETIC:
            return compiler.applied(BINARY[symbol], _value(left, text, _is_part), _value(right, text, _is_part))
        case Interpolation(pieces):
            return _interpolation(pieces)
        case Filtered(value, name, arguments):
            accepts = _is_there if name in _OF_ANYTHING else _is_part
            function = _join(text) if name == "join" else FILTERS[name].apply
            return compiler.applied(function, _value(value, text, accepts), *map(compiled, arguments))
        case Call(of, method, arguments):
            return compiler.call(_value(of, text, _is_there), METHODS[method], tuple(map(compiled, arguments)))
        case ArrayLiteral(items):
            elements = [_value(item, text, _is_anything) for item in items]
            return lambda scope: [element(scope) for element in elements]
        case Member(of, name) if not _path(of):
            return compiler.applied(js.member, _value(of, text, _is_there), lambda _: name)
        case Index(of, key) if not _path(of):
            return compiler.applied(js.member, _value(of, text, _is_there), compiled(key))
        case _:
            return compiled(node)


def _interpolation(pieces: tuple[str | Placeholder, ...]) -> Evaluate:
    parts = [
        compiled(Literal(piece)) if isinstance(piece, str) else _value(piece.value, piece.text, _is_part)
        for piece in pieces
    ]
    return lambda scope: js.concat(js.to_text(part(scope)) for part in parts)


def _join(text: str) -> Callable[..., object]:
    """The filter `join`, of elements that are parts."""
    plain = FILTERS["join"].apply

    def join(value: object, *separator: object) -> object:
        for element in value if type(value) is list else ():
            if not _is_part(element):
                raise _Absent(f"an element of `{text}` is {_kind(element)}")
        return plain(value, *separator)

    return join


def _path(node: Node) -> str:
    """A path as it is written; empty for what is none."""
    match node:
        case Input():
            return "input"
        case Name(name, _):
            return name
        case AgentOutput(name, _):
            return f"agents.{name}"
        case Member(of, key):
            before = _path(of)
            return f"{before}.{key}" if before else ""
        case _:
            return ""


def _kind(value: object) -> str:
    """What a value is that is no part."""
    if value is UNDEFINED:
        return "missing"
    if value is None:
        return "null"
    if value == "":
        return "empty"
    kinds = {bool: "a boolean", list: "a list", dict: "an object"}
    return kinds.get(type(value), "not a number")
