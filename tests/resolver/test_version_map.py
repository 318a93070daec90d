"""The version map is read part by part and kept in pieces; it must say what decoding it whole would say."""

from __future__ import annotations

import itertools
import json
import re
import tracemalloc

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolver.documents import Decoded, finished
from resolver.errors import InvalidDocument, InvalidVersion
from resolver.version import canonical
from resolver.version_map import MapReader, VersionMap, decode_version_map, revision_of


def apart(text: str, sign: str) -> list[str] | None:
    """What stands between the signs that are not within a string or a bracket."""
    found, open_, within = [""], "", False
    for part in re.findall(r'\\["\\]|[^\\"\[\]{},:]+|.', text, re.DOTALL):
        if part == '"':
            within = not within
        elif not within and part in ("[", "{"):
            open_ += part
        elif not within and part in ("]", "}"):
            if open_[-1:] + part not in ("[]", "{}"):
                return None
            open_ = open_[:-1]
        elif not within and not open_ and part == sign:
            found.append("")
            continue
        found[-1] += part
    return None if within or open_ else found


BLANK = " \t\r\n"


def listed(text: str) -> list[tuple[str, str]] | None:
    """Name and value of each member of an object, as they are written; None for what does not hold together."""
    text = text.strip(BLANK)
    members = apart(text[1:-1], ",") if text[:1] + text[-1:] == "{}" else None
    if members is None:
        return None
    if [member.strip(BLANK) for member in members] == [""]:
        return []
    pairs: list[tuple[str, str]] = []
    for member in members:
        name, *values = apart(member, ":") or [""]
        if len(values) != 1 or not re.fullmatch(r'"([^"\\]|\\.)*"', name.strip(BLANK), re.DOTALL):
            return None
        pairs.append((name.strip(BLANK), values[0]))
    return pairs


def read_name(written: str) -> tuple[str, bool]:
    """What a name says, and whether it is good."""
    try:
        return msgspec.json.decode(written, type=str), True
    except (msgspec.DecodeError, UnicodeError):
        return re.sub(r"\\(u[0-9A-Fa-f]{4})?", "", written[1:-1]), False


def decoded_whole(text: str) -> tuple[dict[str, dict[str, str]], list[str]] | None:
    """The pointers and the names of what was dropped, in the plainest way; None where the document is no object."""
    entries = listed(text.removeprefix("\ufeff"))
    if entries is None:
        return None
    pointers: dict[str, dict[str, str]] = {}
    dropped: list[str] = []
    names = [read_name(name) for name, _ in entries]
    for (name, good), (_, raw) in zip(names, entries, strict=True):
        component = listed(raw) if good else None
        if component is None:
            dropped.append(name)
            continue
        pointers[name] = {}
        environments = [read_name(environment) for environment, _ in component]
        for (environment, legible), (_, written) in zip(environments, component, strict=True):
            try:
                version = canonical(msgspec.json.decode(written, type=str))
            except (msgspec.DecodeError, UnicodeError, InvalidVersion):
                version = ""
            if legible and version and environments.count((environment, True)) == 1:
                pointers[name][environment] = version
            else:
                dropped.append(f"{name}.{environment}")
    twice = {name for name in names if names.count(name) > 1 and name[1]}
    dropped += [name for name, _ in twice]
    return {name: found for name, found in pointers.items() if (name, True) not in twice}, dropped


def said(decoded: Decoded[VersionMap]) -> tuple[dict[str, dict[str, str]], list[str]]:
    return {name: dict(found) for name, found in decoded.value.items()}, [found.entry for found in decoded.problems]


def same(one: tuple[dict[str, dict[str, str]], list[str]], other: tuple[dict[str, dict[str, str]], list[str]]) -> bool:
    return (one[0], set(one[1])) == (other[0], set(other[1]))


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
VERSIONS = [
    '"v1.0.0"',
    '"1.0.0"',
    '"2.0.0-rc.1+b"',
    '"newest"',
    "1.1",
    "null",
    '"v1.0"',
    '{"x": "},"}',
    '["},", 1]',
    "NaN",
    "-Infinity",
    '"\\ud83d"',
    '"v1.0.0\t"',
    "",
]
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
            decoded = decode_version_map(after, previous)
            assert same(said(decoded), expected)
            assert (decoded.value is previous) == (after == before)
        else:
            with pytest.raises(InvalidDocument):
                decode_version_map(after, previous)


