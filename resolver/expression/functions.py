"""The function behind each operator, each method and each filter: three tables, by the symbol or name that is written.

Rules:

- what an operator or a method does is JavaScript's, from `javascript`; what a filter does is said here;
- a filter never fails: a value that it is not made for becomes text or a number first, and of what is no list a filter
  of lists gives an empty list, or undefined (`first`, `last`, `join`).

Not here: `&&`, `||`, `??`, `? :` and the filter `default`, which do not read all of their operands (see `compiler`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from resolver.expression import javascript as js
from resolver.expression.javascript import UNDEFINED

# Operators


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

# Methods


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

# Filters


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
    return js.text_length(value) if type(value) is str else 0


def _first(value: object) -> object:
    return js.member(value, 0) if type(value) is list else UNDEFINED


def _last(value: object) -> object:
    return js.member(value, len(value) - 1) if type(value) is list else UNDEFINED


def _slice(value: object, start: object = UNDEFINED, end: object = UNDEFINED) -> list[object]:
    return js.list_slice(value, start, end) if type(value) is list else []


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
DEFAULT: Final = "default"
FILTER_NAMES: Final = (*FILTERS, DEFAULT)
