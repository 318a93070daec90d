"""What a field of an ensemble holds: an expression, or a text with placeholders.

The rule, for every field that may hold either:

1. A text without a placeholder, and one that is a placeholder and nothing else, is an expression.
2. What decides something outside of its placeholders is an expression as a whole: one of `=== !== == != < <= > >=`,
   `&& || ??`, `? :` or a filter's `|` stands there, as in `${status} == 'pending'`.
3. So is what can be read as one, names nothing outside of its placeholders, and has no letter, digit or sign that
   touches one of them: `!${x}`, `${a} + ${b}`, `(${a})`.
4. All else is a text with values in it: `${input.tier}-${input.region}`, `level-${input.n}`, `Dear ${input.name}`.

A condition is always an expression. So a text is refused there, and `${a}.b` is a member of `${a}`.

A text that has one of `== != <= >= && || ??` and cannot be read as an expression is an error: a text hardly ever has
them, and an expression with a slip in it must not become a text in silence.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from resolver.errors import InvalidExpression
from resolver.expression import javascript as js
from resolver.expression.expression import Expression, parse_expression
from resolver.expression.template import template_pieces, template_tree
from resolver.expression.tokens import PLACEHOLDER
from resolver.expression.tree import Placeholder, named

_Pieces = tuple[str | Placeholder, ...]

_DECIDES = re.compile(r"[=!]=|[<>?|]|&&")
_SURELY_DECIDES = re.compile(r"[=!<>]=|&&|\|\||\?\?")
#: What may stand right before and right after a placeholder without being one text with it.
_FREE_BEFORE: Final = js.WHITESPACE + "([,!"
_FREE_AFTER: Final = js.WHITESPACE + ")],"
#: What goes on into the value of a placeholder, in a condition.
_MEMBER: Final = ".["


def parse_field(text: str) -> Expression:
    """The value of a field, for instance of a switch's `value`: by the rule above an expression, or else a text.

    Raises `InvalidExpression` with an offset into `text`.
    """
    pieces = _pieces(text)
    if not pieces:
        return parse_expression(text)
    try:
        expression = parse_expression(text)
    except InvalidExpression:
        if _SURELY_DECIDES.search(_outside(pieces)):
            raise
        return Expression.of(text, template_tree(pieces))
    if _decides(pieces) or (_touched(pieces) is None and not _names_outside(expression, pieces)):
        return expression
    return Expression.of(text, template_tree(pieces))


def parse_condition(text: str) -> Expression:
    """A condition. It is an expression: a text with values in it would always be true, and is refused.

    Raises `InvalidExpression` with an offset into `text`.
    """
    expression = parse_expression(text)
    pieces = _pieces(text)
    touched = None if _decides(pieces) else _touched(pieces, _FREE_AFTER + _MEMBER)
    if touched is not None:
        detail = (
            "this is a text with values in it, and a text is always true: compare it (`… === 'x'`), "
            "or put spaces round the operator"
        )
        raise InvalidExpression(detail, text=text, offset=touched)
    return expression


def _pieces(text: str) -> _Pieces:
    """The pieces of a text that can be a template; none where it has no placeholder."""
    if PLACEHOLDER.search(text) is None:
        return ()
    try:
        return template_pieces(text)
    except InvalidExpression:
        # An expression may hold `${` in quotes; and if it is none, its own fault is the one to tell.
        return ()


def _decides(pieces: _Pieces) -> bool:
    return _DECIDES.search(_outside(pieces)) is not None


def _touched(pieces: _Pieces, free_after: str = _FREE_AFTER) -> int | None:
    """Where something makes one text with a placeholder; None where nothing does."""
    offset = 0
    for left, right in pairwise(pieces):
        offset += len(left if isinstance(left, str) else left.text)
        if isinstance(left, str) and left[-1] not in _FREE_BEFORE:
            return offset - 1
        if isinstance(left, Placeholder) and (isinstance(right, Placeholder) or right[0] not in free_after):
            return offset
    return None


def _names_outside(expression: Expression, pieces: _Pieces) -> bool:
    """Whether the expression names an agent or a variable outside of its placeholders, as `${n} in stock` does."""
    inside: set[int] = set()
    offset = 0
    for piece in pieces:
        length = len(piece if isinstance(piece, str) else piece.text)
        if isinstance(piece, Placeholder):
            inside.update(range(offset, offset + length))
        offset += length
    return any(node.offset not in inside for node in named(expression.tree))


def _outside(pieces: _Pieces) -> str:
    # With a space for each placeholder, so that none joins two signs into an operator.
    return " ".join(piece for piece in pieces if isinstance(piece, str))