def in_parts(text: str, cuts: list[float], previous: VersionMap | None = None) -> VersionMap:
    """The map of a text that comes in parts, cut at these places of its bytes."""
    data = text.encode()
    places = [0, *sorted(int(where * len(data)) for where in cuts), len(data)]
    reader = MapReader(previous)
    for start, stop in itertools.pairwise(places):
        finished(reader.take(data[start:stop]))
    return finished(reader.end())


@given(documents, st.lists(st.floats(0, 1), max_size=8), st.lists(damage, max_size=2))
@example(spread('"a": {"prod": "v1.0.0"}', '"b": {}'), [0.0, 0.5, 1.0, 1.0], [])
@example(" \n{}", [0.3, 0.6], [])
def test_a_map_in_parts_is_the_map(text: str, cuts: list[float], hurts: list[tuple[float, str]]) -> None:
    text = damaged(text, hurts)
    expected = decoded_whole(text)
    if expected is None:
        with pytest.raises(InvalidDocument):
            in_parts(text, cuts)
        return
    decoded = in_parts(text, cuts)
    assert same(said(Decoded(decoded, decoded.problems)), expected)
    assert finished(decoded.revision_steps()) == revision_of(text)
    # However it comes the next time, it is known again.
    assert decode_version_map(text, decoded).value is decoded
    assert in_parts(text, cuts[::2], decoded) is decoded


def test_it_is_said_at_the_first_part_that_a_document_is_no_object() -> None:
    reader = MapReader()
    finished(reader.take(b" \n"))
    with pytest.raises(InvalidDocument, match=r"begin with \{"):
        finished(reader.take(b"[" + b" " * 100_000))


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
    reader = MapReader()
    # A step has some 250 components.
    assert sum(1 for _ in reader.take(text)) > 15
    decoded = finished(reader.end())
    assert decoded.problems == ()
    assert dict(decoded.items()) == {name: {**found, "latest": "v2.0.0"} for name, found in pointers.items()}
    assert all(decoded[name]["latest"] == "v2.0.0" for name in list(pointers)[::97])
    assert "prompts/9/component-9" not in decoded
    assert decode_version_map(text.encode(), decoded).value is decoded


@pytest.mark.parametrize("moved", ["v1.2.4", "v10.20.30", "1.0.0"])
def test_a_moved_pointer_is_seen_in_the_map_after_it_and_not_in_the_one_before(moved: str) -> None:
    before = decode_version_map(large_map(3000)).value
    names = list(before)
    after = decode_version_map(large_map(3000, moved), before).value
    (name,) = (name for name in names if after[name] != before[name])
    assert (before[name]["prod"], after[name]["prod"]) == ("v1.2.3", canonical(moved))
    assert list(after) == names
    # Cheaper than anew: pieces without a change are taken over.
    assert decode_version_map(large_map(3000), after).value == before


def test_a_large_map_takes_a_fraction_of_its_text() -> None:
    text = large_map(10_000).encode()
    decode_version_map("{}")
    moved = large_map(10_000, "v3.3.33").encode()
    parts = [text[start : start + 50_000] for start in range(0, len(text), 50_000)]
    tracemalloc.start()
    try:
        reader = MapReader()
        for part in parts:
            finished(reader.take(part))
        held = finished(reader.end())
        del reader
        taken, peak = tracemalloc.get_traced_memory()
        after = decode_version_map(moved, held).value
        both, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held["prompts/0/component-0"] == after["prompts/0/component-0"]
    assert taken < 0.25 * len(text)
    # Besides there is no more than a part and some, and what zlib works with (270 KB).
    assert peak < taken + 270_000 + 3 * 50_000
    # What is the same is there once.
    assert both < 1.2 * taken


