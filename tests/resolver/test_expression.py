"""The language of conditions and templates: its values, what an evaluation needs, and its errors."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.errors import InvalidExpression
from resolver.expression import (
    DEEPEST,
    FILTER_NAMES,
    LONGEST,
    METHODS,
    Expression,
    Needed,
    Scope,
    parse_expression,
    parse_template,
)
from resolver.expression.javascript import UNDEFINED, to_text, truthy

NOTHING = Scope({})


def evaluated(text: str, scope: Scope = NOTHING) -> object:
    return parse_expression(text).evaluate(scope)


def given_input(**members: object) -> Scope:
    return Scope(members)


def given_output(agent: str, output: object, **members: object) -> Scope:
    return Scope(members, {}, {agent: output})


def same(left: object, right: object) -> bool:
    """Equal in value and in type: true is not 1, -0 is not 0, NaN is NaN."""
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack(">d", left) == struct.pack(">d", right) or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right


# What a correct evaluator gives

CANARY = "${input.user_id % 100 < get-canary-percentage.output}"
RESULTS = "${vectorize-search.output.results && vectorize-search.output.results.length > 0}"
FORM = "${registration-form.valid && check-username.available}"

CASES: list[tuple[str, str, Scope, object]] = [
    ("1", "${input.user_id % 2 === 0}", given_input(user_id=4), True),
    ("2", "${input.user_id % 2 === 1}", given_input(user_id=7), True),
    ("3", "${input.user_id % 2 === 0}", given_input(user_id=0), True),
    ("4", CANARY, given_output("get-canary-percentage", 10, user_id=104), True),
    ("5", CANARY, given_output("get-canary-percentage", "10", user_id=4), True),
    ("6 strict", "${input.num === 5}", given_input(num="5"), False),
    ("6 loose", "${input.num == 5}", given_input(num="5"), True),
    ("7 some", RESULTS, given_output("vectorize-search", {"results": [1]}), True),
    ("7 none", RESULTS, given_output("vectorize-search", {"results": []}), False),
    ("8", "${vectorize-search.output.results.length === 0}", given_output("vectorize-search", {"results": []}), True),
    ("9", "${input.s.length}", given_input(s="abc"), 3),
    ("10", FORM, Scope({}, {}, {"registration-form": {"valid": True}, "check-username": {"available": True}}), True),
    ("11", "${!agents.manage.output.success}", given_output("manage", {}), True),
    ("12", "${agents.lookup.output.found == true}", given_output("lookup", {"found": True}), True),
    ("13 absent", "${ trigger.query.ms ?? 1000 }", given_input(), 1000),
    ("13 present", "${ trigger.query.ms ?? 1000 }", given_input(query={"ms": "50"}), "50"),
    ("14", '${input.style || "friendly"}', given_input(style=""), "friendly"),
    ("15", '${input.value ?? "default"}', given_input(value=""), ""),
    ("16", '${input.query.name ?? input.body.name ?? "World"}', given_input(), "World"),
    ("17", '${input.enabled ? "yes" : "no"}', given_input(), "no"),
    ("18", "${!input.count}", given_input(count=0), True),
    ("19", '${input.items[5] ?? "default"}', given_input(items=[1, 2]), "default"),
    ("20", "${input.users[1].profile?.name}", given_input(users=[{}, {}]), UNDEFINED),
    ("21", "{{input.nonexistent}}", given_input(), UNDEFINED),
    ("23", "${status} == 'pending'", Scope({}, {"status": "pending"}), True),
    ("24", '${input.text | split(" ") | length}', given_input(text=" Hello World "), 4),
    ("25", "${(input.count > 10) && true}", given_input(count=15), True),
    # What simpler evaluators get wrong.
    ("colon in a text", '${input.a ? "x:y" : "n"}', given_input(a=1), "x:y"),
    ("double negation", "${!!x}", Scope({}, {"x": 1}), True),
    ("negated group", "${!(input.count > 20)}", given_input(count=15), True),
    ("inherited member", "${input.constructor}", given_input(), UNDEFINED),
]


@pytest.mark.parametrize(("text", "scope", "value"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_cases(text: str, scope: Scope, value: object) -> None:
    assert same(evaluated(text, scope), value)
    assert same(parse_template(text).evaluate(scope), value) or text.startswith("${status}")


def test_case_22_leaves_the_placeholder() -> None:
    assert parse_template("Hi ${input.missing}!").evaluate(NOTHING) == "Hi ${input.missing}!"


# Semantics

VALUES: list[tuple[str, object]] = [
    # Literals
    *[("5", 5), (".5", 0.5), ("5.", 5), ("1e3", 1000), ("0x1F", 31), ("0b11", 3), ("0o17", 15), ("1e400", math.inf)],
    *[("true", True), ("null", None), ("undefined", UNDEFINED), ("NaN", math.nan), ("-Infinity", -math.inf)],
    *[("'a'", "a"), ('"a"', "a"), (r"'it\'s'", "it's"), (r"'\x41\u0042\u{43}'", "ABC"), (r"'\n\0\q'", "\n\0q")],
    *[("'a\\\nb'", "ab"), ("'a\\\r\nb'", "ab"), (r"'\ud83d\ude00'", "\U0001f600"), ("'}'", "}"), ("'${'", "${")],
    *[("[]", []), ("[1, 'a', [null],]", [1, "a", [None]])],
    # Precedence and grouping
    *[("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("10 - 2 - 3", 5), ("2 * 3 % 4", 2), ("1 + 1 === 2", True)],
    *[("1 < 2 === true", True), ("3 > 2 > 1", False), ("true || false && false", True), ("!0 + 1", 2)],
    *[("1 + 1 < 3 && 2 > 1", True), ("null ?? 1 + 1", 2), ("1 ? 2 : 3 ? 4 : 5", 2), ("0 ? 2 : 0 ? 4 : 5", 5)],
    *[("- -1", 1), ("-3 % 2", -1), ("1 - -1", 2), ("5-3", 2), ("!!'a'", True), ("(null ?? 0) || 'b'", "b")],
    *[("0 || null", None), ("1 && 2 && 3", 3), ("1 && 0 && 3", 0), ("null ?? undefined ?? 3", 3), ("'a' ? 1 : 2", 1)],
    # Numbers
    *[
        ("-0", -0.0),
        ("0 * -1", -0.0),
        ("-4 % 2", -0.0),
        ("1 / 0", math.inf),
        ("0 / 0", math.nan),
        ("0.1 + 0.2", 0.30000000000000004),
    ],
    *[
        ("'4' % 2 === 0", True),
        ("null % 2 === 0", True),
        ("'abc' % 2 === 'abc' % 2", False),
        ("9007199254740993", 2**53),
    ],
    # Equality
    *[("'5' === 5", False), ("1 === 1.0", True), ("true !== 1", True), ("true === 1", False), ("1 === true", False)],
    *[
        ("null == undefined", True),
        ("null === undefined", False),
        ("NaN != NaN", True),
        ("[] == ''", True),
        ("[1] === [1]", False),
    ],
    *[("input === trigger", True), ("'1' == 1", True), ("undefined === undefined", True), ("null == 0", False)],
    # Truth
    *[("[] ? 1 : 2", 1), ("!{{input}}", False), ("!NaN", True), ("!''", True), ("!'0'", False)],
    # Text
    *[
        ("1 + '1'", "11"),
        ("'' + null + undefined", "nullundefined"),
        ("1e21 + ''", "1e+21"),
        ("[1, null, [2]] + ''", "1,,2"),
    ],
    *[
        ("input + ''", "[object Object]"),
        ("'\U0001f600'.length", 2),
        ("'\U0001f600'[0] + '\U0001f600'[1]", "\U0001f600"),
    ],
    *[("'b' > 'a'", True), ("'10' < '9'", True), ("'10' < 9", False), ("'\uffff' > '\U0001f600'", True)],
    # Members
    *[("'abc'[1]", "b"), ("'abc'['length']", 3), ("[1, 2].length", 2), ("[1, 2]['1']", 2), ("[1, 2][-1]", UNDEFINED)],
    *[("input.a.b.c", UNDEFINED), ("input?.a?.[0]?.b", UNDEFINED), ("null.a", UNDEFINED), ("5 .length", UNDEFINED)],
    *[
        ("input.__class__", UNDEFINED),
        ("input.__proto__", UNDEFINED),
        ("'a'.toString", UNDEFINED),
        ("[].append", UNDEFINED),
    ],
    *[("[1].constructor", UNDEFINED), ("'a'.includes", UNDEFINED), ("input.in", UNDEFINED), ("input.null", UNDEFINED)],
    *[
        ("1 in [5, 6]", True),
        ("'1' in [5, 6]", True),
        ("5 in [5]", False),
        ("'a' in 'abc'", False),
        ("'a' in null", False),
    ],
    # Methods
    *[("'abc'.includes('b')", True), ("'abc'.includes('a', 1)", False), ("'undefined'.includes()", True)],
    *[
        ("[1, 2].includes(2)", True),
        ("[NaN].includes(NaN)", True),
        ("['1'].includes(1)", False),
        ("[1, 2].includes(1, -1)", False),
    ],
    *[
        ("'abc'.startsWith('b', 1)", True),
        ("'abc'.endsWith('b', 2)", True),
        ("' a '.trim()", "a"),
        ("'aB'?.toUpperCase()", "AB"),
    ],
    *[
        ("'aB'.toLowerCase().length", 2),
        ("null.trim()", UNDEFINED),
        ("5 .trim()", UNDEFINED),
        ("[1].trim()", UNDEFINED),
    ],
    *[
        ("input.includes('a')", UNDEFINED),
        ("input.a.includes(nobody.sent)", UNDEFINED),
        ("input.a?.[nobody.sent]", UNDEFINED),
    ],
    # Filters
    *[("'ab' | uppercase", "AB"), ("'AB' | lowercase", "ab"), ("'hELLO' | capitalize", "Hello"), ("' a ' | trim", "a")],
    *[("undefined | uppercase", "UNDEFINED"), ("12 | split('')", ["1", "2"]), ("'a b' | split", ["a", "b"])],
    *[("[1, null, 2] | join", "1, , 2"), ("[1, 2] | join('')", "12"), ("'a' | join", UNDEFINED), ("'abc' | length", 3)],
    *[("5 | length", 0), ("input | length", 0), ("[1, 2] | first", 1), ("[1, 2] | last", 2), ("[] | first", UNDEFINED)],
    *[
        ("[] | last", UNDEFINED),
        ("'abc' | first", UNDEFINED),
        ("[1, 2, 3] | slice(1)", [2, 3]),
        ("[1, 2, 3] | slice(-2, -1)", [2]),
    ],
    *[
        ("'abc' | slice(1)", []),
        ("[1, 2] | reverse", [2, 1]),
        ("'ab' | reverse", []),
        ("[10, 9, 1] | sort", [1, 10, 9]),
    ],
    *[("[undefined, null, 'a'] | sort", ["a", None, UNDEFINED]), ("5 | sort", []), ("-2 | abs", 2), ("-0 | abs", 0)],
    *[("2.5 | round", 3), ("-2.5 | round", -2), ("-0.5 | round", -0.0), ("'x' | round", math.nan), ("1.9 | floor", 1)],
    *[("1.1 | ceil", 2), ("5 | string", "5"), ("[1] | string", "1"), ("'0x10' | number", 16), ("'' | number", 0)],
    *[("'1_000' | number", math.nan), ("'0' | boolean", True), ("0 | boolean", False), ("[5] | keys", ["0"])],
    *[
        ("'a' | keys", []),
        ("[5] | values", [5]),
        ("null | default(1)", 1),
        ("undefined | default('a')", "a"),
        ("0 | default(1)", 0),
    ],
    *[("[1, undefined] | json", "[1,null]"), ("undefined | json", UNDEFINED), ("NaN | json", "null")],
    *[
        ("'b a' | split(' ') | sort | first | uppercase", "A"),
        ("([1, 2] | length) > 1", True),
        ("1 > 2 | string", "false"),
    ],
    *[("('a,b' | split(',')).length", 2), ("[1, 2] | slice(0 + 1)", [2]), ("1 ? 2 : 3 | string", "2")],
    # Placeholders are parentheses
    *[
        ("${1} + ${2}", 3),
        ("${1 + 1} * 2", 4),
        ("{{1}} === ${1}", True),
        ("${ {{1}} }", 1),
        ("{{ ${1}}}", 1),
        ("{{{{1}}}}", 1),
    ],
    *[
        ("  ${ 1 }\n", 1),
        ("${'}'}", "}"),
        ("{{'}}'}}", "}}"),
        ("${[1, 2] | length} > 1", True),
        ("${input}.a", UNDEFINED),
    ],
    *[("1\u00a0+\ufeff1", 2)],
    # What touches a placeholder is one text with it
    *[("a-${1}", "a-1"), ("${1}-a", "1-a"), ("${1}-${2}", "1-2"), ("${1}{{2}}", "12"), ("a${1}b-c${2}d", "a1b-c2d")],
    *[("${1}--${2}", "1--2"), ("a-b--{{1}}", "a-b--1"), ("input-${1}", "input-1"), ("true-${1}", "true-1")],
    *[("${1} -${2}", -1), ("${1}- ${2}", -1), ("${1}-2", -1), ("${3}-(1)", 2), ("(3)-${1}", 2), ("3-${1}", 2)],
    *[
        ("-${1}", -1),
        ("!a-${0}", False),
        ("a-${1} + 1", "a-11"),
        ("a-${input.x}", "a-${input.x}"),
        ("(a-${1}).length", 3),
    ],
    *[("${[1]}-${null}-x", "1-null-x"), ("a-${1}.length", 3), ("a-${1} in ['a']", False)],
    *[("'it is ${'", "it is ${"), (r"'\${input}'", "${input}"), (r"'\{{input}}'", "{{input}}")],
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values(text: str, value: object) -> None:
    assert same(evaluated(text), value)


def test_every_filter_and_method_is_in_the_table() -> None:
    texts = " ".join(text for text, _ in VALUES)
    assert [name for name in FILTER_NAMES if f"| {name}" not in texts] == []
    assert [name for name in METHODS if f".{name}(" not in texts] == []


def test_numbers_of_the_input_are_doubles() -> None:
    scope = given_input(id=2**53 + 1, huge=10**400, ids=[2**60 + 1], deep={"id": -(10**400)})
    assert evaluated("input.id === 9007199254740992", scope) is True
    assert evaluated("input.id % 2 === 0", scope) is True
    assert same(evaluated("input.huge", scope), math.inf)
    assert same(evaluated("input.deep.id", scope), -math.inf)
    assert same(evaluated("input.ids[0]", scope), 2.0**60)
    assert same(evaluated("input.ids | first", scope), 2.0**60)
    assert same(evaluated("input", Scope(10**400)), math.inf)
    assert same(evaluated("a.output", Scope(UNDEFINED, {}, {"a": 10**400})), math.inf)
    assert evaluated("input.ids.includes(1152921504606846976)", scope) is True


def test_specialised_operators_keep_their_meaning() -> None:
    for value, expected in [
        (3, 1),
        (-3, -1),
        (-4, -0.0),
        (3.5, 1.5),
        ("3", 1),
        (True, 1),
        (None, 0),
        ([3], 1),
        ({}, math.nan),
    ]:
        assert same(evaluated("input.v % 2", given_input(v=value)), expected)


@pytest.mark.parametrize(
    ("constant", "equal"),
    [("1", [1, 1.0]), ("true", [True]), ("null", [None]), ("undefined", [UNDEFINED]), ("'1'", ["1"]), ("NaN", [])],
)
def test_equality_with_a_constant(constant: str, equal: list[object]) -> None:
    values: list[object] = [1, 1.0, True, False, None, UNDEFINED, "1", "", 0, math.nan, [], {}, [1]]
    for value in values:
        expected = any(same(value, one) for one in equal)
        for text in (f"input === {constant}", f"{constant} === input"):
            assert evaluated(text, Scope(value)) is expected
        for text in (f"input !== {constant}", f"{constant} !== input"):
            assert evaluated(text, Scope(value)) is not expected


def test_order_of_keys() -> None:
    scope = given_input(o={"b": 1, "2": 2, "1": 10**400})
    assert evaluated("input.o | keys", scope) == ["1", "2", "b"]
    assert evaluated("input.o | values", scope) == [math.inf, 2, 1]
    assert evaluated("input.o | json", scope) == '{"1":null,"2":2,"b":1}'


# Names


def test_input_and_trigger_are_the_same_and_always_there() -> None:
    assert evaluated("input.a + trigger.a", given_input(a=2)) == 4
    assert evaluated("input", Scope()) is UNDEFINED
    assert evaluated("trigger.a.b", Scope()) is UNDEFINED


def test_the_older_form_of_a_name() -> None:
    scope = Scope({"method": "POST", "$a": 1}, {}, {"classify-intent": {"intent": "billing"}})
    assert evaluated("$input.method == 'POST'", scope) is True
    assert evaluated("${$trigger.method}", scope) == "POST"
    assert evaluated("$classify-intent.intent == 'billing'", scope) is True
    assert evaluated("$agents.classify-intent.output.intent", scope) == "billing"
    assert evaluated("input.$a", scope) == 1
    assert parse_expression("$input.x + $input.y").names == {"input"}
    assert parse_template("a $input.x b").evaluate(scope) == "a $input.x b"


AGENT = Scope(
    {}, {"state": {"n": 1}, "shadowed": "variable"}, {"my-agent": {"x": 5, "output": 6}, "shadowed": "output"}
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("my-agent.output.x", 5),
        ("my-agent.x", 5),
        ("agents.my-agent.output.x", 5),
        ("agents.my-agent.x", 5),
        ("agents['my-agent'].x", 5),
        ("agents?.my-agent?.output?.x", 5),
        ("${agents.my-agent}.x", 5),
        ("my-agent.output.output", 6),
        ("my-agent['output'].x", 5),
        ("my-agent['out' + 'put'].x", 5),
        ("my-agent[input.key ?? 'x']", 5),
        ("my-agent.y", UNDEFINED),
        ("my-agent.output.y.z", UNDEFINED),
        ("state.n", 1),
        ("state.output", UNDEFINED),
        ("shadowed", "output"),
        ("shadowed.output", "output"),
        ("agents.shadowed", "output"),
    ],
)
def test_outputs_and_variables(text: str, value: object) -> None:
    assert same(evaluated(text, AGENT), value)


def test_a_variable_may_hold_the_agents() -> None:
    scope = Scope({}, {"agents": {"a": {"output": {"x": 1}}}}, {"b": 2})
    assert evaluated("agents.a.output.x", scope) == 1
    assert evaluated("agents.b", scope) == 2
    assert evaluated("'a' in agents", scope) is True
    assert parse_expression("agents.c.x").needs(scope) == ("c",)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("status", "status"),
        ("state.x", "state"),
        ("env.x", "env"),
        ("params.x", "params"),
        ("my-agent.output.x", "my-agent"),
        ("agents.my-agent.output.x", "my-agent"),
        ("agents", "agents"),
        ("agents[input.which]", "agents"),
        ("été.x", "été"),
        ("$x_1", "x_1"),
        ("$my-agent.output.x", "my-agent"),
        ("$agents.my-agent.x", "my-agent"),
        ("$$x", "$x"),
        ("$1", "$1"),
        ("yes.output", "yes"),
        ("TRUE.x", "TRUE"),
        ("not?.x", "not"),
        ("a-1", "a-1"),
        ("[1, a]", "a"),
        ("'a'.includes(a)", "a"),
        ("1 | default(1) | split(a)", "a"),
    ],
)
def test_a_name_that_is_not_there_is_needed(text: str, name: str) -> None:
    expression = parse_expression(text)
    with pytest.raises(Needed) as needed:
        expression.evaluate(NOTHING)
    assert needed.value.name == name
    assert expression.needs(NOTHING) == (name,)
    assert expression.names >= {name}


def test_names_are_the_roots() -> None:
    expression = parse_expression(
        "trigger.a ? agents.b.c.d : [e.f, state[g.h], 'x'.includes(i), j | default(k), agents[l]]"
    )
    assert expression.names == {"input", "b", "e", "state", "g", "i", "j", "k", "agents", "l"}
    assert parse_template("${a} {{b.c}} ${a}").names == {"a", "b"}
    assert parse_expression("1 + 1").names == frozenset()


def test_hyphens_belong_to_names_and_spaces_to_subtractions() -> None:
    scope = Scope({"user-id": 5, "n": 3, "n-1": 9}, {"a": 7, "b": 2, "a-b": 1})
    assert evaluated("input.user-id", scope) == 5
    assert evaluated("a-b", scope) == 1
    assert evaluated("a - b", scope) == 5
    assert evaluated("a -b", scope) == 5
    assert evaluated("a- b", scope) == 5
    assert evaluated("input.n -1", scope) == 2
    assert evaluated("input.n-1", scope) == 9
    assert evaluated("(a)-b", scope) == 5


# What an evaluation needs


@pytest.mark.parametrize(
    ("text", "scope", "needs"),
    [
        ("input.fast ? a.output : b.output", given_input(fast=True), ("a",)),
        ("input.fast ? a.output : b.output", given_input(), ("b",)),
        ("c ? a.output : b.output", NOTHING, ("a", "b", "c")),
        ("a.x && b.y", NOTHING, ("a", "b")),
        ("a.x && b.y", given_output("a", {"x": 0}), ()),
        ("a.x && b.y", given_output("a", {"x": 1}), ("b",)),
        ("a.x && b.y", given_output("b", {"y": 0}), ("a",)),
        ("a.x && false && b.y", NOTHING, ("a",)),
        ("a.x || b.y", given_output("a", {"x": 1}), ()),
        ("a.x ?? b.y", given_output("a", {"x": 0}), ()),
        ("a.x ?? b.y", given_output("a", {}), ("b",)),
        ("a.x ?? 1 | default(b)", given_output("a", {}), ()),
        ("input.x | default(b.y)", given_input(x=1), ()),
        ("input.x | default(b.y)", NOTHING, ("b",)),
        ("input.x.includes(b)", NOTHING, ()),
        ("input.x.includes(b, c)", given_input(x="a"), ("b", "c")),
        ("a[b]", NOTHING, ("a", "b")),
        ("a[b]", given_output("a", None), ()),
        ("!(b + a) === c", NOTHING, ("a", "b", "c")),
        ("[a, [b]]", given_output("a", 1), ("b",)),
        ("agents.z.x || a", NOTHING, ("a", "z")),
        ("(input.p ? a : b) ? c : d", Scope({"p": 1}, {}, {"a": 1}), ("c",)),
    ],
)
def test_needs(text: str, scope: Scope, needs: tuple[str, ...]) -> None:
    expression = parse_expression(text)
    assert expression.needs(scope) == needs
    if needs:
        with pytest.raises(Needed) as needed:
            expression.evaluate(scope)
        assert needed.value.name in needs
    else:
        expression.evaluate(scope)


def test_needs_of_a_deep_expression_come_quickly() -> None:
    text = "a"
    for _ in range(DEEPEST - 2):
        text = f"({text}) ? b : c"
    assert parse_expression(text).needs(NOTHING) == ("a", "b", "c")


# Templates


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("no placeholder", "no placeholder"),
        ("} }} $ { $x", "} }} $ { $x"),
        ("${input.n}", 5),
        ("{{ input.n }}", 5),
        ("${input.o}", {"a": [1]}),
        ("${input.missing}", UNDEFINED),
        (" ${input.n}", " 5"),
        ("${input.n}\n", "5\n"),
        ("${input.n}${input.n}", "55"),
        ("n={{input.n}}, o=${input.o}, l=${input.l}, z=${input.z}", "n=5, o=[object Object], l=1,,2, z=null"),
        ("it's ${input.n} o'clock", "it's 5 o'clock"),
        ("a ${input.missing} b {{ input.missing.x }} c", "a ${input.missing} b {{ input.missing.x }} c"),
        ("${input.n}}", "5}"),
        ("x${'}}'}y", "x}}y"),
        ("x{{'}}'}}y", "x}}y"),
        ("x${'${'}y", "x${y"),
        ("${input.n} == '5'", "5 == '5'"),
        ("${'\\ud83d'}\ude00", "\U0001f600"),
        ("é ${1e21}", "é 1e+21"),
    ],
)
def test_render(text: str, value: object) -> None:
    scope = Scope({"n": 5, "o": {"a": [1]}, "l": [1, None, 2], "z": None})
    template = parse_template(text)
    assert same(template.evaluate(scope), value)
    assert template.text == text
    assert template.needs(scope) == ()


def test_a_template_that_is_one_placeholder_is_its_expression() -> None:
    assert parse_template("${a.b}") == parse_expression("${a.b}")
    assert parse_template("${a.b}").tree == parse_expression("a.b").tree
    trees = [parse_template(text).tree for text in ("", "a", " ${a}", "${a}${a}")]
    assert parse_expression("${a}").tree not in trees


def test_a_template_needs_what_its_placeholders_need() -> None:
    template = parse_template("${b} ${input.x ? c : a} text")
    assert template.needs(NOTHING) == ("a", "b")
    with pytest.raises(Needed):
        template.evaluate(NOTHING)


def test_a_long_template_may_hold_short_expressions() -> None:
    text = "x" * 3 * LONGEST + "${input.n}" + "y" * LONGEST
    assert parse_template(text).evaluate(Scope({"n": 1})) == text.replace("${input.n}", "1")


# Errors: a caret stands where the parser could not go on, and the detail says what to write instead

ERRORS: list[tuple[str, str, str]] = [
    # (text, caret below it, part of the detail)
    ("", "^", "is empty"),
    ("  ", "  ^", "is empty"),
    ("${}", "  ^", "placeholder is empty"),
    ("{{ }}", "   ^", "placeholder is empty"),
    ("${1 + {{}}}", "        ^", "placeholder is empty"),
    ("${a", "^", "`${` has no `}`"),
    ("${", "^", "`${` has no `}`"),
    ("{{a", "^", "`{{` has no `}}`"),
    ("{{a}", "   ^", "`}}` is missing"),
    ("${a} && ${b", "        ^", "`${` has no `}`"),
    ("${a}}", "    ^", "`}` cannot stand here"),
    ("(a", "^", "`(` has no `)`"),
    ("[a", "^", "`[` has no `]`"),
    ("a[0", " ^", "`[` has no `]`"),
    ("(a]", "  ^", "`)` is missing"),
    ("a ? b", "  ^", "`?` has no `:`"),
    ("'abc", "^", "no closing '"),
    ('a === "abc', "      ^", 'no closing "'),
    ("'a\nb'", "^", "no closing '"),
    ("a b", "  ^", "`b` cannot stand here"),
    ("a 'b'", "  ^", "`'b'` cannot stand here"),
    ("a +", "   ^", "ends too early, a value is missing"),
    ("a + * b", "    ^", "`*` cannot stand here, a value is missing"),
    ("a.", "  ^", "a name is missing"),
    ("a.[0]", "  ^", "a name is missing"),
    ("a[]", "  ^", "a value is missing"),
    ("[,]", " ^", "a value is missing"),
    ("a.5", " ^", "`.5` cannot stand here"),
    ("in a", "^", "a value is missing"),
    ("input.a = 3", "        ^", "`===`"),
    ("input.a += 3", "         ^", "`===`"),
    ("a & b", "  ^", "`&&`"),
    ("a | b", "    ^", "`||`"),
    ("a and b", "  ^", "`&&`"),
    ("a or b", "  ^", "`||`"),
    ("a => 1", "  ^", "`>=`"),
    ("a =< 1", "  ^", "`<=`"),
    ("a <> 1", "  ^", "`!==`"),
    ("a++", " ^", "`+ 1`"),
    ("--a", "^", "`- -`"),
    ("a ** 2", "  ^", "no powers"),
    ("a << 2", "  ^", "bits"),
    ("~a", "^", "bits"),
    ("{a: 1}", "^", "no object literals"),
    ("`a`", "^", "a text stands in ' or \""),
    ("/ab/", "^", "no regular expressions"),
    ("[...a]", " ^", "no spread"),
    ("a, b", " ^", "a comma stands only between"),
    ("a;", " ^", "no end mark"),
    ("a // b", "  ^", "no comments"),
    ("#a", "^", "`#` is no part"),
    ("typeof a", "^", "`typeof` is not supported"),
    ("new A", "^", "`new` is not supported"),
    ("a instanceof b", "  ^", "no classes"),
    ("yes", "^", "write `true`, or 'yes' as a text"),
    ("${Yes}", "  ^", "write `true`, or 'Yes' as a text"),
    ("TRUE", "^", "write `true`"),
    ("input.a && True", "           ^", "write `true`"),
    ("input.a === on", "            ^", "write `true`, or 'on' as a text"),
    ("no || OFF", "^", "write `false`"),
    ("FALSE", "^", "write `false`"),
    ("input.a == None", "           ^", "write `null`"),
    ("input.a == NULL", "           ^", "write `null`"),
    ("[nil]", " ^", "write `null`"),
    ("nan", "^", "write `NaN`"),
    ("not input.a", "^", "for 'not', write `!`"),
    ("'${input.a}' == 'b'", " ^", r"take the quotes off, or write `\$`"),
    ('"a {{input.a}}" == "b"', "   ^", r"take the quotes off, or write `\{`"),
    ("010", "^", "0o10"),
    ("08", "^", "0o10"),
    ("1_000", " ^", "cannot follow a number"),
    ("3px", " ^", "cannot follow a number"),
    ("0x", " ^", "cannot follow a number"),
    ("1n", " ^", "cannot follow a number"),
    (r"'\1'", " ^", r"`\1` is not an escape"),
    (r"'ab\u12'", "   ^", "is not an escape"),
    (r"'\u{110000}'", " ^", "is not an escape"),
    ("foo(1)", "^", "There are the methods: endsWith, includes"),
    ("length(a)", "^", "It is a filter"),
    ("input.foo(1)", "      ^", "There are: endsWith, includes, startsWith, toLowerCase, toUpperCase, trim"),
    ("input.s.inclues('a')", "        ^", "Did you mean `includes`?"),
    ("input.s.split('a')", "        ^", "It is a filter: write `| split`"),
    ("input.s.constructor('a')", "        ^", "there is no method `constructor`"),
    ("a[0](1)", "    ^", "only a method can be called"),
    ("'a'.trim(1)", "    ^", "takes no arguments"),
    ("'a'.includes(1, 2, 3)", "    ^", "takes at most 2 arguments"),
    ("'a'.includes(1,)", "               ^", "a value is missing"),
    ("a | upercase", "    ^", "Did you mean `uppercase`?"),
    ("a | nope", "    ^", "There are: abs, boolean, capitalize, ceil, default, first"),
    ("a |", "   ^", "a filter's name is missing"),
    ("a | 5", "    ^", "a filter's name is missing"),
    ("a | round(2)", "    ^", "takes no arguments"),
    ("a | split(1, 2)", "    ^", "takes at most 1 argument"),
    ("a | default", "    ^", "takes 1 argument"),
    ("input.list | length > 3", "                    ^", "put it in parentheses"),
    ("a | first.x", "         ^", "put it in parentheses"),
    ("a | first && b", "          ^", "put it in parentheses"),
    ("a ? b | first : c", "      ^", "in parentheses"),
    ("a ?? b || c", "       ^", "needs parentheses"),
    ("a || b ?? c", "       ^", "needs parentheses"),
    ("a && b ?? c", "       ^", "needs parentheses"),
    ("a ?? b && c", "       ^", "needs parentheses"),
    ("(" * 80, " " * (DEEPEST + 1) + "^", "64 deep"),
    ("!" * 80 + "a", " " * (DEEPEST + 1) + "^", "64 deep"),
    ("a" + " + a" * 80, "^", "64 steps"),
    ("a" + ".b" * 80, "^", "64 steps"),
    ("a" * (LONGEST + 1), " " * LONGEST + "^", "at most 10000 characters"),
    ("a" + " " * LONGEST, " " * LONGEST + "^", "at most 10000 characters"),
]


@pytest.mark.parametrize(("text", "caret", "detail"), ERRORS, ids=[text[:24] for text, _, _ in ERRORS])
def test_errors(text: str, caret: str, detail: str) -> None:
    with pytest.raises(InvalidExpression) as raised:
        parse_expression(text)
    assert raised.value.offset == len(caret) - 1
    assert raised.value.text == text
    assert detail in raised.value.detail


def test_every_filter_is_named_where_one_is_unknown() -> None:
    with pytest.raises(InvalidExpression) as raised:
        parse_expression("a | nope")
    assert all(name in raised.value.detail for name in FILTER_NAMES)


@pytest.mark.parametrize(
    ("text", "caret"),
    [
        ("Hi ${input.x", "   ^"),
        ("Hi ${}", "     ^"),
        ("Hi {{#if x}}", "     ^"),
        ("${a} and ${b +}", "              ^"),
        ("${a} it's ${'b}", "            ^"),
    ],
)
def test_errors_in_templates(text: str, caret: str) -> None:
    with pytest.raises(InvalidExpression) as raised:
        parse_template(text)
    assert raised.value.offset == len(caret) - 1
    assert raised.value.text == text


# Nothing else ever goes wrong

FRAGMENTS = re.findall(
    r"\S+",
    """
    input trigger agents a my-agent state .x ?.x [ ] ( ) . ?. ${ {{ } }} 'a' "b" ' " 1 0.5 0x1 010 1e3 true null
    undefined NaN + - * / % < <= > >= === !== == != in && || ?? ? : ! | |length |first |split("a") |default( |sort
    .includes( .trim() .length , = & ++ -- ` { ; # \\ \ud83d é
    """,
)
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=14).flatmap(
    lambda words: st.sampled_from([" ".join(words), "".join(words)])
) | st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(10**400),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(["x", "length", "0", "a"]), values),
    max_leaves=8,
)


def parsed_or_fault(parse: Callable[[str], Expression], text: str) -> Expression | InvalidExpression:
    try:
        return parse(text)
    except InvalidExpression as fault:
        return fault


def value_or_needed(parsed: Expression, scope: Scope) -> object:
    try:
        return parsed.evaluate(scope)
    except Needed as needed:
        return needed


@settings(deadline=None)
@given(TEXTS, JSON, st.dictionaries(st.sampled_from(["a", "my-agent", "state"]), JSON))
def test_any_text_is_an_expression_or_an_error_with_its_place(text: str, value: Any, outputs: dict[str, Any]) -> None:
    scope = Scope(value, {}, outputs)
    before = repr(scope)
    for parse in (parse_expression, parse_template):
        parsed = parsed_or_fault(parse, text)
        if isinstance(parsed, InvalidExpression):
            assert parsed.text == text
            assert parsed.offset is not None
            assert 0 <= parsed.offset <= len(text)
            assert str(parsed)
            continue
        result = value_or_needed(parsed, scope)
        needs = parsed.needs(scope)
        assert set(needs) <= parsed.names
        if isinstance(result, Needed):
            assert result.name in needs
        else:
            assert needs == ()
            assert isinstance(to_text(result), str)
            assert isinstance(truthy(result), bool)
    assert repr(scope) == before


@pytest.mark.parametrize(
    "opening", ["(", "[", "!", "${", "{{", "a[", "a.includes(", "a | split(", "a ? ", "1 + (", "a || a && a.includes("]
)
def test_depth_never_exhausts_the_stack(opening: str) -> None:
    for depth in (1, 8, 30, DEEPEST, 70, 500):
        for closing in ("", "a"):
            with pytest.raises(InvalidExpression):
                parse_expression(opening * depth + closing + "#")


def test_deepest_expressions_are_evaluated() -> None:
    for opening, closing in [("(", ")"), ("[", "]"), ("${", "}"), ("[1 || 0 && [1].includes(", ")]")]:
        depth = DEEPEST // 4 - 1 if "&&" in opening else DEEPEST - 1
        evaluated(opening * depth + "1" + closing * depth)
    assert evaluated("a" + " || a" * 1000, Scope({}, {"a": 0})) == 0


def test_deep_values_are_evaluated() -> None:
    deep = json.loads("[" * 900 + "7" + "]" * 900)
    for text in (
        "input + ''",
        "input == 7",
        "input | json",
        "input | string",
        "[input] | sort",
        "input < 8",
        "[input] | join",
    ):
        evaluated(text, Scope(deep))
    assert evaluated("input % 2 === 1", Scope(deep)) is True
