"""An object or a list, cut into its entries: what can be decoded is cut as a decoder would, and more besides."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.entries import elements, members, plain

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(['"},{', "\\", '\\"', "[", ":", ","])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values), st.sampled_from([None, 1]), st.booleans())
def test_the_members_of_an_object(value: dict[str, object], indent: int | None, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    found = members(text.encode(errors="surrogatepass"))
    assert found is not None
    assert [(name, json.loads(part), fault) for name, part, fault in found] == [(*pair, "") for pair in value.items()]
    assert elements(text.encode()) is None


@given(st.lists(values), st.sampled_from([None, 1]))
def test_the_elements_of_a_list(value: list[object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    found = elements(text)
    assert found is not None
    assert [json.loads(part) for part in found] == value
    assert members(text) is None


@given(st.text('{}[]",:\\ a1', max_size=24))
def test_what_a_decoder_reads_is_cut(text: str) -> None:
    for kind, cut in ((dict, members), (list, elements)):
        try:
            read = msgspec.json.decode(text)
        except msgspec.DecodeError:
            continue
        found = cut(text.encode())
        assert (found is not None) is isinstance(read, kind)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", []),
        (' {"a":1 , "a" : }', [("a", "1"), ("a", "")]),
        ('{"a": NaN, "b": \\"x}', [("a", "NaN"), ("b", '\\"x')]),
        ('{"a": {"b": :}, "c": "}"}', [("a", '{"b": :}'), ("c", '"}"')]),
        ('{"\\ud83da\\-b": 1}', [("a-b", "1")]),
        ("", None),
        ("{", None),
        ("{}}", None),
        ("{} {}", None),
        ('{"a": 1,}', None),
        ('{, "a": 1}', None),
        ('{"a": 1,, "b": 1}', None),
        ('{"a"}', None),
        ('{"a" 1}', None),
        ('{"a": 1: 2}', None),
        ('{"a" "b": 2}', None),
        ("{a: 1}", None),
        ('{"a": "}', None),
        ('{"a": [}', None),
        ('{"a": [}]}', None),
        ('{"a": 1]', None),
    ],
)
def test_what_holds_together(text: str, found: list[tuple[str, str]] | None) -> None:
    cut = members(text.encode())
    assert (None if cut is None else [(name, value.decode()) for name, value, _ in cut]) == found


def test_a_document_is_its_bytes_without_a_mark() -> None:
    assert [plain(text) for text in ("\ufeffa", "a", "", "a\ufeff", "\ufeff\ufeff")] == [
        b"a", b"a", b"", b"a\xef\xbb\xbf", b"\xef\xbb\xbf",
    ]  # fmt: skip
    assert plain(b"\xef\xbb\xbf{}") == b"{}"
    assert plain("\ud83d") == b"\xed\xa0\xbd"
