"""What an isolate keeps of how references are read: never an answer, never another text's, never much."""

from __future__ import annotations

import itertools
import json
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidReference, NotFound
from resolver.reference import parse_reference
from resolver.rollout import NOBODY, RolloutTable, parse_percentage
from resolver.snapshot import Group, Resolver, Snapshot
from resolver.snapshot import Request as CoreRequest
from tests.worker.fakes import Behind, FakeClock, FakeStore, run
from worker.edge import MOST_TEXTS, Edge, Platform
from worker.http import Request, handle
from worker.settings import read_settings

POINTERS = {name: {"prod": "v1.0.0", "staging": "v2.0.0", "latest": "v2.0.0"} for name in ("a", "b", "a/b", "v1")}
#: Texts that are near each other, so that a key which is too coarse would take one for the other.
PARTS = st.lists(
    st.sampled_from(["a", "b", "v1", "/", "@", "prod", "staging", "v1.0.0", "1.0.0", "prompt://", "A", " "])
)
TEXTS = PARTS.map("".join) | st.text(max_size=8)


def isolate() -> tuple[Edge, FakeStore]:
    store = FakeStore({"rollout-percentage": "0"})
    store.publish(POINTERS, 1)
    settings = read_settings({"ALLOW_ANONYMOUS": "true", "FRESH_FOR": "0.000001"})
    return Edge(settings, FakeClock().clock(), lambda: "drawn"), store


def asked(edge: Edge, store: FakeStore, text: str) -> tuple[int, Any]:
    body = json.dumps({"references": [text], "key": "k"}).encode()
    response = run(handle(edge, Request("POST", "/resolve", body=body), Platform(store, Behind())))
    return response.status, json.loads(response.body)


@given(st.lists(TEXTS, min_size=1, max_size=12))
def test_what_is_kept_is_what_would_be_read(texts: list[str]) -> None:
    edge, store = isolate()
    first = [asked(edge, store, text) for text in texts]
    for text, (status, answer) in zip(texts, first, strict=True):
        try:
            reference = parse_reference(text)
        except InvalidReference as error:
            assert (status, answer["detail"]) == (error.status, error.detail)
            continue
        if status == 200:
            (found,) = answer["references"]
            assert (found["reference"], found["component"]) == (str(reference), reference.name)
    # In another order, by an isolate that knows them all.
    assert [asked(edge, store, text) for text in reversed(texts)] == first[::-1]


def test_a_pointer_that_moves_is_not_kept() -> None:
    edge, store = isolate()
    assert asked(edge, store, "a")[1]["references"][0]["version"] == "v1.0.0"
    store.publish({"a": {"prod": "v3.0.0"}}, 2)
    other, _ = isolate()
    assert asked(other, store, "a")[1]["references"][0]["version"] == "v3.0.0"


def test_more_texts_than_are_kept() -> None:
    edge, store = isolate()
    for number in range(1, MOST_TEXTS + 10):
        assert asked(edge, store, f"a@v1.0.{number}")[0] == 404
    assert asked(edge, store, "a@v1.0.0")[1]["references"][0]["version"] == "v1.0.0"


def test_a_long_text_is_read_as_well() -> None:
    edge, store = isolate()
    long = "a@>=1.0.0" + " <2.0.0" * 60
    assert len(long) > 256
    assert asked(edge, store, long) == asked(edge, store, long)
    assert asked(edge, store, "a" * 300)[0] == 400


# What a snapshot remembers of its pointers

#: Two that say the same, one with members at other environments, and one that has the name of a component.
GROUPS = [
    Group(name, tuple(map(parse_reference, members)))
    for name, members in (("g", ["a", "b"]), ("g", ["a", "b"]), ("g", ["a@staging", "b"]), ("a", ["b@prod-eu", "nope"]))
]
Place: TypeAlias = tuple[str, str | None, str | None, Group | None, str, str | None, bool]
_PLACES = st.tuples(
    st.sampled_from(["a", "b", "a-canary"]),  # component
    st.sampled_from(
        [None, "prod", "prod-eu", "staging", "prod-canary", "latest", "stable", "^1.0.0", "1.x"]
    ),  # selector
    st.sampled_from([None, "eu", "canary", "eu-canary"]),  # region
    st.sampled_from([None, *GROUPS]),  # group
    st.sampled_from(["prod", "staging"]),  # the request's environment
    st.sampled_from([None, "u1", "u2", "\ud800", "x" * 40]),  # key
    st.booleans(),  # canary
)
_VERSIONS = st.sampled_from(["v1.0.0", "v1.1.0", "v2.0.0"])
_POINTERS = st.dictionaries(
    st.sampled_from(["a", "b", "a-canary"]),
    st.dictionaries(
        st.sampled_from(["prod", "prod-eu", "prod-canary", "prod-eu-canary", "staging", "prod-eu-canary-canary"]),
        _VERSIONS,
    ),
)
_TABLES = st.none() | st.dictionaries(
    st.sampled_from(["*", "a", "b", "a@prod", "a@prod-eu"]),
    st.sampled_from([NOBODY, *map(parse_percentage, ("50", "100"))]),
).map(RolloutTable)


def _chosen(resolver: Resolver, place: Place) -> object:
    name, selector, region, group, environment, key, canary = place
    reference = parse_reference(name if selector is None else f"{name}@{selector}")
    try:
        request = CoreRequest(environment=environment, region=region, key=key)
        return resolver.choose(reference, request, group, canary=canary)
    except NotFound as error:
        return error.detail


@given(_POINTERS, _TABLES, st.lists(_PLACES, min_size=1, max_size=12))
def test_what_a_resolver_remembers_is_what_it_would_find_anew(
    pointers: dict[str, dict[str, str]], table: RolloutTable | None, places: list[Place]
) -> None:
    snapshot = Snapshot(pointers, table, {"a": ("v1.0.0", "v1.1.0-rc.1")})
    used = Resolver(snapshot)
    for place in [*places, *places]:
        assert _chosen(used, place) == _chosen(Resolver(snapshot), place)


@pytest.mark.parametrize("order", list(itertools.permutations(range(5), 2)))
def test_what_is_remembered_of_a_region_or_a_group_is_of_it_alone(order: tuple[int, ...]) -> None:
    pair = {"prod": "v1.0.0", "prod-canary": "v2.0.0"}
    table = RolloutTable({"a": parse_percentage("100")})
    resolver = Resolver(Snapshot({"a": {**pair, "prod-eu": "v1.1.0", "prod-us": "v1.2.0"}, "b": pair}, table))
    # Alone it runs its canary, the regions have none, and the group's percentage is that of `b`.
    alone = Group("h", (parse_reference("a"),))
    asked = [
        (None, None, "v2.0.0"),
        ("eu", None, "v1.1.0"),
        ("us", None, "v1.2.0"),
        (None, GROUPS[0], "v1.0.0"),
        (None, alone, "v2.0.0"),
    ]
    for region, group, version in (asked[number] for number in order):
        request = CoreRequest(region=region, key="u1")
        assert resolver.choose(parse_reference("a"), request, group).version == version


def test_more_pointers_than_are_remembered_are_answered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolver.snapshot.MOST_REMEMBERED", 2)
    resolver = Resolver(Snapshot({name: {"prod": "v1.0.0"} for name in "abcd"}))
    for name in "abcdabcd":
        assert resolver.choose(parse_reference(name), CoreRequest()).version == "v1.0.0"
