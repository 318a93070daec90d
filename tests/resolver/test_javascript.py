"""JavaScript's meaning of values, operators and members; test_expression_node.py holds the same against Node."""

from __future__ import annotations

import copy
import json
import math
import pickle
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.expression import javascript as js
from resolver.expression.javascript import UNDEFINED, Undefined

NAN = math.nan
INFINITY = math.inf
GRIN = "\U0001f600"
SURROGATES = st.text(st.characters(codec=None) | st.sampled_from("\ud83d\ude00"))


def same(left: object, right: object) -> bool:
    """Equal in value and in type, -0 told from 0 and NaN equal to itself."""
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack(">d", left) == struct.pack(">d", right) or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right


def nested(depth: int, core: object = 1) -> object:
    value = core
    for _ in range(depth):
        value = [value]
    return value


# Undefined


def test_undefined_is_one_falsy_object_that_survives_every_copy() -> None:
    assert not UNDEFINED
    assert repr(UNDEFINED) == "undefined"
    assert Undefined() is UNDEFINED
    assert copy.copy(UNDEFINED) is UNDEFINED
    assert copy.deepcopy([UNDEFINED])[0] is UNDEFINED
    assert all(pickle.loads(pickle.dumps(UNDEFINED, protocol)) is UNDEFINED for protocol in range(6))


# Numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (1.0, 1),
        (0.0, 0),
        (-0.0, -0.0),
        (0.5, 0.5),
        (2**53, 2**53),
        (2**53 + 1, 2**53),
        (2**53 + 3, 9007199254740996.0),
        (-(2**53) - 1, -(2**53)),
        (1e21, 1e21),
        (10**400, INFINITY),
        (-(10**400), -INFINITY),
        (NAN, NAN),
    ],
)
def test_double(value: float, expected: float) -> None:
    assert same(js.double(value), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("", 0), ("  ", 0), ("\ufeff\u00a05\u2028", 5), ("-0", -0.0), ("5.", 5), (".5", 0.5), ("+1e3", 1000)],
        *[("0x1F", 31), ("0b11", 3), ("0o17", 15), ("0X1f", 31), ("1e999", INFINITY), ("-Infinity", -INFINITY)],
        *[("9" * 400, INFINITY), ("0x" + "f" * 400, INFINITY), ("12345678901234567890", 12345678901234567890.0)],
        *[
            (text, NAN)
            for text in ("1_000", "inf", "nan", "infinity", "1n", "0x", "-0x1", "+0b1", "1e", ".", "1 2", "e3")
        ],
        *[
            (text, NAN)
            for text in ("\u0661", "\u00b2", "\x1c5", "\x855", "5\x1f", "\u200b5", "\uff15", "1,5", "abc", "--1")
        ],
    ],
)
def test_text_to_number(text: str, expected: float) -> None:
    assert same(js.to_number(text), expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[
            (None, 0),
            (True, 1),
            (False, 0),
            (UNDEFINED, NAN),
            ([], 0),
            ([7], 7),
            (["0x10"], 16),
            ([1, 2], NAN),
            ({}, NAN),
        ],
        *[([[[3]]], 3), ([None], 0), (1.5, 1.5), (7.0, 7)],
    ],
)
def test_value_to_number(value: object, expected: float) -> None:
    assert same(js.to_number(value), expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(None, "null"), (UNDEFINED, "undefined"), (True, "true"), (False, "false"), ("a", "a"), (7, "7"), (1.0, "1")],
        *[(0, "0"), (-0.0, "0"), (NAN, "NaN"), (INFINITY, "Infinity"), (-INFINITY, "-Infinity"), (-1.5, "-1.5")],
        *[(1e21, "1e+21"), (1e-7, "1e-7"), (1e-6, "0.000001"), (1.5e-9, "1.5e-9"), (123456789.125, "123456789.125")],
        *[(1e20, "100000000000000000000"), (12345678901234567890, "12345678901234567000"), (5e-324, "5e-324")],
        *[(123456789012345678901, "123456789012345680000"), (10**400, "Infinity"), (0.1 + 0.2, "0.30000000000000004")],
        *[([], ""), ([1, None, [2]], "1,,2"), ([[], [[]]], ","), ([UNDEFINED, "a"], ",a"), ([{}], "[object Object]")],
        *[({}, "[object Object]"), ([1.0, 1e21, True], "1,1e+21,true")],
    ],
)
def test_to_text(value: object, expected: str) -> None:
    assert js.to_text(value) == expected


