"""The tree of an expression: one frozen class for each form that the language has.

Rules:

- a node holds what its form says and nothing else, so that two texts which say the same have equal trees;
- whoever handles nodes handles each kind: mypy finds a `match` over `Node` that forgets one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: null, undefined, a boolean, a number or a text."""

    value: object


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    """`[a, b]`: a new list each time."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """`input` or `trigger`."""


@dataclass(frozen=True, slots=True)
class AgentOutput:
    """`agents.name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """Any other name: an agent's, or else a variable's."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`of.key`, also where it is written `of["key"]`."""

    of: Node
    key: str


@dataclass(frozen=True, slots=True)
class Index:
    """`of[key]`."""

    of: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Call:
    """`of.method(arguments)`, with one of METHODS."""

    of: Node
    method: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`!operand`, `-operand` or `+operand`."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`, with one of PRECEDENCE: both sides are always evaluated."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logical:
    """Two or more operands with `&&`, `||` or `??` between them: the first that decides is the last evaluated."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """`test ? then : otherwise`."""

    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Filtered:
    """`value | filter(arguments)`, with one of FILTERS; `default` is a Logical."""

    value: Node
    filter: str
    arguments: tuple[Node, ...]


Node: TypeAlias = (
    Literal
    | ArrayLiteral
    | Input
    | AgentOutput
    | Name
    | Member
    | Index
    | Call
    | Unary
    | Binary
    | Logical
    | Conditional
    | Filtered
)


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below, in the order in which they are written."""
    match node:
        case ArrayLiteral(items):
            return items
        case Member(of, _):
            return (of,)
        case Index(of, key):
            return (of, key)
        case Call(of, _, arguments):
            return (of, *arguments)
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Logical(_, operands):
            return operands
        case Conditional(test, then, otherwise):
            return (test, then, otherwise)
        case Filtered(value, _, arguments):
            return (value, *arguments)
        case Literal() | Input() | AgentOutput() | Name():
            return ()


def walk(tree: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth. It keeps its own stack, as it meets trees before their depth is checked."""
    pending = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        yield node, depth
        pending.extend((child, depth + 1) for child in children(node))


def names(tree: Node) -> frozenset[str]:
    """The names that the tree may read: of agents, of variables, and `input`."""
    found = set()
    for node, _ in walk(tree):
        match node:
            case Input():
                found.add("input")
            case AgentOutput(name) | Name(name):
                found.add(name)
    return frozenset(found)
