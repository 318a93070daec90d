"""What was live at an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.documents import Move, Release, RolloutChange
from resolver.errors import InvalidInstant
from resolver.history import releases_at, rollout_at, snapshot_at, state_at
from resolver.instant import format_instant, parse_instant
from resolver.rollout import RolloutTable

MOVES = [
    Move(parse_instant(at), environment, version, generation=generation)
    for generation, (at, environment, version) in enumerate(
        [
            ("2024-11-01T09:15:00Z", "prod", "v0.9.0"),
            ("2024-11-08T10:30:00Z", "prod", "v1.0.0"),
            ("2024-11-12T14:45:00Z", "prod", "v1.1.0"),
            ("2024-11-12T14:45:00Z", "prod-canary", "v1.2.0"),
            ("2024-11-12T14:49:00Z", "prod", "v1.0.0"),
            ("2024-11-12T14:49:00Z", "prod-canary", None),
        ]
    )
]


@pytest.mark.parametrize(
    ("at", "state"),
    [
        ("2024-11-01T09:14:59.999999Z", {}),
        ("2024-11-01T09:15:00Z", {"prod": "v0.9.0"}),
        ("2024-11-08T10:30:00Z", {"prod": "v1.0.0"}),
        ("2024-11-12T14:47:00Z", {"prod": "v1.1.0", "prod-canary": "v1.2.0"}),
        ("2024-11-12T15:47:00+01:00", {"prod": "v1.1.0", "prod-canary": "v1.2.0"}),
        ("2024-11-12T09:47:00-05:00", {"prod": "v1.1.0", "prod-canary": "v1.2.0"}),
        ("2024-11-12T14:49:00Z", {"prod": "v1.0.0"}),
        ("2030-01-01T00:00:00Z", {"prod": "v1.0.0"}),
    ],
)
def test_the_state_at_each_instant(at: str, state: dict[str, str]) -> None:
    assert state_at(MOVES, parse_instant(at)) == state


@given(st.datetimes(min_value=datetime(2024, 10, 30), max_value=datetime(2024, 11, 14), timezones=st.just(UTC)))
def test_a_state_only_depends_on_the_moves_before_it(instant: datetime) -> None:
    past = [move for move in MOVES if move.at <= instant]
    assert state_at(MOVES, instant) == state_at(past, instant) == state_at(past, instant + timedelta(days=9999))


def test_a_move_counts_from_when_it_was_published() -> None:
    late = Move(
        parse_instant("2024-11-12T14:45:00Z"), "prod", "v1.0.0", published_at=parse_instant("2024-11-12T14:46:00Z")
    )
    assert state_at([late], parse_instant("2024-11-12T14:45:30Z")) == {}
    assert state_at([late], parse_instant("2024-11-12T14:46:00Z")) == {"prod": "v1.0.0"}


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("2024-11-12T14:47:00", "`2024-11-12T14:47:00Z`"),
        ("2024-11-12 14:47", "`2024-11-12T14:47Z`"),
        ("2024-11-12", "`2024-11-12T00:00:00Z`"),
    ],
)
def test_an_instant_without_offset_is_refused_with_the_remedy(text: str, instead: str) -> None:
    with pytest.raises(InvalidInstant, match="has no offset") as caught:
        parse_instant(text)
    assert instead in caught.value.detail
    parse_instant(instead.strip("`"))


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z", "2024-11-12T14:47:60Z", "2024-11-12T25:00:00Z",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1731422820",
        "20241112T144700Z",
        "2024-11-12T14:47:00Z ", "2024-11-12T14:47:00+1", "2024-11-12T14:47:00+99:00", "2024-11-12T14:47:00+01:75",
        "2024-11-12T24:00:00Z", "2024-11-12T14:47:00.0123456789Z", "２０２４-11-12", "２024-11-12T14:47:00Z",
    ],
)  # fmt: skip
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(InvalidInstant):
        parse_instant(text)


def test_one_moment_has_many_spellings() -> None:
    spellings = [
        "2024-11-12T14:47:00Z", "2024-11-12t14:47:00z", "2024-11-12 14:47Z", "2024-11-12T15:47:00+01:00",
        "2024-11-12T20:17:00.000+0530", "2024-11-12T14:47:00-00:00", "2024-11-11T14:48:00-23:59",
    ]  # fmt: skip
    assert {format_instant(parse_instant(text)) for text in spellings} == {"2024-11-12T14:47:00Z"}


def test_a_removed_pointer_that_is_set_again_is_live_again() -> None:
    again = [*MOVES, Move(parse_instant("2024-11-13T00:00:00Z"), "prod-canary", "v1.3.0")]
    assert "prod-canary" not in state_at(again, parse_instant("2024-11-12T23:59:59Z"))
    assert state_at(again, parse_instant("2024-11-13T00:00:00Z")) == {"prod": "v1.0.0", "prod-canary": "v1.3.0"}


@given(st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.timezones()))
def test_instants_round_trip(instant: datetime) -> None:
    # In UTC: a datetime of a local clock's twice-told hour equals none of another zone.
    assert parse_instant(format_instant(instant)) == instant.astimezone(UTC)


def test_percentages_and_releases_of_the_past() -> None:
    first, second = RolloutTable(), RolloutTable()
    changes = [
        RolloutChange(parse_instant("2024-11-01T00:00:00Z"), first),
        RolloutChange(parse_instant("2024-11-02T00:00:00Z"), second),
    ]
    assert rollout_at(changes, parse_instant("2024-10-31T00:00:00Z")) is None
    assert rollout_at(changes, parse_instant("2024-11-01T00:00:00Z")) is first
    assert rollout_at(changes, parse_instant("2024-11-03T00:00:00Z")) is second
    releases = [Release("v1.0.0"), Release("v2.0.0", parse_instant("2024-11-02T00:00:00Z"))]
    assert releases_at(releases, parse_instant("2024-11-01T00:00:00Z")) == ("v1.0.0",)
    assert releases_at(releases, None) == ("v1.0.0", "v2.0.0")


@pytest.mark.parametrize(
    ("at", "there"),
    [("00:59", True), ("01:00", False), ("01:59", False), ("02:00", True), ("03:30", False), (None, False)],
)
def test_what_was_withdrawn_at_an_instant_is_not_chosen_then(at: str | None, there: bool) -> None:
    turns = tuple(parse_instant(f"2024-11-02T0{hour}:00:00Z") for hour in (1, 2, 3))
    release = Release("v2.0.0", parse_instant("2024-11-01T00:00:00Z"), turns)
    instant = parse_instant(f"2024-11-02T{at}:00Z") if at else None
    assert (releases_at([release], instant) == ("v2.0.0",)) == there


def test_a_snapshot_of_the_past() -> None:
    snapshot = snapshot_at(
        parse_instant("2024-11-12T15:47:00+01:00"), {"a": MOVES, "b": []}, [], {"a": [Release("v1.0.0")]}
    )
    assert snapshot.pointers == {"a": {"prod": "v1.1.0", "prod-canary": "v1.2.0"}}
    assert snapshot.rollout is None
    assert snapshot.indexes == {"a": ("v1.0.0",)}
    assert snapshot.revision == "at:2024-11-12T14:47:00Z"
