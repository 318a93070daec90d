"""Keys: the same text for the same user, another for another, and none where a part is missing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.errors import InvalidExpression
from resolver.expression import UNDEFINED, Key, Needed, NoKey, Scope, parse_expression, parse_key, parse_template
from resolver.expression.javascript import to_text
from tests.resolver.test_expression_node import Writer

GIVEN = {"tenant": "acme", "id": 7, "session": "s1", "none": None, "empty": "", "object": {"id": 1}, "list": [1, 2]}
GIVEN |= {"flag": True, "no": False, "text": "abc", "mail": "ann@example.com", "blank": "  ", "zero": 0}
SCOPE = Scope(GIVEN, {"state": {"id": "st"}}, {"lookup": {"id": 9}})


def key(text: str, scope: Scope = SCOPE) -> str | NoKey:
    return parse_key(text).evaluate(scope)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${input.id}", "7"),
        ("${input.text}", "abc"),
        ("{{ input.zero }}", "0"),
        ("$input.id", "7"),
        ("$lookup.output.id", "9"),
        ("user-${input.id}", "user-7"),
        ("${input.tenant}:${input.id}", "acme:7"),
        ("${input.tenant} - ${input.id}", "acme - 7"),
        ("${input.tenant + ':' + input.id}", "acme:7"),
        ("${'' + input.id}", "7"),
        ("${(input.missing || '') + input.id}", "7"),
        ("${input.id % 5}", "2"),
        ("${-input.id}", "-7"),
        ("${input.mail | split('@') | last}", "example.com"),
        ("${(input.mail | split('@'))[1]}", "example.com"),
        ("${input.mail.toUpperCase()}", "ANN@EXAMPLE.COM"),
        ("${(input.mail | trim).length}", "15"),
        ("${[input.tenant, input.id] | join(':')}", "acme:7"),
        ("${input.list | join}", "1, 2"),
        ("${input.list | length}", "2"),
        ("${input.object | json}", '{"id":1}'),
        ("${input.object | keys | first}", "id"),
        ("${input.object | values | join}", "1"),
        ("${input.list | slice(1) | join}", "2"),
        ("${input.list | reverse | first}", "2"),
        ("${input.list | sort | last}", "2"),
        ("${(input.list | boolean) ? input.id : 'none'}", "7"),
        ("${input.list[input.zero]}", "1"),
        ("${input.missing ?? input.id}", "7"),
        ("${input.empty || input.id}", "7"),
        ("${input.zero || input.id}", "7"),
        ("${input.zero ?? input.id}", "0"),
        ("${input.missing | default(input.session)}", "s1"),
        ("${(input.missing ?? input.list) | first}", "1"),
        ("${input.flag ? input.id : input.missing}", "7"),
        ("${input.no ? input.missing : input.id}", "7"),
        ("${input.flag && input.id}", "7"),
        ("${input.missing === undefined ? input.session : 'x'}", "s1"),
        ("${input.missing + 1 > 0 ? 'x' : input.session}", "s1"),
        ("${lookup.output.id}-${state.id}", "9-st"),
        ("${'a'}-${input.id}", "a-7"),
        # Where something is missing, the next one is taken.
        ("${('user-' + input.missing) ?? input.session}", "s1"),
        ("${'user-' + input.object || input.session}", "s1"),
        ("${(input.none | string) | default(input.session)}", "s1"),
    ],
)
def test_a_key_whose_parts_are_there(text: str, expected: str) -> None:
    assert key(text) == expected


#: A part that is none, and what is said of it.
BAD = {
    "missing": "missing",
    "none": "null",
    "empty": "empty",
    "object": "an object",
    "list": "a list",
    "flag": "a boolean",
    "no": "a boolean",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    "text",
    [
        "${%s}",
        "user-${%s}",
        "${input.tenant}:${%s}",
        "${%s}:${input.tenant}",
        "${'user-' + %s}",
        "${%s + '-user'}",
        "x-${input.tenant + ':' + %s}",
        "${%s | string}",
        "user-${%s | uppercase}",
        "${%s | trim | lowercase}",
        "${%s | split('@') | last}",
        "${(%s | split('@'))[0]}",
        "${(%s | string).length}",
        "${%s * 100}",
        "${%s % 100}",
        "bucket-${%s % 100}",
        "${-%s}",
        "${+%s}",
        "${%s | number}",
        "${%s | round | string}",
        "${input.tenant ? %s : input.id}",
        "${input.tenant && %s}",
        "${input.missing ?? %s}",
        "$%s",
    ],
)
def test_a_key_with_a_part_that_is_not_there(text: str, name: str) -> None:
    assert key(text.replace("%s", f"input.{name}")) == NoKey(f"`input.{name}` is {BAD[name]}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${input.text % 100}", "`${input.text % 100}` is not a number"),
        ("b-${input.text % 100}", "`${input.text % 100}` is not a number"),
        ("${'n-' + (input.text | number)}", "`${'n-' + (input.text | number)}` is not a number"),
        ("${input.blank | trim}", "`${input.blank | trim}` is empty"),
        ("user-${input.blank.trim()}", "`${input.blank.trim()}` is empty"),
        ("${(input.missing || '') + (input.none ?? '')}", "`${(input.missing || '') + (input.none ?? '')}` is empty"),
        ("${input.missing ?? ''}", "`${input.missing ?? ''}` is empty"),
        ("${input.id.trim()}", "`${input.id.trim()}` is missing"),
        ("${input.missing.trim()}", "`input.missing` is missing"),
        ("${input.missing | length}", "`input.missing` is missing"),
        ("${input.empty | json}", "`input.empty` is empty"),
        ("${input.flag | json}", "`input.flag` is a boolean"),
        ("${input.none | keys | length}", "`input.none` is null"),
        ("${input.id | boolean}", "`${input.id | boolean}` is a boolean"),
        ("${input.id > 5}", "`${input.id > 5}` is a boolean"),
        ("${!input.id}", "`${!input.id}` is a boolean"),
        ("${input.list | sort}", "`${input.list | sort}` is a list"),
        ("${input.list[5]}", "`${input.list[5]}` is missing"),
        ("${(input.mail | trim).x}", "`${(input.mail | trim).x}` is missing"),
        ("${(input.object).id.x + 'a'}", "`input.object.id.x` is missing"),
        (
            "${[input.tenant, input.missing] | join(':')}",
            "of `${[input.tenant, input.missing] | join(':')}` is missing",
        ),
        ("${[input.id, input.none] | join}", "of `${[input.id, input.none] | join}` is null"),
        ("${[input.tenant, 'a' + input.none] | join}", "`input.none` is null"),
        ("${nobody.id}", "`nobody` was not sent"),
        ("user-${agents.later.output.id}", "`later` was not sent"),
        ("${input.missing ?? nobody}", "`nobody` was not sent"),
    ],
)
def test_why_there_is_no_key(text: str, why: str) -> None:
    found = key(text)
    assert isinstance(found, NoKey)
    assert found.why.endswith(why)


@pytest.mark.parametrize("given", [UNDEFINED, None, "text", 5, [], True])
def test_an_input_that_is_no_object_gives_no_key(given: object) -> None:
    assert key("user-${input.id}", Scope(given)) == NoKey("`input.id` is missing")


def test_fifty_users_have_fifty_keys_or_none() -> None:
    for text in ("user-${input.user}", "${'user-' + input.user}", "${input.user | string}", "${input.user}"):
        keys = {key(text, Scope({"user": number})) for number in range(50)}
        assert len(keys) == 50
        without = {key(text, Scope({"user": {"id": number}})) for number in range(50)}
        assert without == {NoKey("`input.user` is an object")}


def test_numbers_are_written_as_javascript_writes_them() -> None:
    numbers = [(101.0, "101"), (1e21, "1e+21"), (0.5, "0.5"), (2**53 + 1, "9007199254740992"), (-0.0, "0")]
    assert [key("${input.n}", Scope({"n": number})) for number, _ in numbers] == [text for _, text in numbers]


@pytest.mark.parametrize("text", ["", "user", "user-1", "${'a'}", "${1 + 1}-x", "$5", "input.user_id"])
def test_a_key_that_reads_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidExpression) as raised:
        parse_key(text)
    assert "the same for every request" in raised.value.detail
    assert (raised.value.text, raised.value.offset) == (text, 0)


def test_a_key_that_cannot_be_parsed() -> None:
    with pytest.raises(InvalidExpression) as raised:
        parse_key("user-${input.")
    assert raised.value.offset == 13


def test_a_key_of_a_template() -> None:
    text = "${input.tenant}:${lookup.output.id}"
    assert Key.of(parse_template(text)) == parse_key(text)
    assert parse_key(text).names == {"input", "lookup"}
    assert Key.of(parse_expression("input.id")).evaluate(SCOPE) == "7"


# A key is the text of the value, wherever it is one. What goes on past a missing part may be another value.


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.randoms(use_true_random=False))
def test_a_key_is_the_text_of_the_value(source: random.Random) -> None:
    writer = Writer(source)
    text = f"${{{writer.expression(3)[0]}}}"
    try:
        expression = parse_expression(text)
    except InvalidExpression:
        return
    scope = Scope(writer.document(), {"state": writer.document()}, {"first-agent": writer.document()})
    found = Key.of(expression).evaluate(scope)
    assert isinstance(found, NoKey) or found
    if isinstance(found, str) and not any(word in text for word in ("??", "||", "default")):
        assert found == to_text(expression.evaluate(scope))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.randoms(use_true_random=False))
def test_a_key_needs_what_its_value_needs(source: random.Random) -> None:
    text = f"${{{Writer(source).expression(3)[0]}}}"
    try:
        expression = parse_expression(text)
    except InvalidExpression:
        return
    try:
        expression.evaluate(Scope({}))
    except Needed:
        found = Key.of(expression).evaluate(Scope({}))
        assert isinstance(found, NoKey) or any(word in text for word in ("??", "||", "default"))
