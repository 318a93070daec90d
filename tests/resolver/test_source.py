"""YAML as the ensembles are read: the 1.2 core schema, the bounds, and the place of every value and of every fault."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolver.ensemble.yaml import read_yaml
from resolver.ensemble.yaml.values import DEEPEST, LARGEST, LONGEST_NUMBER, MOST_VALUES
from resolver.errors import InvalidEnsemble

FILE = "sample.yaml"


def value(text: str) -> object:
    return read_yaml(text, FILE).value


def refusal(text: str) -> InvalidEnsemble:
    with pytest.raises(InvalidEnsemble) as caught:
        read_yaml(text, FILE)
    return caught.value


def place(error: InvalidEnsemble) -> tuple[int | None, int | None]:
    assert error.file == FILE
    return error.line, error.column


# The core schema


@pytest.mark.parametrize("text", ["on", "off", "yes", "no", "Yes", "y", "n", "tRUE", "nULL", "NaN", "Infinity", "inf"])
def test_words_are_text(text: str) -> None:
    assert value(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "12:30:45",
        "2024-11-12",
        "2024-11-12T14:45:00Z",
        "1_000",
        "0b11",
        "0O17",
        "v1.2.3",
        "1.2.3",
        "1e",
        "+.nan",
        "=",
        "0x",
        "--1",
    ],
)
def test_what_is_nearly_a_number_or_a_date_is_text(text: str) -> None:
    assert value(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-12", -12),
        ("+12", 12),
        ("1.10", 1.1),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1e3", -1000.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("FALSE", False),
    ],
)
def test_numbers_and_booleans(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_not_a_number() -> None:
    found = value("[.nan, .NaN, .NAN]")
    assert isinstance(found, list)
    assert all(isinstance(item, float) and math.isnan(item) for item in found)


def test_every_form_of_null() -> None:
    assert value("{a: , b: ~, c: null, d: Null, e: NULL}") == dict.fromkeys("abcde")


def test_quotes_and_blocks_make_text() -> None:
    assert value("- '010'\n- \"true\"\n- |\n  null\n- >-\n  1\n  2\n- ''\n") == ["010", "true", "null\n", "1 2", ""]


def test_keys_are_text_however_they_look() -> None:
    assert value("1: a\ntrue: b\n1.10: c\n~: d\n") == {"1": "a", "true": "b", "1.10": "c", "~": "d"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("&a !!str 12", "12"),
        ("&a # the anchor\n  !!str 12", "12"),
        ("!!str", ""),
        ('!!int "12"', 12),
        ("!!float 1", 1.0),
        ("!!bool 'true'", True),
        ("!!null ''", None),
        ("!!map {a: !!seq [1]}", {"a": [1]}),
    ],
)
def test_tags_of_the_core_schema(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("tagged", "named"),
    [
        ("!!python/object:os.system x", "!!python/object:os.system"),
        ("!!python/object/apply:os.system [ls]", "!!python/object/apply:os.system"),
        ("!!binary aGVsbG8=", "!!binary"),
        ("!!timestamp 2024-11-12", "!!timestamp"),
        ("!!set {x}", "!!set"),
        ("!!omap []", "!!omap"),
        ("!own x", "!own"),
        ("!!map x", "!!map"),
        ("!!binary aGVsbG8=: x", "!!binary"),
    ],
)
def test_other_tags_are_refused_by_name(tagged: str, named: str) -> None:
    error = refusal(f"a:\n  - {tagged}\n")
    assert f"`{named}`" in error.detail
    assert place(error) == (2, 5)


@pytest.mark.parametrize("text", ["!!int x", "!!int 1.5", "!!bool yes", "!!null x", "!!float true"])
def test_a_tag_that_its_scalar_does_not_fit(text: str) -> None:
    assert "is not a" in refusal(text).detail


# Keys


def test_a_key_that_stands_twice_names_both_lines() -> None:
    error = refusal("a: 1\nb:\n  c: 1\n\n  d: 2\n  c: 3\n")
    assert error.detail == "`c` stands here a second time; it was set on line 3"
    assert place(error) == (6, 3)
    assert "a second time" in refusal('1: a\n"1": b\n').detail


def test_there_is_no_merge() -> None:
    error = refusal("a: &a {x: 1}\nb:\n  <<: *a\n")
    assert "`<<`" in error.detail
    assert place(error) == (3, 3)
    assert value('"<<": 1') == {"<<": 1}


def test_a_key_is_a_scalar() -> None:
    assert place(refusal("? [a]\n: b\n")) == (1, 3)


# Aliases and bounds


def test_an_alias_is_its_value_again() -> None:
    assert value("a: &x {k: [1]}\nb: *x\n") == {"a": {"k": [1]}, "b": {"k": [1]}}


@pytest.mark.parametrize("text", ["&a [*a]", "&a {k: *a}", "a: &a\n  - b: [*a]\n"])
def test_an_alias_within_its_own_anchor(text: str) -> None:
    assert refusal(text).detail == "an alias stands inside the anchor that it names"


def test_an_alias_bomb_is_stopped_early() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    started = time.perf_counter()
    assert f"{MOST_VALUES:,} values" in refusal("\n".join(rows)).detail
    assert time.perf_counter() - started < 5


def test_a_chain_of_aliases_cannot_exceed_the_depth() -> None:
    rows = ["a0: &a0 x"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, DEEPEST + 5)]
    assert "levels deep" in refusal("\n".join(rows)).detail


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_depth(opening: str, closing: str) -> None:
    value(opening * (DEEPEST - 1) + "x" + closing * (DEEPEST - 1))
    error = refusal(opening * 5_000)
    assert f"more than {DEEPEST} levels deep" in error.detail
    assert error.line == 1
    assert error.column is not None
    # The value after the deepest bracket, or the key before it.
    assert len(opening) * (DEEPEST - 1) < error.column <= len(opening) * DEEPEST + 1


def test_size() -> None:
    assert value("a" * LARGEST) == "a" * LARGEST
    error = refusal("#\n" + "a" * LARGEST)
    assert f"at most {LARGEST:,}" in error.detail
    assert place(error) == (2, LARGEST - 1)


@pytest.mark.parametrize("start", ["9", "-9", "1.", "0x", "0o7"])
def test_no_number_is_absurdly_long(start: str) -> None:
    assert "quote it" in refusal("a: " + start + "1" * LONGEST_NUMBER).detail
    assert isinstance(value(start + "1" * (LONGEST_NUMBER - len(start))), int | float)


# The text as such


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "\ufeff"])
def test_an_empty_file(text: str) -> None:
    error = refusal(text)
    assert error.detail == "the file is empty"
    assert place(error) == (1, 1)


def test_one_document_only() -> None:
    assert value("---\na: 1\n...\n") == {"a": 1}
    assert place(refusal("a: 1\n---\nb: 2\n")) == (2, 1)


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x7f", "\ud800", "\ufffe"])
def test_control_characters(character: str) -> None:
    error = refusal(f"a: 1\r\nb: x{character}")
    assert f"U+{ord(character):04X}" in error.detail
    assert place(error) == (2, 5)
    assert character not in str(error)


def test_a_tab_does_not_indent() -> None:
    error = refusal("a:\n\tb: 1\n")
    assert place(error) == (2, 1)
    assert "\\t" in error.detail


def test_escapes() -> None:
    assert value(r'"\u00e9\x41\n\ud83d\ude00"') == "éA\n😀"
    assert place(refusal(r'a: "\ud83d"')) == (1, 4)
    for beyond in (r'a: "\U00110000"', r'a: "\UFFFFFFFF"'):
        assert refusal(beyond).line == 1
    assert refusal(f"%YAML {'1' * 5000}.2\n---\na: 1\n").line == 1


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_and_columns_are_those_of_an_editor(line_break: str, mark: str) -> None:
    text = mark + line_break.join(['é: "\u2028"', "a: 😀", 'b: ["é", c, <<, {d: e}]', ""])
    source = read_yaml(text, FILE)
    error = source.error(("b", 3, "d"), "wrong")
    assert place(error) == (3, 21)
    assert error.field == "b[3].d"
    assert error.caret == 'b: ["é", c, <<, {d: e}]\n' + " " * 20 + "^"
    assert source.line(("b",)) == 3
    # The byte order mark is no column of the first line.
    assert place(source.error(("é",), "wrong")) == (1, 4)


def test_a_place_that_is_not_there_is_that_of_what_should_hold_it() -> None:
    source = read_yaml("a:\n  b: {c: 1}\n", FILE)
    assert place(source.error(("a", "b", "d", 3), "missing")) == (2, 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.10", "1.10"),
        ("&x 1.10", "1.10"),
        ("!!float '1.10'", "1.10"),
        ('"a\\n"', "a\\n"),
        ("|\n  a\n", "  a\n"),
        ("[a]", ""),
    ],
)
def test_the_text_as_written(text: str, expected: str) -> None:
    assert read_yaml(text, FILE).written(()) == expected


# Laws

# A key written on one line has at most 1,024 characters in YAML, and an escaped one here takes twelve for each.
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=80), inner, max_size=4),
    max_leaves=12,
)


@given(plain_values)
def test_json_is_yaml(item: object) -> None:
    assert value(json.dumps(item)) == item


# fmt: off
pieces = st.sampled_from([
    "a", "b: ", "- ", "\n", "  ", "{", "}", "[", "]", ",", ": ", "? ", "&a ", "*a", "!", "!!str ", "!!int ", "!<x> ",
    "|", ">", "|\n", ">2\n", '"', "'", "\\", "\\x4", "\\ud800", "\\UFFFFFFFF", "#", "%YAML 1.2\n", "%TAG ! x\n",
    "---", "...", "\t", "\r", "\u2028", "\x85", "\ufeff", "<<", "~", "1.0", "0x1", ".inf", "@", "`", "\x00", "é", "😀",
])
# fmt: on


@given(st.text() | st.lists(pieces, max_size=30).map("".join))
@example("? |\n")
@example("!")
@example("&")
@example("%")
@example("'")
@example("\u2028- \x85[")
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        read_yaml(text, FILE)
    except InvalidEnsemble as error:
        line, column = place(error)
        assert line is not None
        assert column is not None
        assert 1 <= line <= len(text) + 1
        assert 1 <= column <= len(text) + 1
        str(error).encode()
