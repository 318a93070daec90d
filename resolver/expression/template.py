"""Templates: texts with placeholders, each of which is an expression."""

from __future__ import annotations

from resolver.expression.expression import Expression
from resolver.expression.parser import parse_placeholder
from resolver.expression.tokens import PLACEHOLDER, Tokens
from resolver.expression.tree import Interpolation, Literal, Node, Placeholder


def parse_template(text: str) -> Expression:
    """Any text: what stands in `${…}` or `{{…}}` is an expression, all else is itself.

    Its value is the text with each value in its place, as `String(value)` writes it; one that is undefined leaves its
    placeholder as it stands. A text that is one placeholder and nothing else has that one's value, with its type.
    Raises `InvalidExpression` with an offset into `text`.
    """
    return Expression.of(text, template_tree(template_pieces(text)))


def template_pieces(text: str) -> tuple[str | Placeholder, ...]:
    """The texts and the placeholders of a template, in turn. Raises `InvalidExpression`."""
    pieces: list[str | Placeholder] = []
    end = 0
    while opener := PLACEHOLDER.search(text, end):
        start = opener.start()
        tokens = Tokens(text, start)
        placeholder = parse_placeholder(tokens)
        pieces += [text[end:start], placeholder]
        end = tokens.end
    return tuple(piece for piece in (*pieces, text[end:]) if piece)


def template_tree(pieces: tuple[str | Placeholder, ...]) -> Node:
    """What the pieces amount to: a text, one placeholder's value, or a text with values in it."""
    match pieces:
        case ():
            return Literal("")
        case (str(text),):
            return Literal(text)
        case (Placeholder(_, value),):
            return value
        case _:
            return Interpolation(pieces)
