"""Which names of an expression nothing has: a slip, or something that the caller sends besides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from resolver.errors import InvalidExpression, listed, nearest
from resolver.expression.expression import Expression
from resolver.expression.key import Key
from resolver.expression.tree import AgentOutput, Input, Member, named, walk

#: The names that a context has without an ensemble saying so.
CONTEXT_NAMES: Final = ("input", "trigger", "state", "env", "params", "agents")


class UnknownName(NamedTuple):
    """A name that is not known. `hint` says which one is close to it; it is empty where none is."""

    name: str
    offset: int
    hint: str
    known: tuple[str, ...]

    def fault(self, text: str) -> InvalidExpression:
        """The error of this name in the text that was parsed."""
        detail = f"nothing here is called `{self.name}`.{self.hint} There are: {listed(self.known)}"
        return InvalidExpression(detail, text=text, offset=self.offset)


def unknown_names(parsed: Expression | Key, known: Iterable[str]) -> tuple[UnknownName, ...]:
    """The names that are neither `known` (the agents and steps of an ensemble) nor CONTEXT_NAMES, as they are written.

    A caller may send any other name in its context. So one without a hint may well be right.
    """
    agents = tuple(known)
    found = []
    for node in named(parsed.tree):
        names = agents if isinstance(node, AgentOutput) else (*CONTEXT_NAMES, *agents)
        if node.name not in names:
            found.append(UnknownName(node.name, node.offset, nearest(node.name, names), names))
    return tuple(found)


def input_fields(parsed: Expression | Key) -> frozenset[str] | None:
    """The fields of the input that the value may depend on; None where it may be any."""
    nodes = [node for node, _ in walk(parsed.tree)]
    members = [node for node in nodes if isinstance(node, Member) and isinstance(node.of, Input)]
    # Each `input.x` holds an `input`, which is a node of its own.
    whole = sum(isinstance(node, Input) for node in nodes) > len(members)
    return None if whole else frozenset(node.key for node in members)
