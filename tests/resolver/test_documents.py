"""The documents of the KV contract: what is bad is dropped by name, the rest works."""

from __future__ import annotations

import hashlib
import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.documents import (
    ContentMetadata,
    MapMetadata,
    decode_content_metadata,
    decode_history,
    decode_index,
    decode_map_metadata,
    decode_rollout,
    decode_rollout_history,
    encode_rollout,
    finished,
)
from resolver.errors import InvalidDocument
from resolver.rollout import RolloutTable, parse_percentage
from resolver.version_map import decode_version_map, revision_of


def test_a_good_map_comes_out_as_it_is() -> None:
    decoded = decode_version_map('{"a": {"prod": "v1.0.0", "dev": "2.0.0-rc.1+b"}, "b": {}}')
    assert decoded.value == {"a": {"prod": "v1.0.0", "dev": "v2.0.0-rc.1+b"}, "b": {}}
    assert decoded.problems == ()


@pytest.mark.parametrize(
    "bad", ["1.1", "1", "null", "true", "[]", '{"x": "v1.0.0"}', '""', '"v1.0"', '"latest"', '"v1.0.0\\n"', '"v01.0.0"']
)
def test_a_bad_pointer_is_dropped_by_name(bad: str) -> None:
    decoded = decode_version_map(f'{{"a": {{"prod": {bad}, "dev": "v1.0.0"}}, "b": {{"prod": "v2.0.0"}}}}')
    assert decoded.value == {"a": {"dev": "v1.0.0"}, "b": {"prod": "v2.0.0"}}
    assert [(p.document, p.entry) for p in decoded.problems] == [("component-versions", "a.prod")]
    assert str(decoded.problems[0]).startswith("component-versions: a.prod: ")


@pytest.mark.parametrize("bad", ["1", "null", "true", "[]", '"v1.0.0"', '[["prod", "v1.0.0"]]'])
def test_a_bad_component_is_dropped_by_name(bad: str) -> None:
    decoded = decode_version_map(f'{{"a": {bad}, "b": {{"prod": "v2.0.0"}}}}')
    assert decoded.value == {"b": {"prod": "v2.0.0"}}
    assert [problem.entry for problem in decoded.problems] == ["a"]


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "1", '"x"', "{", '{"a": {"prod": "v1.0.0"}', "[" * 100_000, b"\xff"]
)
def test_a_map_that_is_none(text: str | bytes) -> None:
    with pytest.raises(InvalidDocument) as caught:
        decode_version_map(text)
    assert caught.value.field == "component-versions"


def test_absurd_depth_in_one_entry_spoils_no_more_than_the_document() -> None:
    with pytest.raises(InvalidDocument):
        decode_version_map('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"generation": 7, "revision": "r"}, MapMetadata(7, "r")),
        ({"generation": 7.0}, MapMetadata(7)),
        ({"generation": 7.5}, MapMetadata()),
        ({"generation": math.nan}, MapMetadata()),
        ({"generation": math.inf}, MapMetadata()),
        ({"generation": "7", "revision": 7}, MapMetadata()),
        ({"generation": True}, MapMetadata()),
        ({}, MapMetadata()),
        (None, MapMetadata()),
        ([7], MapMetadata()),
        ("7", MapMetadata()),
    ],
)
def test_metadata_of_any_shape(metadata: object, expected: MapMetadata) -> None:
    assert decode_map_metadata(metadata) == expected


def test_content_metadata_of_any_shape() -> None:
    assert decode_content_metadata({"type": "prompt", "more": 1, "sha256": 7}) == ContentMetadata("prompt")
    shapes: list[object] = [None, 7, [], "x", {"type": 7}]
    for metadata in shapes:
        assert decode_content_metadata(metadata).type is None


