"""YAML as the ensembles are read: the 1.2 core schema, the bounds, and the place of every value and of every fault."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolver.ensemble.yaml import read_yaml
from resolver.ensemble.yaml.loader import DEEPEST
from resolver.ensemble.yaml.values import LARGEST, LONGEST_NUMBER, MOST_VALUES
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
    written = "1: a\ntrue: b\nnull: c\n1.5: d\nyes: e\n2024-11-12: f\n'1.10': g\n\"~\": h\n!!str 0x14: i\n"
    assert value(written) == dict(
        zip(["1", "true", "null", "1.5", "yes", "2024-11-12", "1.10", "~", "0x14"], "abcdefghi", strict=True)
    )


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("1.0", "1"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("0x14", "20"),
        ("0o17", "15"),
        ("010", "10"),
        ("+1", "1"),
        ("-0", "0"),
        ("True", "true"),
        ("FALSE", "false"),
        ("~", "null"),
        ("Null", "null"),
        (".5", "0.5"),
        (".inf", "Infinity"),
        (".nan", "NaN"),
        ("9007199254740993", "9007199254740992"),
    ],
)
def test_a_key_that_is_spelled_otherwise_than_its_value_is_to_be_quoted(key: str, read: str) -> None:
    error = refusal(f"a:\n  {key}: b\n")
    assert error.detail == f'as a key this is `{read}` to YAML; quote it: "{key}"'
    assert place(error) == (2, 3)
    assert refusal(f"{{{key}: b}}").detail == error.detail
    assert value(f"'{key}': b") == {key: "b"}


@pytest.mark.parametrize("text", ["? \n: b\n", "&a : b", "{a: 1, ? : b}"])
def test_a_key_of_which_nothing_is_written(text: str) -> None:
    assert "a key is missing" in refusal(text).detail


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
    assert f"{MOST_VALUES:,} values" in refusal("\n".join(rows)).detail


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


# What YAML 1.2 has, family by family: tabs, breaks, plain text, keys, brackets, quotes, blocks, anchors, directives


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b\t\nc: d\n", {"a": "b", "c": "d"}),
        ("a:\tb\nc: \t d\n", {"a": "b", "c": "d"}),
        ("a: b\t# why\n\t# a line of its own\nc: d # \t\n", {"a": "b", "c": "d"}),
        ("a: 'b'\t\nc: \"d\"\t# why\ne:\t[f,\tg\t]\t\n", {"a": "b", "c": "d", "e": ["f", "g"]}),
        ("a\t: b\n'c'\t:\td\n", {"a": "b", "c": "d"}),
        ("-\ta\n- \tb\n", ["a", "b"]),
        ("a: b\tc\n", {"a": "b\tc"}),
        ("a:\n  b\n  \tc\n", {"a": "b c"}),
        ("a: |\n  \tb\n  c\t\n", {"a": "\tb\nc\t\n"}),
        ("a: >\n  b\n  \tc\n  d\n", {"a": "b\n\tc\nd\n"}),
        ("a:\n\t\n  b: c\n\t\n", {"a": {"b": "c"}}),
        ("a: {\n\tb: c\n\t}\n", None),
        ("\t[a]", ["a"]),
        ("a: |\t\n  b\n", {"a": "b\n"}),
    ],
)
def test_tabs_part_what_stands_on_a_line(text: str, expected: object) -> None:
    if expected is None:
        assert "only blanks indent" in refusal(text).detail
    else:
        assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("a:\n \tb: 1\n", (2, 3)),
        ("a: 1\n\tb: 2\n", (2, 2)),
        ("-\t- a\n", (1, 3)),
        ("- \t- a\n", (1, 4)),
        ("?\t- a\n", (1, 3)),
        ("- a:\n\tb\n", (2, 2)),
        ("- [\n\ta]\n", (2, 2)),
        ("a: 'b\n\tc'\n", (2, 2)),
        ("a: |\n  b\n\t\nc: d\n", (3, 1)),
        ("a:\n  b\n\t\n  c\n", (4, 3)),
    ],
)
def test_tabs_indent_nothing(text: str, at: tuple[int, int]) -> None:
    assert place(refusal(text)) == at


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_only_line_feeds_and_carriage_returns_end_a_line(character: str) -> None:
    assert value(f"a: b{character}c\n") == {"a": f"b{character}c"}
    assert value(f"a: |\n  b{character}c\n  d\n") == {"a": f"b{character}c\nd\n"}
    assert value(f"a: >\n  b{character}\n  c\n") == {"a": f"b{character} c\n"}
    assert value(f"a: 'b{character}c'\nd: \"e{character}\"\n") == {"a": f"b{character}c", "d": f"e{character}"}
    assert value(f"a: b # c{character}d: e\n") == {"a": "b"}
    assert value(f"a{character}b: c\n") == {f"a{character}b": "c"}
    assert place(refusal(f"a: b{character}c\nd: [,{character}\n")) == (2, 5)


@pytest.mark.parametrize("line_break", ["\r\n", "\r"])
def test_every_line_break_is_a_line_feed(line_break: str) -> None:
    written = "a: |\n  b\n\n  c\nd: 'e\n\n  f'\ng: h\n  i\nj:\n- k\n"
    expected = {"a": "b\n\nc\n", "d": "e\nf", "g": "h i", "j": ["k"]}
    assert value(written) == value(written.replace("\n", line_break)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b  c", "a b  c"),
        ("a: b:c #d\n", {"a": "b:c"}),
        ("a#b: c#d\n", {"a#b": "c#d"}),
        ("http://x/?a=b: c", {"http://x/?a=b": "c"}),
        ("-a", "-a"),
        ("?a: -b\n:c: ::d\n", {"?a": "-b", ":c": "::d"}),
        ("a\n b\n\n  c\n", "a b\nc"),
        ("- a\n - b\n", ["a - b"]),
        ("- a\n  'b' [c] {d}, &e *f\n", ["a 'b' [c] {d}, &e *f"]),
        ("[-a, ?b, :c, d:e, f#g]", ["-a", "?b", ":c", "d:e", "f#g"]),
        ("{?a: b, -c: d, e:f: g}", {"?a": "b", "-c": "d", "e:f": "g"}),
        ("[a b\n c, d]", ["a b c", "d"]),
        ("a: b # c\n# d\ne: f\n", {"a": "b", "e": "f"}),
    ],
)
def test_text_without_quotes(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    ["a: @b", "a: `b`", "a: %b", "- -\tb: c", "[-]", "[a, -]", "a: ,b", "a: ]", "a: b: c", "a: b\n c: d", "- a\nb"],
)
def test_what_cannot_be_text_without_quotes(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("? a\n: b\n? c\n", {"a": "b", "c": None}),
        ("? |\n  a\n:\n- b\n", {"a\n": ["b"]}),
        ("? a\n  b\n: c\n", {"a b": "c"}),
        ("a:\n- b\n-\n  - c\n  - - d\ne: f\n", {"a": ["b", ["c", ["d"]]], "e": "f"}),
        ("- a: b\n  c: d\n-\n  e: f\n- - g: h\n    i: j\n", [{"a": "b", "c": "d"}, {"e": "f"}, [{"g": "h", "i": "j"}]]),
        ("a:\n  b:\n  c:\n    d:\ne:\n", {"a": {"b": None, "c": {"d": None}}, "e": None}),
        ("-\n-\n- a\n-\n", [None, None, "a", None]),
        ("a: [b: c, d]\n", {"a": [{"b": "c"}, "d"]}),
        ("{a, b: , c: d, ? e : f, 'g':h, \"i\" : j,}", {"a": None, "b": None, "c": "d", "e": "f", "g": "h", "i": "j"}),
        ("['a':b, \"c\": d, ? e : f]", [{"a": "b"}, {"c": "d"}, {"e": "f"}]),
        ("{ a: [b,\n# c\n  d], # e\n}", {"a": ["b", "d"]}),
        ("a: [\n  b,\n  c\n]\nd: {\n}\n", {"a": ["b", "c"], "d": {}}),
        ("{a: ':b'}", {"a": ":b"}),
        ("{'a'::b}", {"a": ":b"}),
    ],
)
def test_keys_lists_and_brackets(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("a: [b,\nc]\n", (2, 1)),
        ("a: [b,#c\n d]\n", (1, 7)),
        ("a: [b]#c\n", (1, 7)),
        ("[a, , b]", (1, 5)),
        ("[a b: c\n  d: e]", (2, 4)),
        ("[a\n: b]", (2, 1)),
        ("{'a' b}", (1, 6)),
        ("{ -- 'a' # b\n  :c}", (2, 3)),
        ("[a", (1, 3)),
        ("a: {b: [c}", (1, 10)),
        ("[a]]", (1, 4)),
        ("'a'\n 'b'", (2, 2)),
        ("a: - b", (1, 4)),
        ("- a\n  - b: c\n - d\n", (2, 6)),
        ("- - a\n - b\n", (2, 2)),
        ("a:\n    b: c\n  d: e\n", (3, 3)),
        ("a: b\n- c\n", (2, 1)),
        ("- a\nb: c\n", (2, 1)),
        ("a\nb: c\n", (2, 2)),
        ("'a\n b': c\n", (2, 4)),
        (f"{'a' * 1_025}: b\n", (1, 1_026)),
        ("--- a: b\n", (1, 6)),
        ("--- - a\n", (1, 5)),
    ],
)
def test_keys_lists_and_brackets_that_are_none(text: str, at: tuple[int, int]) -> None:
    assert place(refusal(text)) == at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'it''s'", "it's"),
        ("'a\n\n  b\n   c'", "a\nb c"),
        ('"a\n b\\n\\\n  c\\\n  \\ d"', "a b\nc d"),
        ('"a \\\n\n b"', "a \nb"),
        ('" a \n b "', " a b "),
        ('"a\\t\n b"', "a\t b"),
        ('"a\\ \n b"', "a  b"),
        (r'"\0\a\b\e\f\v\N\_\L\P\/\x41\u0042\U00000043"', "\0\a\b\x1b\f\v\x85\xa0\u2028\u2029/ABC"),
        ("''", ""),
        ('"\n"', " "),
        ('"\n\n"', "\n"),
    ],
)
def test_text_in_quotes(text: str, expected: str) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (r'a: "\q"', (1, 6)),
        (r"a: 'b' c", (1, 8)),
        (r'a: "\x4"', (1, 7)),
        ("a: 'b\nc'", (2, 1)),
        ("a: 'b\n'", (2, 1)),
        ("- 'a", (1, 5)),
        ("'a\n---\nb'", (2, 1)),
    ],
)
def test_text_in_quotes_that_is_none(text: str, at: tuple[int, int]) -> None:
    assert place(refusal(text)) == at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("|\n a\n  b\n\n c\n\n", "a\n b\n\nc\n"),
        ("|-\n a\n\n", "a"),
        ("|+\n a\n\n", "a\n\n"),
        ("|\n\n\n a\n", "\n\na\n"),
        ("|2\n   a\n", " a\n"),
        ("|-1\n  a\n", " a"),
        ("|1-\n  a\n", " a"),
        ("|", ""),
        ("|+\n\n\n", "\n\n"),
        ("| # why\n a", "a\n"),
        ("|\n a # b\n # c\n", "a # b\n# c\n"),
        (">\n a\n b\n\n c\n\n\n d\n", "a b\nc\n\nd\n"),
        (">\n a\n  b\n\n  c\n d\n", "a\n b\n\n c\nd\n"),
        (">-\n\n a\n\n  b\n", "\na\n\n b"),
        (">\n a\n \n b\n", "a\nb\n"),
    ],
)
def test_blocks_of_text(text: str, expected: str) -> None:
    assert value(text) == expected
    assert value(f"a: {text}") == {"a": expected}
    assert value(f"- - {text}".replace("\n ", "\n   ")) == [[expected]]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("a: |0\n", (1, 4)),
        ("a: |10\n", (1, 4)),
        ("a: |#b\n", (1, 4)),
        ("a: > b\n", (1, 4)),
        ("a: |\n   \n  b\n", (3, 3)),
    ],
)
def test_blocks_of_text_that_are_none(text: str, at: tuple[int, int]) -> None:
    assert place(refusal(text)) == at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- &a b\n- *a\n- &a c\n- *a\n", ["b", "b", "c", "c"]),
        ("&a b: c\nd: *a\n", {"b": "c", "d": "b"}),
        ("a: &x\n  b: c\nd: *x\n", {"a": {"b": "c"}, "d": {"b": "c"}}),
        ("&x\n&y b: c\n", {"b": "c"}),
        ("a: &x\n- b\nc: *x\n", {"a": ["b"], "c": ["b"]}),
        ("- &x\n- *x\n", [None, None]),
        ("- !!str\n  &x 1\n- *x\n", ["1", "1"]),
        ("- &ü😀 b\n- *ü😀\n", ["b", "b"]),
        ("&x b: c\n*x : d\n", None),
        ("[&x a, *x , {*x : b}]", ["a", "a", {"a": "b"}]),
        ("- &x b\n- *x # again\n", ["b", "b"]),
    ],
)
def test_anchors_stand_for_their_node(text: str, expected: object) -> None:
    if expected is None:
        assert "a second time" in refusal(text).detail
    else:
        assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "*a",
        "&a x: b\n*a: c",
        "- &a b\n- &c *a",
        "&a &b c",
        "!!str !!int 1",
        "&a\n&b c",
        "!!str\n!!int 1",
        "&a - b",
        "a: b\n&c\nd: e",
        "!e!a b",
        "!!str, a",
        "& a",
    ],
)
def test_anchors_and_tags_that_are_none(text: str) -> None:
    assert refusal(text).line is not None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{a\n: b}", "a key in braces ends on its line"),
        ("{'a'\n:b}", "a key in braces ends on its line"),
        ("{a: !!str, b: c}", "a blank stands behind a tag"),
        ("a: 1\n: b\n", "a key is written"),
        ("[: b]", "a key is written"),
        ("{: b}", "a key is written"),
        ("|\na\n", "a block of text is indented"),
        ("|\n#a\n", "a block of text is indented"),
    ],
)
def test_rare_forms_of_yaml_are_refused_and_never_read_otherwise(text: str, why: str) -> None:
    assert refusal(text).line is not None, why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%YAML 1.2\n---\na: b\n", {"a": "b"}),
        ("# c\n%TAG !y! tag:yaml.org,2002:\n---\n!y!str 1\n", "1"),
        ("%FUTURE thing # c\n--- a\n...\n# c\n", "a"),
        ("--- |\n a\n...\n", "a\n"),
        ("---word", "---word"),
        ("a\n%b", "a %b"),
    ],
)
def test_what_stands_around_a_document(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("%YAML 1.1\n---\na\n", (1, 1)),
        ("%YAML 1.2\n%YAML 1.2\n---\na\n", (2, 1)),
        ("%YAML 1.2 a\n---\na\n", (1, 11)),
        ("%YAML 1.2#a\n---\na\n", (1, 1)),
        ("%TAG ! a\n%TAG ! b\n---\na\n", (2, 1)),
        ("%TAG x! a\n---\na\n", (1, 6)),
        ("%YAML 1.2\na: b\n", (2, 1)),
        ("%YAML 1.2\n---!!str\n", (2, 1)),
        ("%YAML 1.2\n...\n", (2, 1)),
        ("a\n... b\n", (2, 5)),
        ("a\n...\nb\n", (3, 1)),
        ("a: b\n---\n", (2, 1)),
    ],
)
def test_what_cannot_stand_around_a_document(text: str, at: tuple[int, int]) -> None:
    assert place(refusal(text)) == at


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
    assert place(error) == (2, 2)
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
