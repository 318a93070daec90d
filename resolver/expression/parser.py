"""From tokens to a tree: one function for each rule of the grammar, which stands in its docstring.

Rules:

- a function begins at the first token of its rule and ends at the first token that is no part of it;
- `depth` counts how far a rule is nested, and no tree is deeper than DEEPEST, so that neither parsing nor evaluating
  exhausts Python's stack;
- an operator between constants is computed at once: `-1` is a constant;
- what touches a placeholder is one text with it, if it is a name, dashes, or another placeholder.

NAME, NUMBER, STRING and OPERATOR are tokens. Binary operators are those of PRECEDENCE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from resolver.errors import listed, nearest
from resolver.expression import javascript as js
from resolver.expression.functions import BINARY, DEFAULT, FILTER_NAMES, FILTERS, METHODS, UNARY
from resolver.expression.javascript import UNDEFINED
from resolver.expression.tokens import Token, Tokens, shown
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
    walk,
)

#: Deepest nesting, of the text and of the tree.
DEEPEST: Final = 64

#: Precedence of the operators that evaluate both sides; a larger number binds tighter.
PRECEDENCE: Final[Mapping[str, int]] = {
    **dict.fromkeys(("===", "!==", "==", "!="), 1),
    **dict.fromkeys(("<", "<=", ">", ">=", "in"), 2),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys(("*", "/", "%"), 4),
}
_LOGICAL: Final = ("&&", "||", "??")
_CONSTANTS: Final[Mapping[str, object]] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": UNDEFINED,
    "NaN": js.to_number(UNDEFINED),
    "Infinity": js.to_number("Infinity"),
}
#: How other languages write what this one writes otherwise, in small letters.
_FOREIGN: Final[Mapping[str, str]] = {
    **dict.fromkeys(("true", "yes", "on"), "true"),
    **dict.fromkeys(("false", "no", "off"), "false"),
    **dict.fromkeys(("null", "none", "nil"), "null"),
    **{"undefined": "undefined", "nan": "NaN", "infinity": "Infinity"},
}
#: `$input` is how older ensembles write `input`.
_OLDER_NAME = re.compile(r"\$(?=[^\W\d])")
_UNSUPPORTED_WORDS: Final = frozenset({"typeof", "instanceof", "new", "delete", "void", "function", "await", "yield"})


def parse(tokens: Tokens) -> Node:
    """whole = pipeline END"""
    if tokens.token.kind == "end":
        raise tokens.fault("the expression is empty", tokens.token.offset)
    tree = _pipeline(tokens, 0)
    if tokens.token.kind != "end":
        raise tokens.unexpected()
    _check_steps(tokens, tree)
    return tree


def parse_placeholder(tokens: Tokens) -> Placeholder:
    """The placeholder that the tokens begin with, and nothing of what follows it."""
    placeholder = _placeholder(tokens, 0)
    _check_steps(tokens, placeholder.value)
    return placeholder


def _check_steps(tokens: Tokens, tree: Node) -> None:
    # A row of operators or members nests the tree, and not the text.
    if any(depth > DEEPEST for _, depth in walk(tree)):
        raise tokens.fault(f"more than {DEEPEST} steps build on one another", tokens.start)


def _check_depth(tokens: Tokens, depth: int) -> None:
    if depth > DEEPEST:
        raise tokens.fault(f"nested more than {DEEPEST} deep", tokens.token.offset)


def _pipeline(tokens: Tokens, depth: int) -> Node:
    """pipeline = conditional ("|" filter)*"""
    _check_depth(tokens, depth)
    value = _conditional(tokens, depth)
    while tokens.token.text == "|":
        tokens.advance()
        value = _filter(tokens, value, depth)
        if tokens.token.text in PRECEDENCE or tokens.token.text in (*_LOGICAL, "?", ".", "?.", "["):
            detail = "a filter ends its expression: to go on, put it in parentheses, `(… | length) > 3`"
            raise tokens.fault(detail, tokens.token.offset)
    return value


def _filter(tokens: Tokens, value: Node, depth: int) -> Node:
    """filter = NAME [arguments]"""
    if tokens.token.kind != "name":
        raise tokens.unexpected("a filter's name")
    name = tokens.advance()
    if name.text not in FILTER_NAMES:
        meant = nearest(name.text, FILTER_NAMES) or " For 'or', write `||`."
        known = listed(FILTER_NAMES, most=len(FILTER_NAMES))
        raise tokens.fault(f"there is no filter `{shown(name.text)}`.{meant} There are: {known}", name.offset)
    arguments = _arguments(tokens, depth) if tokens.token.text == "(" else ()
    most = 1 if name.text == DEFAULT else FILTERS[name.text].most
    if len(arguments) > most:
        raise tokens.fault(f"the filter `{name.text}` takes {_at_most(most)}", name.offset)
    if name.text != DEFAULT:
        return Filtered(value, name.text, arguments)
    if not arguments:
        raise tokens.fault("the filter `default` takes 1 argument, the value to fall back to", name.offset)
    return Logical("??", (value, *arguments))


def _conditional(tokens: Tokens, depth: int) -> Node:
    """conditional = logical ["?" conditional ":" conditional]"""
    _check_depth(tokens, depth)
    test = _logical(tokens, depth)
    if tokens.token.text != "?":
        return test
    mark = tokens.advance()
    then = _conditional(tokens, depth + 1)
    tokens.close(mark)
    return Conditional(test, then, _conditional(tokens, depth + 1))


def _logical(tokens: Tokens, depth: int) -> Node:
    """logical = conjunction ("||" conjunction)* | binary ("??" binary)*

    conjunction = binary ("&&" binary)*
    """
    first = _binary(tokens, 1, depth)
    if tokens.token.text == "??":
        value = _chain(tokens, "??", first, depth)
    else:
        value = _chain(tokens, "||", _chain(tokens, "&&", first, depth), depth)
    if tokens.token.text in _LOGICAL:
        detail = "`??` next to `&&` or `||` needs parentheses that say which comes first"
        raise tokens.fault(detail, tokens.token.offset)
    return value


def _chain(tokens: Tokens, symbol: str, first: Node, depth: int) -> Node:
    """One row of a logical: OPERAND (symbol OPERAND)*, where the first OPERAND is already read."""
    operands = [first]
    while tokens.token.text == symbol:
        tokens.advance()
        operand = _binary(tokens, 1, depth)
        operands.append(_chain(tokens, "&&", operand, depth) if symbol == "||" else operand)
    return Logical(symbol, tuple(operands)) if len(operands) > 1 else first


def _binary(tokens: Tokens, loosest: int, depth: int) -> Node:
    """binary = unary (OPERATOR unary)*, of operators that bind at least as tightly as `loosest`.

    Equal ones group from the left; a tighter one after an operator takes that operator's right side.
    """
    _check_depth(tokens, depth)
    left = _unary(tokens, depth)
    while (precedence := PRECEDENCE.get(tokens.token.text, 0)) >= loosest:
        symbol = tokens.advance().text
        right = _binary(tokens, precedence + 1, depth + 1)
        if isinstance(left, Literal) and isinstance(right, Literal):
            left = Literal(BINARY[symbol](left.value, right.value))
        else:
            left = Binary(symbol, left, right)
    return left


def _unary(tokens: Tokens, depth: int) -> Node:
    """unary = ("!" | "-" | "+") unary | postfix"""
    _check_depth(tokens, depth)
    if tokens.token.text not in UNARY:
        return _postfix(tokens, depth)
    symbol = tokens.advance().text
    operand = _unary(tokens, depth + 1)
    return Literal(UNARY[symbol](operand.value)) if isinstance(operand, Literal) else Unary(symbol, operand)


def _postfix(tokens: Tokens, depth: int) -> Node:
    """postfix = primary (("." | "?.") NAME [arguments] | ["?."] "[" pipeline "]")*"""
    value = _primary(tokens, depth)
    while True:
        if tokens.token.text in (".", "?."):
            dot = tokens.advance().text
            if dot == "." or tokens.token.text != "[":
                value = _named(tokens, value, depth)
        elif tokens.token.text == "[":
            bracket = tokens.advance()
            key = _pipeline(tokens, depth + 1)
            tokens.close(bracket)
            value = _member(value, key, bracket.offset + 1)
        elif tokens.token.text == "(":
            detail = f"only a method can be called, and there are: {listed(METHODS)}"
            raise tokens.fault(detail, tokens.token.offset)
        else:
            return value


def _named(tokens: Tokens, value: Node, depth: int) -> Node:
    """The part of a postfix after a dot: NAME [arguments]"""
    if tokens.token.kind != "name":
        raise tokens.unexpected("a name")
    name = tokens.advance()
    if tokens.token.text != "(":
        return _member(value, Literal(name.text), name.offset)
    method = METHODS.get(name.text)
    if method is None:
        meant = nearest(name.text, METHODS)
        if name.text in FILTER_NAMES:
            meant = f" It is a filter: write `| {name.text}`."
        detail = f"there is no method `{shown(name.text)}`.{meant} There are: {listed(METHODS)}"
        raise tokens.fault(detail, name.offset)
    arguments = _arguments(tokens, depth)
    if len(arguments) > method.most:
        raise tokens.fault(f"the method `{name.text}` takes {_at_most(method.most)}", name.offset)
    return Call(value, name.text, arguments)


def _member(of: Node, key: Node, offset: int) -> Node:
    match of, key:
        case Name("agents"), Literal(str(name)):
            return AgentOutput(name, offset)
        case _, Literal(str(name)):
            return Member(of, name)
        case _:
            return Index(of, key)


def _arguments(tokens: Tokens, depth: int) -> tuple[Node, ...]:
    """arguments = "(" [pipeline ("," pipeline)*] ")" """
    opener = tokens.advance()
    arguments: list[Node] = []
    while tokens.token.text != ")" or arguments:
        arguments.append(_pipeline(tokens, depth + 1))
        if tokens.token.text != ",":
            break
        tokens.advance()
    tokens.close(opener)
    return tuple(arguments)


def _primary(tokens: Tokens, depth: int) -> Node:
    """primary = NUMBER | STRING | name | "(" pipeline ")" | array | interpolation"""
    token = tokens.token
    if token.kind == "name":
        dashes = tokens.dashes_before_placeholder()
        return _name(tokens) if dashes is None else _interpolation(tokens, token.text + dashes, depth)
    if token.kind == "number":
        return Literal(js.to_number(tokens.advance().text))
    if token.kind == "string":
        value = tokens.string(token)
        tokens.advance()
        return Literal(value)
    if token.kind == "placeholder":
        return _interpolation(tokens, "", depth)
    if token.text == "(":
        tokens.advance()
        inner = _pipeline(tokens, depth + 1)
        tokens.close(token)
        return inner
    if token.text == "[":
        return _array(tokens, depth)
    raise tokens.unexpected("a value")


def _interpolation(tokens: Tokens, before: str, depth: int) -> Node:
    """interpolation = [NAME] placeholder ([NAME] placeholder)* [NAME], with dashes between them, and without spaces

    `before` is what is read of it already. A placeholder that nothing touches is the value in it.
    """
    pieces: list[str | Placeholder] = []
    if before:
        pieces.append(before)
        tokens.advance()
    goes_on = True
    while goes_on:
        pieces.append(_placeholder(tokens, depth))
        if text := tokens.text_after_placeholder():
            pieces.append(text)
        goes_on = tokens.at_placeholder()
        tokens.advance()
    match pieces:
        case [Placeholder(_, value)]:
            return value
        case _:
            return Interpolation(tuple(pieces))


def _placeholder(tokens: Tokens, depth: int) -> Placeholder:
    """placeholder = "${" pipeline "}" | "{{" pipeline "}}"

    Its closer stays the present token, since what follows may be no expression.
    """
    opener = tokens.advance()
    if tokens.token.text in ("", "}"):
        tokens.check_closed(opener)
        raise tokens.fault("the placeholder is empty", tokens.token.offset)
    value = _pipeline(tokens, depth + 1)
    tokens.close_placeholder(opener)
    return Placeholder(tokens.text[opener.offset : tokens.end], value)


def _array(tokens: Tokens, depth: int) -> Node:
    """array = "[" [pipeline ("," pipeline)* [","]] "]" """
    opener = tokens.advance()
    items: list[Node] = []
    while tokens.token.text != "]":
        items.append(_pipeline(tokens, depth + 1))
        if tokens.token.text != ",":
            break
        tokens.advance()
    tokens.close(opener)
    return ArrayLiteral(tuple(items))


def _name(tokens: Tokens) -> Node:
    """name = NAME, as a constant or as the root of what is read"""
    token = tokens.token
    if token.text in _UNSUPPORTED_WORDS:
        raise tokens.fault(f"`{token.text}` is not supported", token.offset)
    if token.text in PRECEDENCE:
        raise tokens.unexpected("a value")
    tokens.advance()
    if tokens.token.text == "(":
        meant = f" It is a filter: write `… | {token.text}`." if token.text in FILTER_NAMES else ""
        detail = f"there is no function `{shown(token.text)}`.{meant} There are the methods: {listed(METHODS)}"
        raise tokens.fault(detail, token.offset)
    if token.text in _CONSTANTS:
        return Literal(_CONSTANTS[token.text])
    if tokens.token.text not in (".", "?.", "["):
        _refuse_foreign(tokens, token)
    name = _OLDER_NAME.sub("", token.text, count=1)
    return Input() if name in ("input", "trigger") else Name(name, token.offset)


def _refuse_foreign(tokens: Tokens, name: Token) -> None:
    """Refuses a name that nobody gives a value: `yes`, `TRUE`, `not`."""
    if name.text == "not":
        raise tokens.fault("for 'not', write `!`", name.offset)
    if meant := _FOREIGN.get(name.text.lower()):
        raise tokens.fault(f"`{name.text}` is no value here: write `{meant}`, or '{name.text}' as a text", name.offset)


def _at_most(most: int) -> str:
    return f"at most {most} argument{'s' if most > 1 else ''}" if most else "no arguments"
