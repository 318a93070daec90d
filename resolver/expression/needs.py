"""Which names a value still depends on, in a scope that does not hold them all.

Rules:

- what stands in a branch that the scope already rules out is not counted;
- a value that comes out although a name is missing depends on nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from resolver.expression import javascript as js
from resolver.expression.compiler import GOES_ON, compiled
from resolver.expression.scope import Needed, Scope
from resolver.expression.tree import AgentOutput, Conditional, Logical, Name, Node, children


def needed(node: Node, scope: Scope) -> frozenset[str]:
    """The names that the value of `node` still depends on. Only after Needed: it compiles anew at every step."""
    try:
        compiled(node)(scope)
    except Needed as missing:
        match node:
            case Logical(symbol, operands):
                return _needed_in_turn(symbol, operands, scope)
            case Conditional(test, then, otherwise):
                for_test = needed(test, scope)
                if for_test:
                    return for_test | needed(then, scope) | needed(otherwise, scope)
                return needed(then if js.truthy(compiled(test)(scope)) else otherwise, scope)
            case AgentOutput() | Name():
                return frozenset({missing.name})
            case _:
                return _union(needed(child, scope) for child in children(node))
    return frozenset()


def _needed_in_turn(symbol: str, operands: tuple[Node, ...], scope: Scope) -> frozenset[str]:
    """Of operands in a row: those after the first that is known to decide are never read."""
    test, goes_on = GOES_ON[symbol]
    found: list[frozenset[str]] = []
    for operand in operands:
        found.append(needed(operand, scope))
        if not found[-1] and test(compiled(operand)(scope)) is not goes_on:
            break
    return _union(found)


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*sets)
