"""A parsed expression, which is what a condition is: its text, the names in it, and the function that evaluates it."""

from __future__ import annotations

from dataclasses import dataclass, field

from resolver.expression.compiler import Evaluate, compiled
from resolver.expression.needs import needed
from resolver.expression.parser import parse
from resolver.expression.scope import Scope
from resolver.expression.tokens import Tokens
from resolver.expression.tree import Node, names


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. `names` are the roots that it may read: agents, variables, and `input` for `trigger` too."""

    text: str
    names: frozenset[str]
    tree: Node = field(repr=False, compare=False)
    closure: Evaluate = field(repr=False, compare=False)

    @classmethod
    def of(cls, text: str, tree: Node) -> Expression:
        """The expression whose text was parsed as this tree."""
        return cls(text, names(tree), tree, compiled(tree))

    def evaluate(self, scope: Scope) -> object:
        """The value in this scope, UNDEFINED included. Raises `Needed`, and nothing else."""
        return self.closure(scope)

    def needs(self, scope: Scope) -> tuple[str, ...]:
        """The names, sorted, that the value still depends on; empty where `evaluate` gives a value.

        What stands in a branch that this scope already rules out is not counted.
        """
        return tuple(sorted(needed(self.tree, scope)))


def parse_expression(text: str) -> Expression:
    """A condition, or any text that is one expression as a whole: `a`, `${a}`, `{{a}}`, `${a} && ${b}`.

    Raises `InvalidExpression` with an offset into `text`.
    """
    return Expression.of(text, parse(Tokens(text)))
