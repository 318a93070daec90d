"""Names that nothing has, and which one was probably meant."""

from __future__ import annotations

import pytest

from resolver.expression import (
    CONTEXT_NAMES,
    Expression,
    Key,
    parse_condition,
    parse_expression,
    parse_field,
    parse_key,
    parse_template,
    unknown_names,
)

AGENTS = ("extract", "classify-intent")


def told(parsed: Expression | Key) -> list[tuple[str, int, str]]:
    return [(unknown.name, unknown.offset, unknown.hint) for unknown in unknown_names(parsed, AGENTS)]


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("${inptu.x}", [("inptu", 2, " Did you mean `input`?")]),
        ("${input.x && trigger.y && $input.z}", []),
        ("${extract.output.found}", []),
        ("${agents.extract.output.found}", []),
        ("${extrct.output.found}", [("extrct", 2, " Did you mean `extract`?")]),
        ("${agents.extrct.output.found}", [("extrct", 9, " Did you mean `extract`?")]),
        ("${agents['extrct'].found}", [("extrct", 9, " Did you mean `extract`?")]),
        ("${agnts.extract.found}", [("agnts", 2, " Did you mean `agents`?")]),
        ("${classify_intent.output}", [("classify_intent", 2, " Did you mean `classify-intent`?")]),
        ("${status} == 'pending'", [("status", 2, "")]),
        ("${agents.state}", [("state", 9, "")]),
        ("${state.a} && ${env.b} && ${params.c}", []),
        ("$extract.found", []),
        ("$extrct.found", [("extrct", 0, " Did you mean `extract`?")]),
        ("${a} && b && ${a}", [("a", 2, ""), ("b", 8, ""), ("a", 15, "")]),
        ("${input[inptu] | split(b)}", [("inptu", 8, " Did you mean `input`?"), ("b", 23, "")]),
    ],
)
def test_unknown_names(text: str, unknown: list[tuple[str, int, str]]) -> None:
    assert told(parse_expression(text)) == unknown
    assert told(parse_condition(text)) == unknown


def test_unknown_names_in_texts_with_placeholders() -> None:
    text = "user-${inptu.x}-${extract.y}"
    unknown = [("inptu", 7, " Did you mean `input`?")]
    assert told(parse_template(text)) == told(parse_field(text)) == told(parse_key(text)) == unknown
    assert told(parse_expression(f"{text} === 'a'")) == unknown


def test_the_error_of_an_unknown_name() -> None:
    text = "true && inptu.x"
    (unknown,) = unknown_names(parse_expression(text), AGENTS)
    assert str(unknown.fault(text)) == (
        "nothing here is called `inptu`. Did you mean `input`? "
        "There are: agents, classify-intent, env, extract, input, params, state, trigger\n"
        "  true && inptu.x\n"
        "          ^"
    )


def test_every_name_of_a_context_is_known() -> None:
    assert unknown_names(parse_expression(" && ".join(CONTEXT_NAMES)), ()) == ()
