"""Templates: texts with placeholders, each of which is an expression."""

from __future__ import annotations

from dataclasses import dataclass, field

from resolver.expression.compiler import Evaluate, compiled
from resolver.expression.expression import Expression
from resolver.expression.needs import needed
from resolver.expression.parser import parse_placeholder
from resolver.expression.scope import Scope
from resolver.expression.tokens import PLACEHOLDER, Tokens
from resolver.expression.tree import Interpolation, Literal, Node, Placeholder, names


@dataclass(frozen=True, slots=True)
class Template:
    """A text with any number of placeholders. `expression` is set if the text is one placeholder and nothing else."""

    text: str
    expression: Expression | None
    names: frozenset[str]
    tree: Node = field(repr=False, compare=False)
    closure: Evaluate = field(repr=False, compare=False)
    pieces: tuple[str | Expression, ...] = field(repr=False, compare=False)

    def render(self, scope: Scope) -> object:
        """The text with each value in its place; the value itself, with its type, if the text is one placeholder.

        A value is turned into text as by `String(value)`, and one that is undefined leaves its placeholder as it
        stands. Raises `Needed`, and nothing else.
        """
        return self.closure(scope)

    def needs(self, scope: Scope) -> tuple[str, ...]:
        """The names, sorted, that the text still depends on."""
        return tuple(sorted(needed(self.tree, scope)))


def parse_template(text: str) -> Template:
    """Any text: what stands in `${…}` or `{{…}}` is an expression, all else is itself.

    Raises `InvalidExpression` with an offset into `text`.
    """
    pieces = template_pieces(text)
    expressions = tuple(piece if isinstance(piece, str) else Expression.of(piece.text, piece.value) for piece in pieces)
    whole = expressions[0] if len(expressions) == 1 and isinstance(expressions[0], Expression) else None
    tree = template_tree(pieces)
    return Template(text, whole, names(tree), tree, compiled(tree), expressions)


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
