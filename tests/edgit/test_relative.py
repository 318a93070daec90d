"""Instants that are told from now."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgit.commands.relative import read_ahead, read_relative
from resolver.errors import InvalidInstant
from tests.edgit.repo import copied
from tests.edgit.test_cli import two_components

NOW = datetime(2024, 11, 12, 14, 50, 30, 250_000, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
SECONDS = {"s": 1, "sec": 1, "m": 60, "mins": 60, "minutes": 60, "h": 3600, "hour": 3600, "d": 86400, "weeks": 604800}
zones = st.sampled_from([UTC, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")])
nows = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("30m", "2024-11-12T14:20:30+00:00"),
        ("2h ago", "2024-11-12T12:50:30+00:00"),
        ("2 hours ago", "2024-11-12T12:50:30+00:00"),
        ("3d", "2024-11-09T14:50:30+00:00"),
        ("90s", "2024-11-12T14:49:00+00:00"),
        # Berlin is an hour ahead.
        ("yesterday 14:47", "2024-11-11T13:47:00+00:00"),
        ("Today  09:00", "2024-11-12T08:00:00+00:00"),
        ("14:47", "2024-11-12T13:47:00+00:00"),
        ("14:47:12", "2024-11-12T13:47:12+00:00"),
    ],
)
def test_what_each_form_means(text: str, instant: str) -> None:
    found = read_relative(text, NOW, BERLIN)
    assert found is not None
    assert found.isoformat() == instant


@pytest.mark.parametrize(
    "text", ["2:47", "30", "m", "-30m", "30m later", "tomorrow 09:00", "24:00", "2024-11-12T14:47:00Z", ""]
)
def test_what_is_another_thing(text: str) -> None:
    assert read_relative(text, NOW, BERLIN) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("16:00", "lies in the future; yesterday's is `yesterday 16:00`"),
        ("today 16:00", "lies in the future; yesterday's is `yesterday 16:00`"),
        ("yesterday", "has no time of day; write `yesterday 14:47`"),
        ("999999w", "is before all dates"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInstant) as failure:
        read_relative(text, NOW, BERLIN)
    assert said in failure.value.detail


@pytest.mark.parametrize(
    ("day", "clock", "said"),
    [
        (
            "2024-10-27",
            "02:30",
            "is two moments: the clocks went back; write 2024-10-27T00:30:00Z or 2024-",
        ),
        ("2024-03-31", "02:30", "was none: the clocks went forward"),
    ],
)
def test_where_the_clocks_change_a_time_must_be_one_moment(day: str, clock: str, said: str) -> None:
    noon = datetime.combine(date.fromisoformat(day), time(12), tzinfo=BERLIN)
    with pytest.raises(InvalidInstant) as failure:
        read_relative(clock, noon, BERLIN)
    assert said in failure.value.detail


@given(nows, st.integers(0, 5000), st.sampled_from(sorted(SECONDS)), st.sampled_from(["", " ago"]))
def test_a_span_is_that_long_before_now(now: datetime, count: int, unit: str, ago: str) -> None:
    found = read_relative(f"{count}{unit}{ago}", now, BERLIN)
    assert found == now.replace(microsecond=0) - timedelta(seconds=count * SECONDS[unit])


@given(
    nows,
    st.times(),
    st.sampled_from([UTC, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")]),
    st.booleans(),
)
def test_a_clock_time_is_that_of_the_zone_on_that_day(
    now: datetime, clock: time, zone: ZoneInfo, yesterday: bool
) -> None:
    text = f"{'yesterday' if yesterday else 'today'} {clock:%H:%M:%S}"
    try:
        found = read_relative(text, now, zone)
    except InvalidInstant:
        # In the future, or where the clocks change.
        return
    assert found is not None
    assert found <= now
    there = found.astimezone(zone)
    assert there.time() == clock.replace(microsecond=0)
    assert there.date() == now.astimezone(zone).date() - timedelta(days=yesterday)


@pytest.mark.parametrize(("text", "hours"), [("3d", 72), ("in 2h", 2), ("90 minutes", 1.5)])
def test_what_is_to_come_is_told_from_now_too(text: str, hours: float) -> None:
    assert read_ahead(text, NOW) == NOW.astimezone(UTC).replace(microsecond=0) + timedelta(hours=hours)
    assert read_ahead("2h ago", NOW) is None


@given(st.text(max_size=30))
def test_any_text_is_an_instant_or_none_or_refused(text: str) -> None:
    try:
        found = read_relative(text, NOW, BERLIN)
    except InvalidInstant:
        return
    assert found is None or (found <= NOW and found.tzinfo is UTC)


def test_the_command_says_which_instant_was_meant(tmp_path: Path) -> None:
    made = copied(two_components, tmp_path)
    made.env["TZ"] = "Asia/Kolkata"
    done = made.process("history", "--date", "yesterday 14:47")
    out, err = done.communicate(timeout=60)
    assert (done.returncode, out) == (0, "my-prompt: v1.1.0\n")
    yesterday = datetime.now(ZoneInfo("Asia/Kolkata")).date() - timedelta(days=1)
    assert err.startswith(f"note: {yesterday}T09:17:00Z\n")
    assert "has no offset" in made.edgit("history", "--date", "2024-11-12 14:47", code=2).err
    said = made.edgit("history", "--date", "tuesday", code=2).err
    assert "it is written 2024-11-12T14:47:00Z, or as 30m, `2h ago`, 3d, 14:47, `yesterday 14:47`" in said
    # Every option that takes an instant takes these.
    assert made.edgit("diff", "--date", "2h ago").err.startswith("note: ")
    assert "note: 2" in made.edgit("restore", "--date", "1m", "--to", "debug").err