def test_depth_is_no_limit() -> None:
    deep = nested(100_000)
    assert js.to_text(deep) == "1"
    assert js.to_number(deep) == 1
    assert js.loose_equal(deep, 1)
    assert js.json_text(deep) == "[" * 100_000 + "1" + "]" * 100_000
    assert js.list_sorted([deep, 0]) == [0, deep]


@pytest.mark.parametrize(
    ("value", "floor", "round_", "ceil"),
    [
        (2.5, 2, 3, 3),
        (-2.5, -3, -2, -2),
        (0.5, 0, 1, 1),
        (-0.5, -1, -0.0, -0.0),
        (-0.2, -1, -0.0, -0.0),
        (-0.0, -0.0, -0.0, -0.0),
        (0.49999999999999994, 0, 0, 1),
        (4503599627370495.5, 4503599627370495, 4503599627370496, 4503599627370496),
        (1e300, 1e300, 1e300, 1e300),
        (7, 7, 7, 7),
        (INFINITY, INFINITY, INFINITY, INFINITY),
        (NAN, NAN, NAN, NAN),
    ],
)
def test_rounding(value: float, floor: float, round_: float, ceil: float) -> None:
    assert same(js.floor(value), floor)
    assert same(js.round_half_up(value), round_)
    assert same(js.ceil(value), ceil)


# Operators


@pytest.mark.parametrize("value", [True, 1, -1, 0.1, INFINITY, "0", " ", [], {}, [0]])
def test_truthy(value: object) -> None:
    assert js.truthy(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, -0.0, NAN, "", None, UNDEFINED])
def test_falsy(value: object) -> None:
    assert js.truthy(value) is False


LIST: list[object] = [1]


@pytest.mark.parametrize(
    ("left", "right", "strict", "loose"),
    [
        (1, 1.0, True, True),
        (0, -0.0, True, True),
        (True, 1, False, True),
        (False, 0, False, True),
        (True, True, True, True),
        ("5", 5, False, True),
        ("", 0, False, True),
        ("a", "a", True, True),
        ("1", "1.0", False, False),
        (NAN, NAN, False, False),
        (None, None, True, True),
        (None, UNDEFINED, False, True),
        (None, 0, False, False),
        (None, False, False, False),
        (UNDEFINED, UNDEFINED, True, True),
        (2**53, 2**53 + 1, True, True),
        (10**400, INFINITY, True, True),
        (LIST, LIST, True, True),
        ([1], [1], False, False),
        ([], "", False, True),
        ([1], 1, False, True),
        (["1"], True, False, True),
        ({}, "[object Object]", False, True),
        ({}, {}, False, False),
    ],
)
def test_equality(left: object, right: object, strict: bool, loose: bool) -> None:
    assert js.strict_equal(left, right) is js.strict_equal(right, left) is strict
    assert js.loose_equal(left, right) is js.loose_equal(right, left) is loose


@pytest.mark.parametrize(
    ("left", "right", "less", "greater"),
    [
        (1, 2, True, False),
        ("10", "9", True, False),
        ("10", 9, False, True),
        ("a", 1, False, False),
        (None, 1, True, False),
        (UNDEFINED, 1, False, False),
        (NAN, NAN, False, False),
        (2**53, 2**53 + 1, False, False),
        ("", "a", True, False),
        ("a", "A", False, True),
        # A character beyond U+FFFF starts with a surrogate, and so comes before U+FFFF itself.
        (GRIN, "\uffff", True, False),
        ("\ud83d", GRIN, True, False),
        ("z", GRIN, True, False),
        ([2], 3, True, False),
        ({}, "[object Z", True, False),
    ],
)
def test_order(left: object, right: object, less: bool, greater: bool) -> None:
    assert js.less(left, right) is js.greater(right, left) is less
    assert js.greater(left, right) is js.less(right, left) is greater


def test_neither_order_holds_for_what_is_no_number() -> None:
    assert not js.less_or_equal(NAN, NAN)
    assert not js.greater_or_equal("a", 1)
    assert js.less_or_equal(None, 0)
    assert js.greater_or_equal("b", "b")


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (-3, 2, -1),
        (3, -2, 1),
        (-4, 2, -0.0),
        ("4", 2, 0),
        (None, 2, 0),
        ("abc", 2, NAN),
        (5, 0, NAN),
        (5, INFINITY, 5),
        (INFINITY, 5, NAN),
        (NAN, 5, NAN),
        (5.5, 2, 1.5),
        (10**30, 7, math.fmod(1e30, 7)),
    ],
)
def test_remainder(left: object, right: object, expected: float) -> None:
    assert same(js.remainder(left, right), js.double(expected))


