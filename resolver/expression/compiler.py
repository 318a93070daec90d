"""From a tree to a closure: what is called for each request. One closure per node, specialised where that saves time.

Rules:

- evaluation has no effect and one way to fail: `Needed`, at a name that the scope does not hold;
- a branch that is not taken is not evaluated;
- a value in flight is always one that a double holds, if it is a number: members, literals and operators see to it;
- a specialised closure gives what the plain function gives, for every value.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from resolver.expression import javascript as js
from resolver.expression.functions import BINARY, FILTERS, METHODS, UNARY, Method
from resolver.expression.javascript import UNDEFINED
from resolver.expression.scope import Needed, Scope
from resolver.expression.tree import (
    AgentOutput,
    ArrayLiteral,
    Binary,
    Call,
    Conditional,
    Filtered,
    Index,
    Input,
    Interpolation,
    Literal,
    Logical,
    Member,
    Name,
    Node,
    Placeholder,
    Unary,
)

#: A compiled node.
Evaluate: TypeAlias = Callable[[Scope], object]

#: Which test of an operand makes a logical operator go on to the next: (test, the answer that does).
GOES_ON: Final[Mapping[str, tuple[Callable[[object], bool], bool]]] = {
    "&&": (js.truthy, True),
    "||": (js.truthy, False),
    "??": (js.nullish, True),
}
#: How two ints are compared, which needs no conversion.
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compiled(node: Node) -> Evaluate:
    """The function that evaluates a tree in a scope."""
    match node:
        case Literal(value):
            return lambda _: value
        case ArrayLiteral(items):
            elements = _all_compiled(items)
            return lambda scope: [element(scope) for element in elements]
        case Input() | AgentOutput() | Name() | Member():
            return _path(node)
        case Index(of, key):
            return _index(of, compiled(key))
        case Call(of, method, arguments):
            return call(compiled(of), METHODS[method], _all_compiled(arguments))
        case Unary(symbol, operand):
            return applied(UNARY[symbol], compiled(operand))
        case Binary(symbol, left, right):
            return _binary(symbol, left, right)
        case Logical(symbol, operands):
            return _logical(symbol, _all_compiled(operands))
        case Conditional(test, then, otherwise):
            return conditional(compiled(test), compiled(then), compiled(otherwise))
        case Filtered(value, name, arguments):
            return applied(FILTERS[name].apply, compiled(value), *_all_compiled(arguments))
        case Interpolation(pieces):
            return _interpolation(pieces)


def _all_compiled(nodes: Iterable[Node]) -> tuple[Evaluate, ...]:
    return tuple(compiled(node) for node in nodes)


def applied(function: Callable[..., object], *operands: Evaluate) -> Evaluate:
    """The function of the operands' values."""
    if len(operands) == 1:
        (operand,) = operands
        return lambda scope: function(operand(scope))
    if len(operands) == 2:
        left, right = operands
        return lambda scope: function(left(scope), right(scope))
    return lambda scope: function(*[operand(scope) for operand in operands])


# Paths


def _path(node: Node) -> Evaluate:
    """A root and the members after it, in one closure."""
    backwards: list[str] = []
    while isinstance(node, Member):
        backwards.append(node.key)
        node = node.of
    keys = tuple(reversed(backwards))
    match node:
        case Input():
            return _input_path(keys)
        case AgentOutput(name, _):
            return _context_path(name, keys, _agents_variable(name))
        case Name(name, _):
            return _context_path(name, keys, _variable(name))
        case _:
            of = compiled(node)
            return lambda scope: _follow(of(scope), keys)


