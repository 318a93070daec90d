"""Conditions on the way to an agent, each of one of three kinds.

What `else` and `switch` say becomes an expression here, so that whoever decides a condition knows nothing of them.
Whoever tells the kinds apart handles each: mypy finds a `match` that forgets one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from resolver.ensemble.sites import Site
from resolver.expression import Expression
from resolver.expression.tree import ArrayLiteral, Binary, Call, Filtered, Literal, Unary


@dataclass(frozen=True)
class Evaluated:
    """It holds where the value of the expression is true. `path` is where it stands, and `text` what stands there.

    `during` are names that only the run has at that place (the `item` of a `foreach`), and `absent` those that are
    undefined before the first round of a loop, unless they were sent.
    """

    path: str
    text: str
    expression: Expression
    during: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fixed:
    """It holds or does not, whatever the request: `when: false`."""

    path: str
    text: str
    holds: bool


@dataclass(frozen=True)
class DuringRun:
    """Nobody knows before the run: a `catch` runs when its `try` fails."""

    path: str
    text: str


Condition: TypeAlias = Evaluated | Fixed | DuringRun


@dataclass(frozen=True, slots=True)
class Way:
    """The steps around a step: the conditions that all must hold for it to run, from the outermost in; the names that
    only the run has there; the references that stand on those steps themselves."""

    conditions: tuple[Condition, ...] = ()
    during: frozenset[str] = frozenset()
    sites: tuple[Site, ...] = ()

    def then(self, conditions: Iterable[Condition]) -> Way:
        """The way with more conditions."""
        return replace(self, conditions=(*self.conditions, *conditions))


def negated(condition: Evaluated | Fixed) -> Evaluated | Fixed:
    """The `else` of a branch."""
    match condition:
        case Fixed(holds=holds):
            return replace(condition, holds=not holds)
        case Evaluated(expression=expression):
            opposite = Expression.of(f"!({expression.text})", Unary("!", expression.tree))
            return replace(condition, expression=opposite)


def is_case(path: str, text: str, value: Expression, case: str) -> Evaluated:
    """A case of a switch: `String(value)` is the case's key."""
    written = Filtered(value.tree, "string", ())
    expression = Expression.of(f"({text} | string) === {_quoted(case)}", Binary("===", written, Literal(case)))
    return Evaluated(path, text, expression)


def is_no_case(path: str, text: str, value: Expression, cases: Iterable[str]) -> Evaluated:
    """The `default` of a switch."""
    cases = tuple(cases)
    listed = ArrayLiteral(tuple(Literal(case) for case in cases))
    tree = Unary("!", Call(listed, "includes", (Filtered(value.tree, "string", ()),)))
    among = ", ".join(map(_quoted, cases))
    return Evaluated(path, text, Expression.of(f"![{among}].includes(({text} | string))", tree))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