def test_where_a_large_map_is_broken() -> None:
    text = large_map(1000)
    at = text.index('{"prod": "v1.2.3", "prod-canary"', len(text) // 2)
    with pytest.raises(InvalidDocument, match="counted from byte") as caught:
        decode_version_map(text[:at] + '"' + text[at:])
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


@pytest.mark.parametrize(
    ("bad", "entry"),
    [
        ('"a": NaN', "a"),
        ('"a": {"prod": Infinity, "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": "\\ud83d", "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": "v1.0.0\x01", "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": "\\v1.0.0", "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": \'v1.0.0\', "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": v1.0.0, "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": undefined, "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": 01, "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": , "dev": "v1.0.0"}', "a.prod"),
        ('"a": {"\\ud83d": "v1.0.0", "dev": "v1.0.0"}', "a."),
        ('"a": {"prod": "v1.0.0", "dev": "v1.0.0", "prod": "v1.1.0"}', "a.prod"),
        ('"a": {"prod": "v1.0.0", "dev": "v1.0.0", "prod": "v1.0.0"}', "a.prod"),
        ('"a": {"prod": "v1.0.0", "dev": "v1.0.0", "pro\\u0064": "v1.1.0"}', "a.prod"),
        ('"a": {"prod": "v1.0.0" "dev": "v1.0.0"}', "a"),
        ('"a": {"prod": "v1.0.0",}', "a"),
        ('"a": oops{}', "a"),
        ('"a": {}, "a": {"prod": "v1.0.0"}', "a"),
        ('"a": {}, "\\u0061": {}', "a"),
        ('"a": 7, "a": {"prod": "v1.0.0"}', "a"),
        ('"\\ud83d": {"prod": "v1.0.0"}', ""),
        ('"\\ud83d\\ud83d": {"prod": "v1.0.0"}, "\\udc00": {}', ""),
        ('"a\\-b": {"prod": "v1.0.0"}', "a-b"),
    ],
)
@pytest.mark.parametrize("wide", [False, True])
def test_one_bad_entry_among_thousands_is_dropped_by_name(bad: str, entry: str, wide: bool) -> None:
    good = large_map(3000)
    at = good.index('}, "', len(good) // 2) + 3
    # Wide: each member is in a piece of its own, or all but the second of two are.
    member = bad.replace(', "a"', f',{WIDE * 2}"a"').replace(', "\\u', f',{WIDE * 2}"\\u') if wide else bad
    decoded = decode_version_map(f"\ufeff{good[:at]}{member}, {good[at:]}")
    assert entry in {problem.entry for problem in decoded.problems}
    assert {problem.entry.partition(".")[0] for problem in decoded.problems} <= {entry.partition(".")[0]}
    found = dict(decoded.value.items())
    survived = found.pop("a", None)
    assert survived == ({"dev": "v1.0.0"} if '"dev"' in bad and entry != "a" else None)
    assert found == dict(decode_version_map(good).value.items())
    assert decoded.value.get("a") == survived
    assert set(decoded.value) == found.keys() | ({"a"} if survived is not None else set())


def test_a_component_twice_far_apart_is_dropped_each_time() -> None:
    good = json.loads(large_map(3000))
    names = list(good)
    text = json.dumps(good)[:-1] + f', "{names[5]}": {{"prod": "v9.9.9"}}, "{names[-1]}": {{}}}}'
    decoded = decode_version_map(text)
    assert {problem.entry for problem in decoded.problems} == {names[5], names[-1]}
    assert "keep one of them" in decoded.problems[0].detail
    for name in (names[5], names[-1]):
        assert name not in decoded.value
    assert len(decoded.value) == 2998
    assert set(decoded.value) == set(names) - {names[5], names[-1]}
    # One of them taken away, the other one counts.
    mended = decode_version_map(json.dumps(good), decoded.value)
    assert (mended.problems, len(mended.value)) == ((), 3000)


def test_a_byte_order_mark_is_no_part_of_the_map_but_of_its_revision() -> None:
    text = '\ufeff {"a": {"prod": "v1.0.0"}}'
    assert decode_version_map(text).value == {"a": {"prod": "v1.0.0"}}
    assert finished(decode_version_map(text).value.revision_steps()) == revision_of(text) != revision_of(text[1:])
    reader = MapReader()
    for byte in text.encode():
        finished(reader.take(bytes([byte])))
    assert finished(reader.end()) == {"a": {"prod": "v1.0.0"}}
    for broken in ("\ufeff", "\ufeff\ufeff{}", " \ufeff{}", "\ufffe{}", '{"a": {}}\ufeff'):
        with pytest.raises(InvalidDocument):
            decode_version_map(broken)


def test_a_text_that_is_no_unicode_spoils_the_entry_it_stands_in() -> None:
    text = '{"a": {"prod": "v1.0.0\ud83d", "dev": "v1.0.0"}, "\ud83d": {}, "b": {}}'
    decoded = decode_version_map(text)
    assert decoded.value == {"a": {"dev": "v1.0.0"}, "b": {}}
    assert decode_version_map(text.encode(errors="surrogatepass")).problems == decoded.problems
    for problem in decoded.problems:
        assert str(problem).encode()
    assert finished(decoded.value.revision_steps()) == revision_of(text)


def test_of_very_many_bad_entries_the_first_are_named_and_all_are_counted() -> None:
    decoded = decode_version_map(json.dumps({f"n{number:04}": number for number in range(3000)}))
    assert dict(decoded.value) == {}
    assert len(decoded.problems) == 1001
    assert decoded.problems[0].entry == "n0000"
    assert str(decoded.problems[-1]) == "component-versions: 2000 more entries are as bad"