def _follow(value: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        value = js.member(value, key)
    return value if keys else js.from_json(value)


def _input_path(keys: tuple[str, ...]) -> Evaluate:
    def read(scope: Scope) -> object:
        value = scope.input
        for key in keys:
            # Nearly always an object, whose member can be had without a call.
            value = value.get(key, UNDEFINED) if type(value) is dict else js.member(value, key)
        return js.double(value) if type(value) is int else value

    return read


def _context_path(name: str, keys: tuple[str, ...], variable: Evaluate) -> Evaluate:
    """What follows an agent's output, of which `output` is another name, or else a variable.

    `success` and `failed` say whether the agent ran, unless its output has a member of that name.
    """
    output_keys = keys[1:] if keys[:1] == ("output",) else keys
    verdict = keys[0] if len(keys) == 1 and keys[0] in ("success", "failed") else None

    def read(scope: Scope) -> object:
        if name in scope.outputs:
            output = scope.outputs[name]
            if verdict is not None and not js.has_member(output, verdict):
                return verdict == "success" and output is not UNDEFINED
            return _follow(output, output_keys)
        return _follow(variable(scope), keys)

    return read


def _variable(name: str) -> Evaluate:
    def read(scope: Scope) -> object:
        if name in scope.variables:
            return scope.variables[name]
        raise Needed(name)

    return read


def _agents_variable(name: str) -> Evaluate:
    """`agents.name` where the agent gave no output, but a variable `agents` was sent that knows it."""

    def read(scope: Scope) -> object:
        agents = scope.variables.get("agents")
        if js.has_member(agents, name):
            return js.member(agents, name)
        raise Needed(name)

    return read


def _index(of: Node, key: Evaluate) -> Evaluate:
    value_of = compiled(of)
    # `output` is another name of an agent's output however it is spelled, so also where it is computed.
    agent = of.name if isinstance(of, (AgentOutput, Name)) else None

    def read(scope: Scope) -> object:
        value = value_of(scope)
        if js.nullish(value):
            return UNDEFINED
        name = key(scope)
        if name == "output" and agent in scope.outputs:
            return value
        return js.member(value, name)

    return read


def call(of: Evaluate, method: Method, arguments: tuple[Evaluate, ...]) -> Evaluate:
    """`of.method(arguments)`: undefined where there is no such method, and then no argument is evaluated."""

    def call(scope: Scope) -> object:
        value = of(scope)
        function = method.on_text if type(value) is str else method.on_list if type(value) is list else None
        if function is None:
            return UNDEFINED
        return function(value, *[argument(scope) for argument in arguments])

    return call


def _interpolation(pieces: Iterable[str | Placeholder]) -> Evaluate:
    """The text with each value in its place, as `String(value)` writes it. One that is undefined leaves its
    placeholder as it stands."""
    parts: list[tuple[str, Evaluate | None]] = [
        (piece, None) if isinstance(piece, str) else (piece.text, compiled(piece.value)) for piece in pieces
    ]

    def render(scope: Scope) -> str:
        texts = []
        for text, evaluate in parts:
            value = UNDEFINED if evaluate is None else evaluate(scope)
            texts.append(text if value is UNDEFINED else js.to_text(value))
        return js.concat(texts)

    return render


# Operators


def _logical(symbol: str, operands: tuple[Evaluate, ...]) -> Evaluate:
    """The first operand that decides, or the last."""
    test, goes_on = GOES_ON[symbol]
    *firsts, last = operands

    def evaluate(scope: Scope) -> object:
        for operand in firsts:
            value = operand(scope)
            if test(value) is not goes_on:
                return value
        return last(scope)

    return evaluate


def conditional(test: Evaluate, then: Evaluate, otherwise: Evaluate) -> Evaluate:
    """`test ? then : otherwise`."""
    return lambda scope: then(scope) if js.truthy(test(scope)) else otherwise(scope)


def _binary(symbol: str, left: Node, right: Node) -> Evaluate:
    match symbol, left, right:
        case "%", _, Literal(int(divisor)) if type(divisor) is int and divisor > 0:
            return _remainder_by(compiled(left), divisor)
        case ("===", operand, Literal(constant)) | ("===", Literal(constant), operand):
            return _equal_to(compiled(operand), constant)
        case ("!==", operand, Literal(constant)) | ("!==", Literal(constant), operand):
            return applied(operator.not_, _equal_to(compiled(operand), constant))
        case (("<" | "<=" | ">" | ">="), _, _):
            return _ordered(_ORDERS[symbol], BINARY[symbol], compiled(left), compiled(right))
        case _:
            return applied(BINARY[symbol], compiled(left), compiled(right))


def _remainder_by(operand: Evaluate, divisor: int) -> Evaluate:
    def evaluate(scope: Scope) -> object:
        value = operand(scope)
        # Only with a negative side do `%` of JavaScript and of Python differ.
        if type(value) is int and value >= 0:
            return value % divisor
        return js.remainder(value, divisor)

    return evaluate


def _equal_to(operand: Evaluate, constant: object) -> Evaluate:
    """`operand === constant`. What differs in type differs to Python's `==` too, except for booleans and numbers."""
    if type(constant) is str:
        return lambda scope: operand(scope) == constant
    if type(constant) is int or type(constant) is float:

        def evaluate(scope: Scope) -> object:
            value = operand(scope)
            return value == constant and type(value) is not bool

        return evaluate
    return lambda scope: operand(scope) is constant


def _ordered(
    order: Callable[[Any, Any], bool], compare: Callable[[object, object], object], left: Evaluate, right: Evaluate
) -> Evaluate:
    def evaluate(scope: Scope) -> object:
        a, b = left(scope), right(scope)
        if type(a) is int and type(b) is int:
            return order(a, b)
        return compare(a, b)

    return evaluate
