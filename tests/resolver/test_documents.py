"""The documents of the KV contract: what is bad is dropped by name, the rest works."""

from __future__ import annotations

import hashlib
import json
import math
import tracemalloc
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolver.documents import (
    ContentMetadata,
    Decoded,
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
from resolver.errors import InvalidDocument, InvalidVersion
from resolver.rollout import RolloutTable, parse_percentage
from resolver.version import canonical
from resolver.version_map import VersionMap, decode_version_map, revision_of, version_map_steps


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
    table = RolloutTable({name: parse_percentage(format(value, "f")) for name, value in values.items()})
    again = decode_rollout(json.dumps(encode_rollout(table)))
    assert again.problems == ()
    assert {name: p.threshold for name, p in again.value.entries.items()} == {
        name: p.threshold for name, p in table.entries.items()
    }


@pytest.mark.parametrize("text", ["", "null", "{}", "7", "[", "[" * 100_000])
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


# The version map is decoded piece by piece, and component by component; it must say what decoding it whole would say.


def decoded_whole(text: str) -> tuple[dict[str, dict[str, str]], list[str]] | None:
    """The pointers and the names of what was dropped, in the plainest way; None where the document is no object."""
    try:
        entries = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError):
        return None
    pointers: dict[str, dict[str, str]] = {}
    dropped: list[str] = []
    for name, raw in entries.items():
        try:
            component = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeError):
            dropped.append(name)
            continue
        pointers[name] = {}
        for environment, written in component.items():
            try:
                pointers[name][environment] = canonical(msgspec.json.decode(written, type=str))
            except (msgspec.DecodeError, UnicodeError, InvalidVersion):
                dropped.append(f"{name}.{environment}")
    return pointers, dropped


def said(decoded: Decoded[VersionMap]) -> tuple[dict[str, dict[str, str]], list[str]]:
    return {name: dict(found) for name, found in decoded.value.items()}, [found.entry for found in decoded.problems]


def same(one: tuple[dict[str, dict[str, str]], list[str]], other: tuple[dict[str, dict[str, str]], list[str]]) -> bool:
    return (one[0], sorted(one[1])) == (other[0], sorted(other[1]))


#: Wide enough for the document to be cut behind it.
WIDE = " " * 4200
NAMES = [
    "a",
    "b",
    "c",
    "d/e",
    "ü",
    "😀",
    "",
    '},"x',
    "}, {",
    "a\\u002db",
    "\\ud83d\\ude00",
    "\\ud800",
    '\\"},',
    "[" * 30,
]
VERSIONS = ['"v1.0.0"', '"1.0.0"', '"2.0.0-rc.1+b"', '"newest"', "1.1", "null", '"v1.0"', '{"x": "},"}', '["},", 1]']
names = st.sampled_from([f'"{name}"' for name in NAMES] + [f'"n{number:02}"' for number in range(30)])
spaces = st.sampled_from(["", "", "", " ", "\n\t", WIDE])


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str], most: int) -> str:
    space = draw(spaces)
    members = draw(st.lists(st.tuples(names, values, spaces), max_size=most))
    return "{" + ",".join(f"{wide}{name}:{space}{value}" for name, value, wide in members) + space + "}"


components = st.one_of(
    objects(st.sampled_from(VERSIONS), 4), st.sampled_from(["{}", "null", "7", '"},"', '[{"a": 1}, 2]'])
)
good_components = objects(st.sampled_from(VERSIONS[:3]), 4)
documents = st.one_of(objects(components, 8), objects(good_components, 8))
damage = st.tuples(st.floats(0, 1), st.sampled_from(["", ",", "{", "}", '"', "\\", "}, ", "{}", "x", "\x00", "},\n"]))


def damaged(text: str, hurts: list[tuple[float, str]]) -> str:
    for where, put in hurts:
        at = int(where * len(text))
        text = text[:at] + put + text[at + (put == "") :]
    return text


def spread(*members: str) -> str:
    """An object with each member in a piece of its own."""
    return "{" + ",".join(WIDE + member for member in members) + "}"


@given(documents, st.lists(damage, max_size=2))
@example(spread('"a": {"prod": "v1.0.0"}', '"b": {}', '"a": {"dev": "v2.0.0"}'), [])
@example(spread('"a": {"prod": "v1.0.0"}', '"b": {}', '"a": 7'), [])
@example(spread('"a": {"prod": 7}', '"b": {}', '"a": {"dev": "v2.0.0"}', '"a": {"prod": "v3"}'), [])
@example(spread('"b": {}', '"a": {"prod": "v1.0.0"}', '"},": {"x": "}, {"}', '"c": 1'), [])
def test_a_map_in_pieces_is_the_whole_map(text: str, hurts: list[tuple[float, str]]) -> None:
    text = damaged(text, hurts)
    expected = decoded_whole(text)
    if expected is None:
        with pytest.raises(InvalidDocument):
            decode_version_map(text)
        return
    decoded = decode_version_map(text)
    assert same(said(decoded), expected)
    pointers = decoded.value
    assert list(pointers) == list(dict.fromkeys(pointers))
    assert (len(pointers), bool(pointers)) == (len(expected[0]), bool(expected[0]))
    for name in [*NAMES, "a-b", '"},', *(f"n{number:02}" for number in range(30))]:
        assert (name in pointers, pointers.get(name)) == (name in expected[0], expected[0].get(name))
    for name, component in expected[0].items():
        assert pointers[name] == component
    assert finished(pointers.revision_steps()) == revision_of(text)


