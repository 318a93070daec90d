"""Templates: texts with placeholders, each of which is an expression."""

from __future__ import annotations

from dataclasses import dataclass, field

from resolver.expression import javascript as js
from resolver.expression.expression import Expression
from resolver.expression.javascript import UNDEFINED
from resolver.expression.parser import parse_placeholder
from resolver.expression.scope import Scope
from resolver.expression.tokens import PLACEHOLDER, Tokens


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


def parse_template(text: str) -> Template:
    """Any text: what stands in `${…}` or `{{…}}` is an expression, all else is itself.

    Raises `InvalidExpression` with an offset into `text`.
    """
    pieces: list[str | Expression] = []
    end = 0
    while opener := PLACEHOLDER.search(text, end):
        start = opener.start()
        tokens = Tokens(text, start)
        tree = parse_placeholder(tokens)
        pieces += [text[end:start], Expression.of(text[start : tokens.end], tree)]
        end = tokens.end
    kept = tuple(piece for piece in (*pieces, text[end:]) if piece)
    expressions = [piece for piece in kept if isinstance(piece, Expression)]
    return Template(
        text=text,
        expression=expressions[0] if len(kept) == len(expressions) == 1 else None,
        names=frozenset(name for expression in expressions for name in expression.names),
        pieces=kept,
    )