def test_arithmetic() -> None:
    assert same(js.add(0.1, 0.2), 0.30000000000000004)
    assert same(js.add(0.5, 0.5), 1)
    assert js.add(1, "2") == "12"
    assert js.add(True, True) == 2
    assert js.add([1], {}) == "1[object Object]"
    assert same(js.add(None, UNDEFINED), NAN)
    assert same(js.add(2**53, 1), 2**53)
    assert js.add("\ud83d", "\ude00") == GRIN
    assert same(js.subtract("5", 2), 3)
    assert same(js.multiply(0, -5), -0.0)
    assert same(js.multiply(2**40, 2**40), 2.0**80)
    assert same(js.multiply(1e300, 1e300), INFINITY)
    assert same(js.divide(4, 2), 2)
    assert same(js.divide(1, 0), INFINITY)
    assert same(js.divide(1, -0.0), -INFINITY)
    assert same(js.divide(-1, 0), -INFINITY)
    assert same(js.divide(0, 0), NAN)
    assert same(js.divide(0, -5), -0.0)
    assert same(js.negate(0), -0.0)
    assert same(js.negate(-0.0), 0.0)
    assert same(js.negate("3"), -3)


# Text


@settings(deadline=None)
@given(SURROGATES)
def test_units_and_back(text: str) -> None:
    whole = js.paired(text)
    assert js.paired(js.units(whole)) == whole
    assert len(js.units(whole)) == len(whole.encode("utf-16-le", "surrogatepass")) // 2 == js.text_length(whole)


@settings(deadline=None)
@given(SURROGATES, SURROGATES, SURROGATES)
def test_what_is_found_without_units_is_what_units_have(before: str, sought: str, after: str) -> None:
    sought = js.paired(sought)
    for whole in (js.paired(before + sought + after), js.paired(sought + after), js.paired(before + sought), before):
        has, part = js.units(whole), js.units(sought)
        assert js.starts_with(whole, sought) is has.startswith(part)
        assert js.ends_with(whole, sought) is has.endswith(part)
        assert js.text_includes(whole, sought) is (part in has)
        if sought:
            assert js.split(whole, sought) == [js.paired(piece) for piece in has.split(part)]
        for index in range(-1, len(has) + 2):
            at = max(index, 0)
            assert js.starts_with(whole, sought, index) is has[at:].startswith(part)
            assert js.ends_with(whole, sought, index) is has[:at].endswith(part)
            assert js.text_includes(whole, sought, index) is (part in has[at:])
            assert js.member(whole, index) == (has[index] if 0 <= index < len(has) else UNDEFINED)


@settings(deadline=None)
@given(SURROGATES, SURROGATES)
def test_order_is_that_of_code_units(left: str, right: str) -> None:
    ordered = left.encode("utf-16-be", "surrogatepass") < right.encode("utf-16-be", "surrogatepass")
    assert js.less(left, right) is ordered


def test_methods_of_texts() -> None:
    assert js.text_includes("abc", "bc")
    assert not js.text_includes("abc", "a", 1)
    assert js.text_includes("abc", "a", -5)
    assert js.text_includes("is undefined")
    assert js.text_includes("a1", 1)
    assert js.text_includes(GRIN, "\ude00")
    assert js.starts_with("abc", "b", 1)
    assert js.starts_with("abc", "", INFINITY)
    assert js.ends_with("abc", "b", 2)
    assert js.ends_with("abc", "c", UNDEFINED)
    assert not js.ends_with("abc", "c", None)
    assert js.trim("\ufeff a\u2029") == "a"
    assert js.trim("\x1ca\x85") == "\x1ca\x85"
    assert js.split("a,b,", ",") == ["a", "b", ""]
    assert js.split("", ",") == [""]
    assert js.split("", "") == []
    assert js.split("a" + GRIN, "") == ["a", "\ud83d", "\ude00"]
    assert js.capitalized("hELLO") == "Hello"
    assert js.capitalized("\u00dfA") == "SSa"
    assert js.capitalized("") == ""


# Lists