def test_a_map_without_metadata_still_has_a_revision() -> None:
    text = ' {"a": {"prod": "v1.0.0"}, "b": {}}\n'
    assert revision_of(text) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]
    for written in (text, text.strip(), "{}", "{ }"):
        pointers = decode_version_map(written).value
        assert finished(pointers.revision_steps()) == finished(pointers.revision_steps()) == revision_of(written)


GOOD = '{"at": "2024-11-12T14:45:00Z", "environment": "prod", "version": "1.0.0", "generation": 2, "more": []}'


@pytest.mark.parametrize(
    "bad",
    [
        "null",
        "7",
        "[]",
        "{}",
        '{"at": "2024-11-12T14:45:00", "environment": "prod", "version": "v1.0.0"}',
        '{"at": "yesterday", "environment": "prod", "version": "v1.0.0"}',
        '{"at": "2024-11-12T14:45:00Z", "environment": "prod"}',
        '{"at": "2024-11-12T14:45:00Z", "environment": "prod", "version": 1.1}',
        '{"at": "2024-11-12T14:45:00Z", "environment": "prod", "version": "new"}',
        '{"at": "2024-11-12T14:45:00Z", "environment": null, "version": "v1.0.0"}',
        '{"at": 1731422700, "environment": "prod", "version": "v1.0.0"}',
        '{"at": "9999-12-31T23:59:59-23:59", "environment": "prod", "version": "v1.0.0"}',
        '{"at": "0001-01-01T00:00:00+23:59", "environment": "prod", "version": null}',
        '{"at": "2024-11-12T14:45:00Z", "environment": "prod", "version": null,'
        ' "published_at": "0001-01-01T00:00:00+01:00"}',
    ],
)
def test_a_bad_move_is_dropped_by_name(bad: str) -> None:
    decoded = decode_history("history/a", f"[{bad}, {GOOD}]")
    assert [move.version for move in decoded.value] == ["v1.0.0"]
    assert [(p.document, p.entry) for p in decoded.problems] == [("history/a", "[0]")]


@pytest.mark.parametrize(
    "bad",
    ["NaN", "-Infinity", "01", "undefined", "'x'", '"\\ud83d"', '"\\x"', '"\x01"', GOOD.replace("prod", "\\ud83d"),
     GOOD.replace("[]", "NaN"), GOOD.replace("1.0.0", "1.0.0\\udc00"), GOOD.replace("[]", "[],"),
     GOOD.replace('"environment"', "environment")],
)  # fmt: skip
def test_what_no_json_can_hold_spoils_its_own_entry_alone(bad: str) -> None:
    for mark in ("", "\ufeff"):
        moves = decode_history("history/a", f"{mark}[{GOOD}, {bad}, {GOOD}]")
        releases = decode_index("index/a", f'{mark}[{{"version": "1.0.0"}}, {bad}, {{"version": "v1.0.0"}}]'.encode())
        for decoded in (moves, releases):
            assert [entry.version for entry in decoded.value if entry.version != "v1.0.0"] == []
            assert len(decoded.value) == 2
            assert [problem.entry for problem in decoded.problems] == ["[1]"]
    change = '{"at": "2024-11-01T00:00:00Z", "value": 10}'
    changes = decode_rollout_history(f"[{change}, {bad}, {change}]")
    assert [encode_rollout(change.table) for change in changes.value] == [10, 10]
    assert [problem.entry for problem in changes.problems] == ["[1]"]


def test_moves_are_ordered_by_when_they_were_published_then_by_generation() -> None:
    def move(at: str, generation: int, published: str | None = None) -> str:
        more = f', "published_at": "{published}"' if published else ""
        return (
            f'{{"at": "{at}", "environment": "prod", "version": "v{generation}.0.0", "generation": {generation}{more}}}'
        )

    moves = [
        move("2024-11-12T15:00:00Z", 4),
        move("2024-11-12T15:00:00+00:00", 3),
        move("2024-11-12T10:00:00Z", 5, "2024-11-12T16:00:00Z"),
        move("2024-11-12T16:30:00+02:00", 2),
    ]
    assert [m.generation for m in decode_history("history/a", f"[{','.join(moves)}]").value] == [2, 3, 4, 5]


