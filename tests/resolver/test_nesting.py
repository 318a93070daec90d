"""Depth is told before decoding, whatever the strings hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.nesting import closed, too_deep


def nested(levels: int, text: str = "") -> str:
    return '{"a": [' * (levels // 2) + json.dumps(text) + "]}" * (levels // 2)


@pytest.mark.parametrize("text", ["", "[[[", "]]]]", '"[', "\\" * 9, "}" * 300])
def test_depth_is_told(text: str) -> None:
    assert not too_deep(nested(400, text))
    assert too_deep(nested(1200, text))
    assert too_deep(nested(1200, text).encode())


def test_what_never_closes_is_deep_as_well() -> None:
    for opening in ("[", '{"a":', '[{"a":', "[[],", '["]",', '{"}":{},"":'):
        assert too_deep(opening * 100_000)


def test_width_is_not_depth() -> None:
    assert not too_deep("[" + "[]," * 100_000 + "[]]")
    assert not too_deep(json.dumps({f"c{n}": {"prod": "v1.0.0", "odd": "]["} for n in range(10_000)}))


json_values = st.recursive(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(alphabet='[]{}"\\a'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[]{}"\\a'), inner, max_size=4),
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(json_values, st.integers(1, 6))
def test_it_is_never_wrong_about_json(value: object, deepest: int) -> None:
    told = too_deep(json.dumps(value), deepest)
    assert not told or depth(value) > deepest
    assert told or depth(value) <= 2 * deepest


def ends(text: str) -> bool:
    """Whether all that is opened is closed, character by character."""
    open_, within, skip = "", False, False
    for at, character in enumerate(text):
        if skip:
            skip = False
        elif character == "\\" and text[at + 1 : at + 2] in ("\\", '"'):
            skip = True
        elif character == '"':
            within = not within
        elif not within and character in "[{":
            open_ += character
        elif not within and character in "]}":
            if open_[-1:] + character not in ("[]", "{}"):
                return False
            open_ = open_[:-1]
    return not open_ and not within


@given(st.text('[]{}"\\a', max_size=30), st.integers(0, 3))
def test_it_is_told_whether_all_ends(text: str, before: int) -> None:
    # The same across the place where what is looked at together ends, whatever stands there.
    for padding in ("", "a" * (64 * 1024 - before), '"' + "\\\\" * (32 * 1024 - before) + '"'):
        assert closed((padding + text).encode()) is ends(text)


def test_what_ends_far_apart_ends() -> None:
    for text in (json.dumps({f"c{n}": {"prod": '"}[', "x": [n]} for n in range(20_000)}), nested(400), '{"a": ' * 400):
        assert closed(text.encode()) is text.endswith("}")
        assert not closed(text[:-1].encode())
        assert not closed((text + "]").encode())
    for opening in ("[", '{"a":', '[{"a":', "[[],"):
        assert not closed(opening.encode() * 100_000)
    assert not closed(b"[" * 50_000 + b"]" * 50_000)