@given(documents, documents, st.lists(damage, max_size=1))
@example("{}", "{}\n", [])
@example(' {"a": {}}', '{"a": {}}', [])
@example(spread('"a": {}', '"b": {}'), spread('"b": {}', '"a": {}'), [])
def test_what_was_decoded_before_changes_nothing(before: str, text: str, hurts: list[tuple[float, str]]) -> None:
    previous = decode_version_map(before).value if decoded_whole(before) else None
    for after in (text, damaged(before, hurts)):
        expected = decoded_whole(after)
        if expected is not None:
            decoded = finished(version_map_steps(after, previous))
            assert same(said(Decoded(decoded, decoded.problems)), expected)
            assert (decoded is previous) == (after == before)
        else:
            with pytest.raises(InvalidDocument):
                finished(version_map_steps(after, previous))


def large_map(size: int, moved: str = "v1.2.3") -> str:
    names = sorted(f"prompts/{number % 7}/component-{number}" for number in range(size))
    pointers = {name: {"prod": "v1.2.3", "prod-canary": "v1.10.0-rc.1", "latest": "2.0.0"} for name in names}
    pointers[names[size // 3]]["prod"] = moved
    return json.dumps(pointers)


@pytest.mark.parametrize("shape", ["sorted", "shuffled", "indented", "spaced"])
def test_a_large_map_is_decoded_in_small_steps(shape: str) -> None:
    pointers = json.loads(large_map(5000))
    if shape == "shuffled":
        pointers = dict(sorted(pointers.items(), key=lambda item: item[0][::-1]))
    text = json.dumps(
        pointers, indent=2 if shape == "indented" else None, separators=(",", ":") if shape == "spaced" else None
    )
    steps = version_map_steps(text)
    # A step has some 700 components.
    assert sum(1 for _ in version_map_steps(text)) > 5
    decoded = finished(steps)
    assert decoded.problems == ()
    assert dict(decoded.items()) == {name: {**found, "latest": "v2.0.0"} for name, found in pointers.items()}
    assert all(decoded[name]["latest"] == "v2.0.0" for name in list(pointers)[::97])
    assert "prompts/9/component-9" not in decoded
    assert finished(version_map_steps(text.encode(), decoded)) is decoded
    assert finished(version_map_steps(memoryview(text.encode()), decoded)) is decoded


@pytest.mark.parametrize("moved", ["v1.2.4", "v10.20.30", "1.0.0"])
def test_a_moved_pointer_is_seen_in_the_map_after_it_and_not_in_the_one_before(moved: str) -> None:
    before = decode_version_map(large_map(3000)).value
    names = list(before)
    after = finished(version_map_steps(large_map(3000, moved), before))
    (name,) = (name for name in names if after[name] != before[name])
    assert (before[name]["prod"], after[name]["prod"]) == ("v1.2.3", canonical(moved))
    assert list(after) == names
    # Cheaper than anew: pieces without a change are taken over.
    assert finished(version_map_steps(large_map(3000), after)) == before


def test_a_large_map_takes_little_more_than_its_text() -> None:
    text = large_map(10_000).encode()
    decode_version_map("{}")
    moved = large_map(10_000, "v3.3.33").encode()
    tracemalloc.start()
    try:
        held = decode_version_map(text).value
        taken, peak = tracemalloc.get_traced_memory()
        after = finished(version_map_steps(moved, held))
        both, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held["prompts/0/component-0"] == after["prompts/0/component-0"]
    assert taken < 1.3 * len(text)
    assert peak < 1.6 * len(text)
    # What is the same is there once.
    assert both < 1.3 * len(text)


def test_where_a_large_map_is_broken() -> None:
    text = large_map(1000)
    at = text.index('{"prod": "v1.2.3", "prod-canary"', len(text) // 2)
    with pytest.raises(InvalidDocument, match="counted from byte") as caught:
        decode_version_map(text[:at] + "oops" + text[at:])
    assert caught.value.field == "component-versions"
    for bad in (
        '{"a": {},}',
        "{" + WIDE + '"a": {},}',
        "{" + WIDE + '"a": {}, \n}',
        '{,"a": {}}',
        "{,}",
        '{"a": {"prod": "v1.0.0"},' + WIDE + "}",
        text[:-1],
        text + "}",
    ):
        with pytest.raises(InvalidDocument):
            decode_version_map(bad)


def test_of_very_many_bad_entries_the_first_are_named_and_all_are_counted() -> None:
    decoded = decode_version_map(json.dumps({f"n{number:04}": number for number in range(3000)}))
    assert dict(decoded.value) == {}
    assert len(decoded.problems) == 1001
    assert decoded.problems[0].entry == "n0000"
    assert str(decoded.problems[-1]) == "component-versions: 2000 more entries are as bad"