def test_methods_of_lists() -> None:
    assert js.list_includes([1, NAN], NAN)
    assert js.list_includes([UNDEFINED])
    assert not js.list_includes([True, "1"], 1)
    assert js.list_includes([0], -0.0)
    assert not js.list_includes([1, 2], 1, 1)
    assert js.list_includes([1, 2], 2, -1)
    assert js.list_includes([10**400], INFINITY)
    assert js.list_slice([1, 2, 3], 1) == [2, 3]
    assert js.list_slice([1, 2, 3], -2, -1) == [2]
    assert js.list_slice([1, 2, 3], "1", 2.9) == [2]
    assert js.list_slice([1, 2, 3], 0, None) == []
    assert js.list_sorted([10, 9, 1, UNDEFINED, None, "b", "B"]) == [1, 10, 9, "B", "b", None, UNDEFINED]
    assert js.list_sorted(["\uffff", GRIN]) == [GRIN, "\uffff"]
    assert js.list_joined([1, None, [2, [3]], UNDEFINED], "-") == "1--2,3-"
    assert js.list_joined(["\ud83d", "\ude00"], "") == GRIN


# Members


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        ({"a": 1}, "a", 1),
        ({"a": 1}, "b", UNDEFINED),
        ({"1": 2}, 1, 2),
        ({"1": 2}, 1.0, 2),
        ({"null": 2}, None, 2),
        ({"a": None}, "a", None),
        ({"length": 9}, "length", 9),
        ({}, "length", UNDEFINED),
        ({"a": 10**400}, "a", INFINITY),
        ({"a": 2**60 + 1}, "a", 2.0**60),
        ([1, 2], 0, 1),
        ([1, 2], "1", 2),
        ([1, 2], -1, UNDEFINED),
        ([1, 2], 2, UNDEFINED),
        ([1, 2], "01", UNDEFINED),
        ([1, 2], 0.5, UNDEFINED),
        ([1, 2], True, UNDEFINED),
        ([1, 2], -0.0, 1),
        ([1, 2], [[1]], 2),
        ([1, 2], "length", 2),
        ([1, 2], ["length"], 2),
        ("a" + GRIN, "length", 3),
        ("a" + GRIN, 1, "\ud83d"),
        ("abc", "2", "c"),
        ("abc", 3, UNDEFINED),
        ("", "length", 0),
        (5, "length", UNDEFINED),
        (None, "a", UNDEFINED),
        (UNDEFINED, "a", UNDEFINED),
        (True, "a", UNDEFINED),
    ],
)
def test_member(value: object, key: object, expected: object) -> None:
    assert same(js.member(value, key), expected)


INHERITED = ["constructor", "__proto__", "toString", "__class__", "append", "keys", "get", "upper", "valueOf"]


@pytest.mark.parametrize("key", INHERITED)
@pytest.mark.parametrize("value", [{}, [], "abc", 5, True, None, UNDEFINED])
def test_nothing_is_inherited(value: object, key: str) -> None:
    assert js.member(value, key) is UNDEFINED
    assert js.has_member(value, key) is False


def test_in() -> None:
    assert js.has_member({"a": UNDEFINED}, "a")
    assert js.has_member({"1": 0}, 1)
    assert js.has_member([5], 0)
    assert js.has_member([5], "length")
    assert not js.has_member([5], 5)
    assert not js.has_member("abc", 0)
    assert not js.has_member("abc", "length")


def test_keys_that_are_indexes_come_first() -> None:
    value = {"b": 0, "10": 0, "2": 0, "01": 0, "4294967294": 0, "4294967295": 0, "-1": 0}
    assert js.own_keys(value) == ["2", "10", "4294967294", "b", "01", "4294967295", "-1"]
    assert js.own_keys(["x", "y"]) == ["0", "1"]
    assert js.own_keys("abc") == []


# JSON


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "1"),
        (-0.0, "0"),
        (NAN, "null"),
        (10**400, "null"),
        (1e21, "1e+21"),
        ('a"\\\n\x01\u2028/\ud83d' + GRIN, '"a\\"\\\\\\n\\u0001\u2028/\\ud83d' + GRIN + '"'),
        ([], "[]"),
        ([UNDEFINED, None, True], "[null,null,true]"),
        ({"b": [1, {}], "1": "x", "a": UNDEFINED}, '{"1":"x","b":[1,{}]}'),
        ({"a": UNDEFINED}, "{}"),
    ],
)
def test_json_text(value: object, expected: str) -> None:
    assert js.json_text(value) == expected


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=4), values, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_json_text_is_read_back_as_it_was(value: Any) -> None:
    text = js.json_text(value)
    assert isinstance(text, str)
    assert json.loads(text, parse_int=float) == value


def test_undefined_has_no_json() -> None:
    assert js.json_text(UNDEFINED) is UNDEFINED
