"""Whether what a path calculates with is there.

To the expressions' language, as to JavaScript, null, false, "" and [] are 0 in a sum. Of figures they are no data: a
metric that is missing must not make a version good, or bad.

Rules:

- what is calculated with or put in an order is a finite number, or a text that is one;
- what is tested (`all ? bad / all : 0`) is there: no null, nothing undefined, empty or NaN;
- `??` and `||` say what to take instead, so nothing is asked of what stands before them;
- only what is evaluated counts: not the branch that is not taken.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Final

from edgit.guard.readings import Unreadable, excerpt
from resolver.expression import UNDEFINED, Scope
from resolver.expression.compiler import GOES_ON, compiled
from resolver.expression.javascript import truthy
from resolver.expression.tree import Binary, Conditional, Index, Input, Literal, Logical, Member, Name, Node, Unary
from resolver.expression.tree import children as parts_of

NUMBER: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|nan)", re.IGNORECASE)
_CALCULATED: Final = frozenset({"+", "-", "*", "/", "%", "<", "<=", ">", ">="})


def refuse_missing(tree: Node, scope: Scope) -> None:
    """Raises `Unreadable` where an operand has no value to calculate with, and `Needed` as evaluating does."""
    # What is inside first: a message names what is missing, not the sum with it.
    for part in _evaluated(tree, scope):
        refuse_missing(part, scope)
    match tree:
        case Unary("-" | "+", operand):
            _refuse_no_number(operand, scope)
        case Binary(operator, left, right) if operator in _CALCULATED:
            values = [_refuse_no_number(operand, scope) for operand in (left, right)]
            if operator == "+" and any(isinstance(value, str) for value in values):
                raise Unreadable(f"`{_shown(left)} + {_shown(right)}` joins texts; `+` before each makes it a number")
        case Conditional(test, _, _):
            _refuse_nothing(test, scope)


def _evaluated(tree: Node, scope: Scope) -> Iterator[Node]:
    """The parts of a node that its value is made from."""
    match tree:
        case Conditional(test, then, otherwise):
            yield from (test, then if truthy(compiled(test)(scope)) else otherwise)
        case Logical(operator, operands):
            holds, goes_on = GOES_ON[operator]
            for operand in operands:
                yield operand
                if operator == "&&" and operand is not operands[-1]:
                    _refuse_nothing(operand, scope)
                if holds(compiled(operand)(scope)) is not goes_on:
                    return
        case _:
            yield from parts_of(tree)


def _refuse_no_number(operand: Node, scope: Scope) -> object:
    value = compiled(operand)(scope)
    number = value if type(value) in (int, float) else None
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        number = float(value.strip())
    if not isinstance(number, int | float) or not math.isfinite(number):
        raise Unreadable(f"{_told(operand, value)}, and no number to calculate with")
    return value


def _refuse_nothing(operand: Node, scope: Scope) -> None:
    value = compiled(operand)(scope)
    if value is UNDEFINED or value is None or value in ("", []) or value != value:  # noqa: PLR0124
        raise Unreadable(f"{_told(operand, value)}, and nothing to decide by")


def _told(operand: Node, value: object) -> str:
    said = "not there" if value is UNDEFINED else excerpt(json.dumps(value, default=str))
    return f"`{_shown(operand)}` is {said}"


def _shown(node: Node) -> str:
    """A path as it is written; what is calculated is `…`."""
    match node:
        case Input():
            return "input"
        case Name(name, _):
            return name
        case Literal(value):
            return json.dumps(value, default=str)
        case Member(of, key):
            return f"{_shown(of)}.{key}"
        case Index(of, key):
            return f"{_shown(of)}[{_shown(key)}]"
        case _:
            return "…"
