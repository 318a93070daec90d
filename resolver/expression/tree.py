"""The tree of an expression: one frozen class for each form that the language has.

Rules:

- two texts that say the same have equal trees: where a name stands is kept for errors, and not compared;
- whoever handles nodes handles each kind: mypy finds a `match` over `Node` that forgets one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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
    """`agents.name`; `offset` is where the name stands in the whole text."""

    name: str
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    """Any other name: an agent's, or else a variable's; `offset` is where it stands in the whole text."""

    name: str
    offset: int = field(default=0, compare=False)


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


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`${value}` or `{{value}}` within a text; `text` is how it is written."""

    text: str
    value: Node


@dataclass(frozen=True, slots=True)
class Interpolation:
    """A text with placeholders: `Hi ${name}`. Texts and placeholders in the order in which they stand."""

    pieces: tuple[str | Placeholder, ...]


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
    | Interpolation
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
        case Interpolation(pieces):
            return tuple(piece.value for piece in pieces if isinstance(piece, Placeholder))
        case Literal() | Input() | AgentOutput() | Name():
            return ()


def walk(tree: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth. It keeps its own stack, as it meets trees before their depth is checked."""
    pending = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        yield node, depth
        pending.extend((child, depth + 1) for child in children(node))


def named(tree: Node) -> list[AgentOutput | Name]:
    """The nodes that name an agent or a variable, in the order in which they are written."""
    found = [node for node, _ in walk(tree) if isinstance(node, (AgentOutput, Name))]
    return sorted(found, key=lambda node: node.offset)


def names(tree: Node) -> frozenset[str]:
    """The names that the tree may read: of agents, of variables, and `input`."""
    found = {node.name for node in named(tree)}
    return frozenset(found | {"input"} if any(isinstance(node, Input) for node, _ in walk(tree)) else found)
