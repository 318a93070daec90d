"""Our values held against those of Node, which is the only judge of JavaScript's meaning here.

A generator writes the same expression twice: in our language, and in JavaScript with helpers for what we take away
(inherited members) and add (filters). The operators, the literals and the way they group are the same text in both.
"""

from __future__ import annotations

import json
import math
import random
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.errors import InvalidExpression
from resolver.expression import FILTER_NAMES, METHODS, Scope, parse_expression
from resolver.expression import javascript as js
from resolver.expression.javascript import UNDEFINED

HELPERS = Path(__file__).with_name("expression_node.mjs")


class Case(NamedTuple):
    """An expression in our language and in JavaScript, and the JSON that both read."""

    ours: str
    theirs: str
    input: str
    variables: dict[str, Any]
    outputs: dict[str, Any]


class Node:
    """One Node process that evaluates whatever it is sent."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["node", str(HELPERS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def evaluate(self, cases: Sequence[Case]) -> list[Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        answers = []
        # Few enough at a time that neither pipe fills up while the other side still writes.
        for start in range(0, len(cases), 20):
            some = cases[start : start + 20]
            requests = ([case.theirs, case.input, case.variables, case.outputs] for case in some)
            self.process.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
            self.process.stdin.flush()
            answers += [json.loads(self.process.stdout.readline()) for _ in some]
        return answers

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    process = Node()
    yield process
    process.close()


def tagged(value: object) -> Any:
    """The same notation that the helpers answer in."""
    match value:
        case None | bool():
            return value
        case str():
            return {"text": value}
        case int() | float():
            number = js.double(value)
            return {"number": struct.pack(">d", math.nan if number != number else number).hex()}  # noqa: PLR0124
        case list():
            return [tagged(item) for item in value]
        case dict():
            return {"object": [[key, tagged(value[key])] for key in js.own_keys(value)]}
    assert value is UNDEFINED
    return "undefined"


def ours(case: Case) -> Any:
    try:
        expression = parse_expression(case.ours)
    except InvalidExpression:
        return {"error": "SyntaxError"}
    scope = Scope(json.loads(case.input), case.variables, case.outputs)
    before = json.dumps(scope)
    value = tagged(expression.evaluate(scope))
    assert json.dumps(scope) == before
    return value


def agree(node: Node, cases: Sequence[Case]) -> None:
    for case, theirs in zip(cases, node.evaluate(cases), strict=True):
        assert (case, ours(case)) == (case, theirs)


# Scalars, each list of them as one input


def doubles(count: int) -> list[float]:
    source = random.Random(1)
    bits = (struct.unpack(">d", source.randbytes(8))[0] for _ in range(count))
    edges = [
        float(f"{digits}e{power}") for digits in ("1", "1.5", "9.99", "123456789") for power in range(-330, 310, 7)
    ]
    small = [10.0**power * sign for power in range(-9, 25) for sign in (1, -1)]
    whole = [source.uniform(-1, 1) * 2.0 ** source.randrange(70) for _ in range(count)]
    found = (*bits, *edges, *small, *whole, 5e-324, 1.7976931348623157e308, -0.0, 0.1 + 0.2)
    return [number for number in found if math.isfinite(number)]


def test_numbers_become_the_same_text(node: Node) -> None:
    numbers = doubles(3000)
    [theirs] = node.evaluate([Case("", "input.map(String)", json.dumps(numbers), {}, {})])
    assert [{"text": js.to_text(number)} for number in numbers] == theirs


def test_large_whole_numbers_of_a_document_lose_the_same_digits(node: Node) -> None:
    source = random.Random(2)
    numbers = [source.randrange(-(10**n), 10**n) for n in range(1, 400, 3)]
    numbers += [2**53 + step for step in range(-3, 9)] + [12345678901234567890, 123456789012345678901]
    [theirs] = node.evaluate([Case("", "input.map(String)", json.dumps(numbers), {}, {})])
    assert [{"text": js.to_text(number)} for number in numbers] == theirs


def number_like(source: random.Random) -> str:
    alphabet = [
        "0",
        "1",
        "9",
        "7",
        ".",
        "e",
        "E",
        "+",
        "-",
        "x",
        "b",
        "o",
        "A",
        "_",
        "Infinity",
        "inf",
        "nan",
        " ",
        "\n",
    ]
    spaces = [
        "\ufeff",
        "\u00a0",
        "\u2028",
        "\u180e",
        "\u200b",
        "\x1c",
        "\x85",
        "\u3000",
        "\u0661",
        "\u00b2",
        "0x",
        "0B",
    ]
    return "".join(source.choice(alphabet + spaces) for _ in range(source.randrange(7)))


def test_texts_become_the_same_number(node: Node) -> None:
    source = random.Random(3)
    texts = [number_like(source) for _ in range(6000)]
    texts += [js.to_text(number) for number in doubles(300)] + [
        "9" * 400,
        "0x" + "f" * 400,
        "1_000",
        "inf",
        "nan",
        "1e999",
    ]
    [theirs] = node.evaluate([Case("", "input.map(Number)", json.dumps(texts), {}, {})])
    assert [tagged(js.to_number(text)) for text in texts] == theirs


PAIRS: dict[str, Callable[[object, object], object]] = {
    "input.map(([a, b]) => a === b)": js.strict_equal,
    "input.map(([a, b]) => a == b)": js.loose_equal,
    "input.map(([a, b]) => a < b)": js.less,
    "input.map(([a, b]) => a <= b)": js.less_or_equal,
    "input.map(([a, b]) => a > b)": js.greater,
    "input.map(([a, b]) => a >= b)": js.greater_or_equal,
    "input.map(([a, b]) => a + b)": js.add,
    "input.map(([a, b]) => a - b)": js.subtract,
    "input.map(([a, b]) => a * b)": js.multiply,
    "input.map(([a, b]) => a / b)": js.divide,
    "input.map(([a, b]) => a % b)": js.remainder,
}

VALUES: list[object] = [
    *(None, True, False, 0, -0.0, 1, -1, 2, 3, -3, 10, 100, 0.1, 0.5, -0.5, 2.5, -2.5, 1e21, 1e-7, 2**53, 2**53 + 1),
    *(-(2**53) - 1, 10**30, 10**400, -(10**400), 5e-324, 1.7976931348623157e308, 12345678901234567890, 4294967295),
    *("", " ", "0", "1", "-0", "10", "9", "abc", "Abc", "ABC", " Hello World ", "a,b", "true", "null", "0x10", "1e3"),
    *(
        "Infinity",
        "length",
        "output",
        "toString",
        "\u00df",
        "\ufb01",
        "\U0001f600",
        "a\U0001f600b",
        "\ud83d",
        "\ude00",
        "\uffff",
    ),
    *("\u039f\u0394\u039f\u03a3 \u03a3", "\u0130", "\u01c6", "\U00010428x", "\u00e9", "\ufeff1\u00a0"),
    *([], [None], [1], ["1"], [1, 2, 10, 9], ["b", "a", None, "B"], [[1, [2]], None], [[]], [True, 2**53 + 1, -0.0]),
    *({}, {"a": 1}, {"b": 1, "2": [2**60], "a": None, "10": "x", "01": 0}, {"length": 7}, {"x": {"y": [{}]}}),
]


@pytest.mark.parametrize("theirs", PAIRS)
def test_operators_on_every_pair_of_values(node: Node, theirs: str) -> None:
    text = json.dumps([(left, right) for left in VALUES for right in VALUES])
    [answers] = node.evaluate([Case("", theirs, text, {}, {})])
    # Decoded here too: no list of one side is a list of the other.
    for (left, right), answer in zip(json.loads(text), answers, strict=True):
        assert (left, right, tagged(PAIRS[theirs](left, right))) == (left, right, answer)


def test_characters_that_count_as_white_space(node: Node) -> None:
    texts = [chr(code) for code in range(0x3100)] + ["\ufeff", "\ufffe"]
    [theirs] = node.evaluate([Case("", "input.map((c) => c.trim() === '')", json.dumps(texts), {}, {})])
    assert [js.trim(text) == "" for text in texts] == theirs


# Expressions


TEXTS = [
    *("''", "'a'", '"b"', "' '", "'1'", "'length'", "'output'", r"'it\'s'", r'"\"}}\""', r"'\u00e9\x41\u{1F600}'"),
    *(
        r"'\n\t\b\v\f\r\0\q'",
        "'}'",
        "'a\\\nb'",
        "'0x1f'",
        "'\U0001f600'",
        r"'\ud83d'",
        r"'\ude00'",
        "'b,a'",
        "'\u2028'",
    ),
]
NUMBERS = [
    "0",
    "1",
    "2",
    "3",
    "5",
    "10",
    "100",
    "1.5",
    ".5",
    "2.",
    "1e3",
    "1E-7",
    "1e21",
    "0x1F",
    "0b11",
    "0O17",
    "1e400",
]
WORDS = ["true", "false", "null", "undefined", "NaN", "Infinity", "9007199254740993", "12345678901234567890123"]
OPERATORS = ["+", "-", "*", "/", "%", "<", "<=", ">", ">=", "===", "!==", "==", "!=", "&&", "||", "??", "%", "==="]
KEYS = [
    "a",
    "b",
    "length",
    "list",
    "text",
    "missing",
    "constructor",
    "__proto__",
    "toString",
    "output",
    "in",
    "user-id",
]
ARGUMENTS = {"split": (0, 1), "join": (0, 1), "slice": (0, 2), "default": (1, 1)}


#: Writes one kind of operand, with at most so many levels below it.
Rule: TypeAlias = "Callable[[int], tuple[str, str]]"


class Writer:
    """Writes expressions, each as (ours, theirs), with the choices of `source`."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.joins = 0

    def expression(self, depth: int) -> tuple[str, str]:
        """Operands and operators in a row, and so grouped by precedence alone."""
        mine, node = self.operand(depth)
        for _ in range(self.source.choice((0, 1, 1, 2, 3) if depth else (0, 0, 1))):
            symbol = self.source.choice(OPERATORS)
            right = self.operand(depth - 1)
            mine, node = f"{mine} {symbol} {right[0]}", f"{node} {symbol} {right[1]}"
        if depth and self.source.random() < 0.1:
            then, otherwise = self.expression(depth - 1), self.expression(depth - 1)
            return f"{mine} ? {then[0]} : {otherwise[0]}", f"{node} ? {then[1]} : {otherwise[1]}"
        return mine, node

    def operand(self, depth: int) -> tuple[str, str]:
        kinds: list[Rule] = [self.literal, self.path, self.path, self.path]
        if depth > 0:
            kinds += [self.group, self.group, self.unary, self.array, self.index, self.call, self.key_in, self.filtered]
            kinds += [self.call, self.filtered, self.filtered, self.interpolation]
        return self.source.choice(kinds)(depth - 1)

    def literal(self, _: int) -> tuple[str, str]:
        text = self.source.choice(self.source.choice((TEXTS, NUMBERS, WORDS)))
        return text, text

    def text(self, _: int) -> tuple[str, str]:
        text = self.source.choice(TEXTS)
        return text, text

    def path(self, _: int) -> tuple[str, str]:
        mine, node = self.source.choice(
            [
                ("input", "input"),
                ("input", "input"),
                ("trigger", "input"),
                ("state", "variables.state"),
                ("first-agent.output", "outputs['first-agent']"),
                ("agents.first-agent", "outputs['first-agent']"),
            ]
        )
        for _ in range(self.source.randrange(4)):
            key = self.source.choice(KEYS)
            form = self.source.choice((".{}", "?.{}", ".{}", "['{}']", "?.['{}']"))
            if key == "output" and "agent" in mine and "." not in mine.replace("agents.", ""):
                continue
            mine, node = mine + form.format(key), f"get({node}, () => '{key}')"
        return mine, node

    def group(self, depth: int) -> tuple[str, str]:
        mine, node = self.expression(depth)
        form = self.source.choice(("({})", "${{{}}}", "{{{{{}}}}}", "( {}\n)", "${{ {} }}"))
        return form.format(mine), f"({node})"

    def interpolation(self, depth: int) -> tuple[str, str]:
        """Placeholders with what touches them: a name or dashes before, between and behind."""
        mine, node = self.source.choice(("", "a", "level-", "input--")), []
        if mine:
            node.append(json.dumps(mine))
        for number in range(self.source.randint(1 if mine else 2, 3)):
            if number and (between := self.source.choice(("", "-", "--", "x", "-x-", "_y--"))):
                mine, node = mine + between, [*node, json.dumps(between)]
            inner = self.expression(depth)
            placeholder = self.source.choice(("${{{}}}", "{{{{ {} }}}}")).format(inner[0])
            mine, node = mine + placeholder, [*node, f"[{json.dumps(placeholder)}, {inner[1]}]"]
        return f"({mine})", f"text([{', '.join(node)}])"

    def unary(self, depth: int) -> tuple[str, str]:
        mine, node = self.operand(depth)
        symbol = self.source.choice(("!", "- ", "+ ", "!"))
        return symbol + mine, symbol + node

    def array(self, depth: int) -> tuple[str, str]:
        items = [self.expression(depth) for _ in range(self.source.randrange(4))]
        return f"[{', '.join(i[0] for i in items)}]", f"[{', '.join(i[1] for i in items)}]"

    def index(self, depth: int) -> tuple[str, str]:
        of, key = self.receiver(depth), self.expression(depth)
        dot = self.source.choice(("", "?."))
        # `output` of an agent, and of nothing else, is the value itself.
        agent = of[1].strip("()") == "outputs['first-agent']" and ".output" not in of[0]
        return f"{of[0]}{dot}[{key[0]}]", f"{'getOfAgent' if agent else 'get'}({of[1]}, () => {key[1]})"

    def call(self, depth: int) -> tuple[str, str]:
        of, method = self.receiver(depth), self.source.choice(list(METHODS))
        arguments = [self.expression(depth) for _ in range(self.source.randint(0, METHODS[method].most))]
        mine, node = (", ".join(argument[side] for argument in arguments) for side in (0, 1))
        return f"{of[0]}.{method}({mine})", f"call({of[1]}, '{method}', () => [{node}])"

    def receiver(self, depth: int) -> tuple[str, str]:
        kinds: list[Rule] = [self.path, self.path, self.group, self.array, self.text]
        return self.source.choice(kinds)(depth)

    def key_in(self, depth: int) -> tuple[str, str]:
        key, of = self.operand(depth), self.operand(depth)
        return f"({key[0]} in {of[0]})", f"has({key[1]}, {of[1]})"

    def filtered(self, depth: int) -> tuple[str, str]:
        mine, node = self.expression(depth)
        for _ in range(self.source.choice((1, 1, 2))):
            name = self.source.choice(FILTER_NAMES)
            # Two that join what was split into characters would multiply a text's length with itself, and again.
            self.joins += name == "join"
            name = "first" if name == "join" and self.joins > 1 else name
            least, most = ARGUMENTS.get(name, (0, 0))
            arguments = [self.expression(depth) for _ in range(self.source.randint(least, most))]
            listed = f"({', '.join(argument[0] for argument in arguments)})" if arguments else ""
            mine, node = f"{mine} | {name}{listed}", f"filters.{name}({', '.join((node, *(a[1] for a in arguments)))})"
        return f"({mine})", node

    def document(self) -> dict[str, Any]:
        # JavaScript has no text for an object with a `toString` of its own: it raises where we say [object Object].
        keys = [key for key in self.source.sample(KEYS, 6) if key not in ("__proto__", "toString")]
        chosen = {key: self.source.choice(VALUES) for key in keys}
        return {**chosen, "b": {key: self.source.choice(VALUES) for key in ("a", "length", "output", "user-id")}}

    def case(self) -> Case:
        self.joins = 0
        mine, node = self.expression(3)
        return Case(
            mine, node, json.dumps(self.document()), {"state": self.document()}, {"first-agent": self.document()}
        )


def test_a_thousand_expressions(node: Node) -> None:
    writer = Writer(random.Random(20240115))
    cases = [writer.case() for _ in range(1000)]
    agree(node, cases)
    # The table of what is covered, kept honest: a generator that only writes nonsense would agree with itself.
    whole = [parse_expression(case.ours) for case in cases if ours(case) != {"error": "SyntaxError"}]
    assert len(whole) > 750
    text = "\n".join(expression.text for expression in whole)
    assert all(f"| {name}" in text for name in FILTER_NAMES)
    assert all(f".{name}(" in text for name in METHODS)
    assert all(f" {symbol} " in text for symbol in (*OPERATORS, "in", "?", ":"))
    assert all(before in text for before in ("level-${", "-x-{{", "}${", "}}{{", "_y--"))


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.randoms(use_true_random=False))
def test_expressions_that_hypothesis_makes_small(node: Node, source: random.Random) -> None:
    agree(node, [Writer(source).case()])


@pytest.mark.parametrize("text", TEXTS + NUMBERS + WORDS)
def test_literals(node: Node, text: str) -> None:
    agree(node, [Case(text, text, "null", {}, {})])
