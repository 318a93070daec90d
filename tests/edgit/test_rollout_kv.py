"""The canary's percentages in KV: one entry is changed, all others are kept, and each change is on record."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgit.commands.shapes import of_percentage_change, of_percentages
from edgit.errors import Refused
from edgit.kv.comparison import PointerDifference
from edgit.kv.local import LocalKv
from edgit.kv.rollout import PercentageChange, after_publish, get_percentages, set_percentage, with_entry
from edgit.kv.store import Kv, KvFailed, KvValue, KvWrite
from resolver.documents import ROLLOUT, ROLLOUT_HISTORY, VERSION_MAP, decode_rollout, decode_rollout_history
from resolver.history import rollout_at
from resolver.rollout import Percentage, parse_percentage
from tests.edgit.memory import MemoryKv

T1 = datetime(2025, 1, 1, tzinfo=UTC)
T2 = datetime(2025, 1, 2, tzinfo=UTC)


@pytest.fixture(params=["memory", "local"])
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Kv:
    return MemoryKv() if request.param == "memory" else LocalKv(tmp_path / "kv.sqlite3")


def changed(kv: Kv, entry: str, percentage: str | None, at: datetime = T1, **options: bool) -> PercentageChange:
    number, _, version = (percentage or "").partition(" for ")
    value = parse_percentage(number) if number else None
    value = value.of(version) if value and version else value
    return set_percentage(kv, entry, value, "on-call", now=lambda: at, sleep=lambda _: None, **options)


def text(kv: Kv, key: str = ROLLOUT) -> str | None:
    entry = kv.get_many([key])[key]
    return entry and entry.value


@pytest.mark.parametrize(
    ("before", "entry", "percentage", "after"),
    [
        (None, "*", "10", "10"),
        (None, "my-prompt", "12.5%", '{"my-prompt":12.5}'),
        ("10", "*", "20", "20"),
        ("10%", "my-prompt", "25", '{"*":10,"my-prompt":25}'),
        ('"10 %"', "*", "0", "0"),
        (" 12.50 ", "my-prompt@prod-eu", "0", '{"*":12.5,"my-prompt@prod-eu":0}'),
        ('{"*": 10}', "*", "20", '{"*":20}'),
        ("{}", "*", "20", '{"*":20}'),
        # As it was written, to the last digit, bad entries too.
        ('{"a": 0.10, "b": "5 %", "c": 1e1}', "d", "1", '{"a":0.10,"b":"5 %","c":1e1,"d":1}'),
        ('{"a": "ten", "b": null, "c": {"d": [ 1 ]}}', "e", "1", '{"a":"ten","b":null,"c":{"d": [ 1 ]},"e":1}'),
        ('{"a": "ten"}', "a", "5", '{"a":5}'),
        (None, "a", "99.99999999999999999", '{"a":"99.99999999999999999"}'),
        (None, "a", "0.1", '{"a":0.1}'),
        ('{"a": 1, "b": 2}', "a", None, '{"b":2}'),
        ('{"a": "ten", "b": 2}', "a", None, '{"b":2}'),
        ("10", "*", None, "{}"),
        (None, "a", "10 for v1.1.0", '{"a":{"percent":10,"version":"v1.1.0"}}'),
        ("50", "a", "0.5 for v1.1.0", '{"*":50,"a":{"percent":0.5,"version":"v1.1.0"}}'),
        (
            '{"a": {"percent": "9 %", "version": "1.0.0"}, "b": { "percent": 1.0, "version": "v1.0.0" }}',
            "a",
            "5",
            '{"a":5,"b":{ "percent": 1.0, "version": "v1.0.0" }}',
        ),
        ("50", "*", "10 for v1.1.0", '{"*":{"percent":10,"version":"v1.1.0"}}'),
    ],
)
def test_one_entry_is_changed(kv: Kv, before: str | None, entry: str, percentage: str | None, after: str) -> None:
    if before is not None:
        kv.put_many([KvWrite(ROLLOUT, before)])
    changed(kv, entry, percentage)
    assert text(kv) == after
    history = text(kv, ROLLOUT_HISTORY)
    assert history == f'[{{"at":"2025-01-01T00:00:00Z","value":{after},"actor":"on-call"}}]'


def test_the_entry_in_force_is_shown(kv: Kv) -> None:
    table = '{"*": 10, "my-prompt": {"percent": 25, "version": "v1.1.0"}, "my-prompt@prod-eu": 0, "odd": "ten"}'
    kv.put_many([KvWrite(ROLLOUT, table)])
    found = get_percentages(kv)
    asked = [("my-prompt", "prod"), ("my-prompt", "prod-eu"), ("a", "prod")]
    shown = {where: found.in_force(*where, "v1.1.0") for where in asked}
    assert {where: (name, str(percentage)) for where, (name, percentage) in shown.items()} == {
        ("my-prompt", "prod"): ("my-prompt", "25"),
        ("my-prompt", "prod-eu"): ("my-prompt@prod-eu", "0"),
        ("a", "prod"): ("*", "10"),
    }
    for (component, environment), (_, percentage) in shown.items():
        assert found.table.percentage(component, environment, canary="v1.1.0") == percentage
    name, percentage = found.in_force("my-prompt", "prod", "v1.2.0")
    assert (name, str(percentage)) == ("my-prompt", "0")
    assert of_percentages(found)["versions"] == {"my-prompt": "v1.1.0"}
    assert of_percentages(found)["entries"] == {"*": "10", "my-prompt": "25", "my-prompt@prod-eu": "0", "odd": "0"}
    assert "`ten` is not a percentage" in found.problems[0]
    kv.delete_many([ROLLOUT])
    assert get_percentages(kv).in_force("a", "prod", "v1.1.0")[0] is None


@pytest.mark.parametrize(
    ("before", "entry", "percentage", "after"),
    [
        ('\ufeff{"a": 1}', "a", "5", '{"a":5}'),
        ('{"a": NaN, "b": 2}', "b", "3", '{"a":NaN,"b":3}'),
        # An entry with a type may be that of another component of the name; the one that is the key decides.
        ('{"prompts/a": 1, "b": 2}', "a", "5", '{"prompts/a":1,"b":2,"a":5}'),
        ('{"prompt://a": 1, "a": 2}', "prompts/a", "5", '{"a":2,"prompts/a":5}'),
        ('{"a": 1, "b": 2, "a": 3}', "a", "5", '{"a":5,"b":2}'),
        ('{"*": 1}', "*@prod-eu", "0", '{"*":1,"*@prod-eu":0}'),
    ],
)
def test_a_table_by_hand_is_changed_as_well(before: str, entry: str, percentage: str, after: str) -> None:
    changed = with_entry(before, entry, parse_percentage(percentage))
    assert changed == after
    found = decode_rollout(changed).value
    assert str(found.entries[entry]) == percentage


def test_a_table_with_a_name_that_is_no_text_is_not_written_over(kv: Kv) -> None:
    kv.put_many([KvWrite(ROLLOUT, '{"\\ud83d": 1, "b": 2}')])
    with pytest.raises(Refused, match="no text that JSON can hold"):
        changed(kv, "b", "3")
    changed(kv, "b", "3", replace=True)
    assert text(kv) == '{"b":3}'


def test_what_is_so_already_is_not_written(kv: Kv) -> None:
    kv.put_many([KvWrite(ROLLOUT, '{"a": 10.0}')])
    change = changed(kv, "a", "10")
    assert change.nothing
    assert (text(kv), text(kv, ROLLOUT_HISTORY)) == ('{"a": 10.0}', None)
    assert changed(kv, "a", "20 for v1.0.0").before == parse_percentage("10")
    assert changed(kv, "a", "20 for v1.0.0").nothing
    # The next canary's is another one.
    assert not changed(kv, "a", "20 for v1.1.0").nothing
    # An entry that cannot be read is read as 0, and is not so already.
    kv.put_many([KvWrite(ROLLOUT, '{"a": "ten"}')])
    assert not changed(kv, "a", "0").nothing
    assert text(kv) == '{"a":0}'


def test_a_dry_run_writes_nothing(kv: Kv) -> None:
    change = changed(kv, "a", "10", dry_run=True)
    assert of_percentage_change(change) == {
        "target": kv.name,
        "entry": "a",
        "before": None,
        "after": "10",
        "version": None,
        "dry_run": True,
        "notes": [],
    }
    assert kv.list_keys("") == {}


def test_an_entry_that_is_not_there_cannot_be_cleared(kv: Kv) -> None:
    kv.put_many([KvWrite(ROLLOUT, '{"a": 1, "*": 2}')])
    with pytest.raises(Refused, match=r"no percentage for `b`; it has some for \*, a"):
        changed(kv, "b", None)
    assert text(kv) == '{"a": 1, "*": 2}'


@pytest.mark.parametrize("bad", ["ten", "[10]", "null", '{"a": 1', "", "101"])
def test_a_table_that_cannot_be_read_is_not_written_over(kv: Kv, bad: str) -> None:
    kv.put_many([KvWrite(ROLLOUT, bad)])
    with pytest.raises(Refused, match="`rollout-percentage` in KV cannot be read") as failure:
        changed(kv, "a", "1")
    assert bad in failure.value.detail
    assert failure.value.hint is not None
    assert "--replace" in failure.value.hint
    assert (text(kv), text(kv, ROLLOUT_HISTORY)) == (bad, None)
    with pytest.raises(Refused):
        get_percentages(kv)
    changed(kv, "a", "1", replace=True)
    assert text(kv) == '{"a":1}'


def test_a_history_that_cannot_be_read_is_not_written_over(kv: Kv) -> None:
    kv.put_many([KvWrite(ROLLOUT, "10"), KvWrite(ROLLOUT_HISTORY, "oops")])
    with pytest.raises(Refused, match="`rollout-history` in KV cannot be read"):
        changed(kv, "a", "1")
    assert (text(kv), text(kv, ROLLOUT_HISTORY)) == ("10", "oops")
    changed(kv, "a", "1", replace=True)
    assert text(kv) == '{"*":10,"a":1}'


def test_history_keeps_what_it_has_and_never_goes_back(kv: Kv) -> None:
    kv.put_many([KvWrite(ROLLOUT_HISTORY, '[{"at": "2025-01-01T12:00:00Z", "value": "10 %", "more": 1}, {"odd": []}]')])
    changed(kv, "a", "1", T2)
    # The clock of whoever comes next is behind.
    changed(kv, "a", "2", T1)
    history = text(kv, ROLLOUT_HISTORY)
    assert history is not None
    assert json.loads(history) == [
        {"at": "2025-01-01T12:00:00Z", "value": "10 %", "more": 1},
        {"odd": []},
        {"at": "2025-01-02T00:00:00Z", "value": {"a": 1}, "actor": "on-call"},
        {"at": "2025-01-02T00:00:00Z", "value": {"a": 2}, "actor": "on-call"},
    ]
    changes = decode_rollout_history(history).value
    tables = [rollout_at(changes, at) for at in (T1, datetime(2025, 1, 1, 13, tzinfo=UTC), T2)]
    assert [table and str(table.percentage("a", "prod")) for table in tables] == [None, "10", "2"]


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        ("a", None),
        ("a@prod", None),
        ("*", None),
        ("b", "`b` has no canary"),
        ("a@debug", "`a` has no pointer `debug-canary`"),
        ("typo", "no component `typo`"),
        ("a for v1.1.0", None),
        ("a for v1.2.0", "prod-canary is at v1.1.0: the percentage has no effect until v1.2.0 is there"),
    ],
)
def test_a_percentage_without_an_effect_is_said(kv: Kv, entry: str, note: str | None) -> None:
    entry, at, version = entry.partition(" for ")
    kv.put_many([KvWrite(VERSION_MAP, '{"a": {"prod": "v1.0.0", "prod-canary": "v1.1.0"}, "b": {"prod": "v1.0.0"}}')])
    notes = changed(kv, entry, f"10{at}{version}").notes
    assert len(notes) == (0 if note is None else 1)
    assert note is None or note in notes[0]


def test_the_history_is_written_before_the_table() -> None:
    kv = MemoryKv({ROLLOUT: KvValue("10")})
    kv.left = 1
    with pytest.raises(KvFailed):
        changed(kv, "*", "20")
    assert (text(kv), kv.written) == ("10", [ROLLOUT_HISTORY])
    kv.left = None
    changed(kv, "*", "20")
    assert kv.written == [ROLLOUT_HISTORY, ROLLOUT_HISTORY, ROLLOUT]


class Meddling(MemoryKv):
    """Something happens right after the table was written."""

    def __init__(self, do: Callable[[MemoryKv], None]) -> None:
        super().__init__()
        self.do = do

    def get_many(self, keys: object) -> dict[str, KvValue | None]:
        if keys == [ROLLOUT]:
            self.do(self)
        return super().get_many(keys)  # type: ignore[arg-type]


def test_somebody_who_writes_at_the_same_time_is_told_of() -> None:
    kv = Meddling(lambda kv: kv.data.update({ROLLOUT: KvValue("99")}))
    with pytest.raises(Refused, match="somebody else has written `rollout-percentage`"):
        changed(kv, "a", "1")


NAMES = st.sampled_from(["*", "a", "b", "a@prod", "b@eu"])
VALUES = st.decimals(0, 100, places=20).map(lambda value: parse_percentage(format(value, "f")))


@given(st.lists(st.tuples(NAMES, st.none() | VALUES), max_size=8))
def test_the_text_says_what_was_set(steps: list[tuple[str, Percentage | None]]) -> None:
    table: dict[str, Percentage] = {}
    found: str | None = None
    for name, percentage in steps:
        if percentage is None:
            table.pop(name, None)
        else:
            table[name] = percentage
        found = with_entry(found, name, percentage)
        decoded = decode_rollout(found)
        assert decoded.problems == ()
        assert decoded.value.entries == table


#: What a publish changed, as component, pointer, before, after; and whether the percentage of `a` for v2 ends by it.
ENDS: list[tuple[str, str, str | None, str | None, str, bool]] = [
    ("a", "prod-canary", "v2.0.0", None, "a", True),
    ("a", "prod-canary", "v2.0.0", "v3.0.0", "a", True),
    ("a", "prod-canary", "v2.0.0", None, "a@prod", True),
    # Of another environment, component or version.
    ("a", "prod-canary", "v2.0.0", None, "a@prod-eu", False),
    ("b", "prod-canary", "v2.0.0", None, "a", False),
    ("a", "prod-canary", "v1.0.0", "v2.0.0", "a", False),
    # It was promoted before, and has been rolled back.
    ("a", "prod", "v2.0.0", "v1.0.0", "a", True),
    # That a newer version exists takes nothing away.
    ("a", "latest", "v2.0.0", "v3.0.0", "a", False),
]


@pytest.mark.parametrize(("component", "pointer", "before", "after", "entry", "ends"), ENDS)
def test_a_publish_ends_the_percentage_of_the_canary_that_it_takes_away(
    component: str, pointer: str, before: str | None, after: str | None, entry: str, ends: bool
) -> None:
    kv = MemoryKv()
    changed(kv, "*", "50")
    changed(kv, entry, "10 for v2.0.0")
    before_text = text(kv)
    difference = PointerDifference(component, pointer, before, after)
    pointers = {"a": {"prod": "v1.0.0"}, component: {pointer: after} if after else {}}
    said = after_publish(kv, [difference], pointers, now=lambda: T2)
    assert any("have ended with that canary" in each for each in said) is ends
    # To 0, and not away: the percentage of all must not step in.
    assert text(kv) == (f'{{"*":50,"{entry}":0}}' if ends else before_text)
    history = json.loads(text(kv, ROLLOUT_HISTORY) or "")
    assert [change["at"] for change in history[2:]] == (["2025-01-02T00:00:00Z"] if ends else [])


def test_a_canary_that_is_promoted_or_still_one_elsewhere_keeps_its_percentage() -> None:
    kv = MemoryKv()
    changed(kv, "a", "100 for v2.0.0")
    promoted = [PointerDifference("a", "prod-canary", "v2.0.0", None), PointerDifference("a", "prod", "v1", "v2.0.0")]
    assert after_publish(kv, promoted, {"a": {"prod": "v2.0.0"}}) == []
    gone = [PointerDifference("a", "prod-canary", "v2.0.0", None)]
    assert after_publish(kv, gone, {"a": {"prod": "v1.0.0", "prod-eu-canary": "v2.0.0"}}) == []
    assert text(kv) == '{"a":{"percent":100,"version":"v2.0.0"}}'


def test_what_begins_is_told_with_its_share() -> None:
    kv = MemoryKv()
    changed(kv, "a", "100 for v2.0.0")
    began = [PointerDifference(name, "prod-canary", None, "v3.0.0") for name in "abcdefg"]
    first, *_, last = after_publish(kv, began, {})
    assert first == "the canary v3.0.0 of a prod starts at 0 %; next: edgit canary set a 1"
    assert last == "2 more canaries begin: edgit canary get"
