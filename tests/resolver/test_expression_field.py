"""What a field holds: an expression, or a text with placeholders; and what a condition may hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from resolver.errors import InvalidExpression
from resolver.expression import UNDEFINED, Scope, parse_condition, parse_expression, parse_field, parse_template
from tests.resolver.test_expression import CASES, TEXTS, parsed_or_fault, same

SCOPE = Scope(
    {"tier": "gold", "region": "eu", "n": 5, "a": 6, "b": 2, "yes": True, "list": [1, 2], "o": {"b": 7}},
    {"status": "pending"},
)


@pytest.mark.parametrize(("text", "scope", "value"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_conductor_evaluates_is_an_expression_in_every_field(text: str, scope: Scope, value: object) -> None:
    assert same(parse_field(text).evaluate(scope), value)
    assert same(parse_condition(text).evaluate(scope), value)


# Text between placeholders is text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${input.tier}-${input.region}", "gold-eu"),
        ("level-${input.n}", "level-5"),
        ("${input.n}-level", "5-level"),
        ("{{input.tier}}_{{input.region}}", "gold_eu"),
        ("${input.tier}${input.region}", "goldeu"),
        ("${input.a}-${input.b}", "6-2"),
        ("${input.a}/${input.b}", "6/2"),
        ("${input.a}+${input.b}", "6+2"),
        ("${input.a}*${input.b}", "6*2"),
        ("${input.a}%4", "6%4"),
        ("-${input.n}", "-5"),
        ("${input.a}.${input.b}", "6.2"),
        ("v${input.a}.${input.b}", "v6.2"),
        ("user:${input.n}", "user:5"),
        ("${input.tier}@${input.region}", "gold@eu"),
        ("Dear ${input.tier}", "Dear gold"),
        ("${input.tier} ${input.region}", "gold eu"),
        ("is it ${input.n}?", "is it 5?"),
        ("<${input.tier}>", "<gold>"),
        ("n=${input.n}", "n=5"),
        ("${input.a} or ${input.b}", "6 or 2"),
        ("'${input.tier}'", "'gold'"),
        ("${input.missing}-x", "${input.missing}-x"),
    ],
)
def test_a_text_with_values_in_it(text: str, value: str) -> None:
    field = parse_field(text)
    assert same(field.evaluate(SCOPE), value)
    assert field.text == text
    assert field.names == {"input"}
    with pytest.raises(InvalidExpression):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${input.tier}.json", "gold.json"),
        ("${input.list}[0]", "1,2[0]"),
        ("${input.n} in stock", "5 in stock"),
        ("${input.a} - total", "6 - total"),
        ("stock - ${input.a}", "stock - 6"),
    ],
)
def test_a_text_that_is_an_expression_as_a_condition(text: str, value: str) -> None:
    assert same(parse_field(text).evaluate(SCOPE), value)
    assert parse_condition(text).tree == parse_expression(text).tree


def test_a_text_needs_what_its_placeholders_need() -> None:
    field = parse_field("${a.x}-${input.n}-${b}")
    assert field.names == {"a", "b", "input"}
    assert field.needs(SCOPE) == ("a", "b")
    assert field.needs(Scope({"n": 1}, {}, {"a": {}, "b": 2})) == ()


# One expression as a whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("input.n", 5),
        ("$input.n", 5),
        ("${input.n}", 5),
        (" ${input.n}\n", 5),
        ("!${input.yes}", False),
        ("(${input.n})", 5),
        ("[${input.n}, 1]", [5, 1]),
        ("${input.a} + ${input.b}", 8),
        ("${input.a} - ${input.b}", 4),
        ("${input.n} % 3", 2),
        ("- ${input.n}", -5),
        ("${input.a} + 'px'", "6px"),
        ("${status} == 'pending'", True),
        ("${status}=='pending'", True),
        ("${input.n}%3 === 2", True),
        ("${input.a}/${input.b} > 2", True),
        ("${input.n}-5 > -1", True),
        ("${input.o}.b === 7", True),
        ("${input.missing} ?? 'none'", "none"),
        ("${input.yes} ? ${input.a} : ${input.b}", 6),
        ("${input.list} | length", 2),
        ("${input.a}-x && 'both'", "both"),
        ("${input.a}-x || 'other'", "6-x"),
        ("(${input.list} | length) > 1", True),
        # What touches a placeholder is text here too.
        ("${input.tier}-${input.region} === 'gold-eu'", True),
        ("'gold-eu' == ${input.tier}-${input.region}", True),
        ("level-${input.n} === 'level-5'", True),
        ("v${input.n}px === 'v5px'", True),
        ("${input.tier}--${input.region}-x === 'gold--eu-x'", True),
        ("${input.tier}${input.region} === 'goldeu'", True),
        ("x-${input.n} in {{input.o}} === false", True),
        ("${input.n} === 5 ? level-${input.n} : 'none'", "level-5"),
        ("${input.tier}-${input.region} | uppercase", "GOLD-EU"),
        ("input-${input.n} === 'input-5'", True),
        ("${input.missing}-x === '\\${input.missing}-x'", True),
    ],
)
def test_an_expression_in_every_field(text: str, value: object) -> None:
    assert same(parse_field(text).evaluate(SCOPE), value)
    assert same(parse_condition(text).evaluate(SCOPE), value)


def test_a_member_after_a_placeholder_is_one_in_a_condition() -> None:
    assert parse_condition("${input.o}.b").evaluate(SCOPE) == 7
    assert parse_condition("${input.list}[1]").evaluate(SCOPE) == 2
    assert parse_condition("!${input.o}.b").evaluate(SCOPE) is False


def test_quoted_openers_are_no_placeholders() -> None:
    assert parse_condition("input.tier === '${'").evaluate(SCOPE) is False
    assert parse_field("input.tier === '${'").evaluate(SCOPE) is False
    assert parse_expression(r"'\${input.n}'").evaluate(SCOPE) == "${input.n}"


# Errors


@pytest.mark.parametrize(
    ("text", "offset", "detail"),
    [
        ("${input.n} ==", 13, "ends too early"),
        ("${input.n} === 'x", 15, "no closing '"),
        ("${input.n} && ${", 14, "has no `}`"),
        ("${a} ?? ${b} || c", 13, "needs parentheses"),
        ("${a} ?? b c", 10, "cannot stand here"),
        ("${a} && b c", 10, "cannot stand here"),
        ("${a} || b c", 10, "cannot stand here"),
        ("level ${input.n} >= 5", 6, "cannot stand here"),
        ("'${input.tier}' == 'gold'", 1, "is not read within quotes"),
        ('"{{input.tier}}" == "gold"', 1, "is not read within quotes"),
    ],
)
def test_a_slip_in_an_expression_is_told_and_is_no_text(text: str, offset: int, detail: str) -> None:
    for parse in (parse_field, parse_condition):
        with pytest.raises(InvalidExpression) as raised:
            parse(text)
        assert (raised.value.offset, raised.value.text) == (offset, text)
        assert detail in raised.value.detail


@pytest.mark.parametrize(("text", "offset"), [("Dear ${input.", 5), ("${input.n} is ${}", 11), ("a-${b", 2)])
def test_a_placeholder_that_cannot_be_read_is_no_text(text: str, offset: int) -> None:
    with pytest.raises(InvalidExpression) as raised:
        parse_field(text)
    assert raised.value.offset == offset


@pytest.mark.parametrize(
    ("text", "caret"),
    [
        ("${input.tier}-${input.region}", "             ^"),
        ("level-${input.n}", "     ^"),
        ("${a}${b}", "    ^"),
        ("${a} / ${b}%${c}", "           ^"),
        ("-${input.n}", "^"),
        ("x${input.n}", "^"),
        ("${input.n}x", "          ^"),
    ],
)
def test_a_condition_that_is_a_text_would_always_be_true(text: str, caret: str) -> None:
    with pytest.raises(InvalidExpression) as raised:
        parse_condition(text)
    assert (raised.value.offset, raised.value.text) == (len(caret) - 1, text)
    assert "a text is always true" in raised.value.detail


# Nothing else ever goes wrong


@settings(deadline=None)
@given(TEXTS)
def test_a_field_reads_as_an_expression_or_as_a_template(text: str) -> None:
    scope = Scope({"x": 1}, {"a": "A", "my-agent": "m", "state": [1], "agents": {}})
    found = parsed_or_fault(parse_field, text)
    if isinstance(found, InvalidExpression):
        assert found.text == text
        assert found.offset is not None
        assert 0 <= found.offset <= len(text)
        return
    readings = [parsed_or_fault(parse, text) for parse in (parse_expression, parse_template)]
    trees = [reading.tree for reading in readings if not isinstance(reading, InvalidExpression)]
    assert found.tree in trees
    condition = parsed_or_fault(parse_condition, text)
    if not isinstance(condition, InvalidExpression):
        assert condition.needs(scope) == parse_expression(text).needs(scope)


def test_undefined_is_still_undefined() -> None:
    assert parse_field("${input.missing}").evaluate(SCOPE) is UNDEFINED