def test_indexes_and_rollout_history_drop_what_is_bad() -> None:
    index = decode_index("index/a", '[{"version": "1.0.0"}, {"version": 1}, null, {"version": "v2.0.0", "at": null}]')
    assert [release.version for release in index.value] == ["v1.0.0", "v2.0.0"]
    assert [problem.entry for problem in index.problems] == ["[1]", "[2]"]
    turns = decode_index(
        "index/a",
        '[{"version": "v1.0.0", "withdrawn": true}, {"version": "v1.1.0", "withdrawn": ["2024-11-02"]},'
        ' {"version": "v1.2.0", "withdrawn": []}, {"version": "v1.3.0", "withdrawn": ["2024-11-02T00:00:00Z"]}]',
    )
    assert [(release.version, release.is_withdrawn()) for release in turns.value] == [
        ("v1.2.0", False),
        ("v1.3.0", True),
    ]
    assert [problem.entry for problem in turns.problems] == ["[0]", "[1]"]
    changes = decode_rollout_history(
        '[{"at": "2024-11-02T00:00:00Z", "value": {"*": 5}}, {"at": "2024-11-01T00:00:00Z", "value": "10%"},'
        ' {"at": "2024-11-03T00:00:00Z", "value": "lots"}, {"value": 3}]'
    )
    assert [encode_rollout(change.table) for change in changes.value] == [10, 5]
    assert [problem.entry for problem in changes.problems] == ["[2]", "[3]"]


@pytest.mark.parametrize("depth", [1, 10, 400])
def test_a_deep_entry_is_dropped_by_name(depth: int) -> None:
    deep = '{"x": ' * depth + "1" + "}" * depth
    decoded = decode_version_map(f'{{"a": {{"prod": {deep}}}, "b": {{"prod": "v2.0.0"}}}}')
    assert decoded.value["b"] == {"prod": "v2.0.0"}
    assert [problem.entry for problem in decoded.problems] == ["a.prod"]


@given(
    st.dictionaries(
        st.sampled_from(["*", "a", "a@prod"]),
        st.integers(0, 25).flatmap(lambda places: st.decimals(0, 100, places=places)),
        min_size=1,
    )
)
def test_a_table_is_written_to_mean_the_same(values: dict[str, Decimal]) -> None:
    for version in (None, "v1.2.0"):
        shares = {name: parse_percentage(format(value, "f")) for name, value in values.items()}
        table = RolloutTable({name: each.of(version) if version else each for name, each in shares.items()})
        again = decode_rollout(json.dumps(encode_rollout(table)))
        assert again.problems == ()
        assert {name: (p.threshold, p.version) for name, p in again.value.entries.items()} == {
            name: (p.threshold, p.version) for name, p in table.entries.items()
        }


def test_a_percentage_of_the_past_that_is_bad_spoils_its_own_entry_alone() -> None:
    text = '[{"at": "2024-11-01T00:00:00Z", "value": {"*": 10, "a": NaN, "b": 5}}]'
    (problem,) = decode_rollout_history(text).problems
    assert problem.entry == "[0]"


@pytest.mark.parametrize(
    "text", ["", "null", "{}", "7", "[", "[" * 100_000, "[1,]", "[1,,2]", "[NaN", '["a', "[{]}", "[]]"]
)
def test_lists_that_are_none(text: str) -> None:
    for key in ("history/a", "index/a"):
        with pytest.raises(InvalidDocument):
            (decode_history if key.startswith("history") else decode_index)(key, text)


@given(st.text(), st.binary())
def test_any_text_is_decoded_or_refused(text: str, data: bytes) -> None:
    for source in (text, data):
        for decode in (decode_version_map, decode_rollout, decode_rollout_history):
            try:
                decode(source)
            except InvalidDocument as error:
                assert error.detail
