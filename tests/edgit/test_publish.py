"""Publishing at its public face: what KV holds after it, what it refuses, and what is left when it is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgit.commands.shapes import of_kv_status, of_report
from edgit.errors import EdgitError, Refused
from edgit.kv.cloudflare import CloudflareKv
from edgit.kv.local import LocalKv
from edgit.kv.publish import PublishRefused, PublishReport, publish
from edgit.kv.retry import RetryPolicy
from edgit.kv.snapshot import snapshot
from edgit.kv.status import status
from edgit.kv.store import Kv, KvFailed, KvValue, KvWrite
from resolver.documents import VERSION_MAP, Move, decode_history, history_key
from resolver.history import state_at
from resolver.instant import format_instant
from tests.edgit.fake_cloudflare import ACCOUNT, NAMESPACE, TOKEN, FakeCloudflare, Fault
from tests.edgit.memory import Ledger, MemoryKv, Step, assert_right, everything, sample
from worker.bundle import read_snapshot

T1 = datetime(2025, 1, 1, tzinfo=UTC)
T2 = datetime(2025, 1, 2, tzinfo=UTC)
T3 = datetime(2025, 1, 3, tzinfo=UTC)


def published(ledger: Ledger, kv: Kv, at: datetime = T1, **options: Any) -> PublishReport:
    return publish(ledger, kv, now=lambda: at, sleep=lambda _: None, **options)


def pointers(kv: Kv) -> dict[str, dict[str, str]]:
    entry = kv.get_many([VERSION_MAP])[VERSION_MAP]
    assert entry is not None
    found: dict[str, dict[str, str]] = json.loads(entry.value)
    return found


def moves(kv: Kv, name: str = "my-prompt") -> tuple[Move, ...]:
    entry = kv.get_many([history_key(name)])[history_key(name)]
    assert entry is not None
    return decode_history(history_key(name), entry.value).value


@pytest.fixture
def cloudflare(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudflare]:
    with FakeCloudflare() as fake:
        monkeypatch.setenv("CLOUDFLARE_BASE_URL", fake.url)
        yield fake


def remote() -> CloudflareKv:
    return CloudflareKv(ACCOUNT, NAMESPACE, TOKEN, patience=RetryPolicy(sleep=lambda _: None), timeout=0.5)


@pytest.fixture(params=["memory", "local", "cloudflare"])
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Kv:
    if request.param == "memory":
        return MemoryKv()
    if request.param == "local":
        return LocalKv(tmp_path / "kv.sqlite3")
    request.getfixturevalue("cloudflare")
    return remote()


def test_the_documents_are_those_of_the_contract(kv: Kv) -> None:
    ledger = sample()
    report = published(ledger, kv)
    held = everything(kv)
    assert held[VERSION_MAP] == KvValue(
        '{"my-prompt":{"latest":"v1.1.0","prod":"v1.0.0","stable":"v1.1.0"},"other":{"latest":"v0.1.0-rc.1"}}',
        {"generation": 8, "revision": ledger.revision},
    )
    text = "my-prompt v1.1.0\n"
    assert held["components/my-prompt/v1.1.0"] == KvValue(
        text, {"type": "prompt", "sha256": sha256(text.encode()).hexdigest(), "commit": f"{4:040x}"}
    )
    assert held["index/my-prompt"] == KvValue(
        '[{"version":"v1.0.0","at":"2024-11-01T10:00:00Z"},{"version":"v1.1.0","at":"2024-11-01T13:00:00Z"}]'
    )
    history = held["history/my-prompt"]
    assert history is not None
    assert json.loads(history.value)[1] == {
        "at": "2024-11-01T14:00:00Z",
        "environment": "prod",
        "version": "v1.1.0",
        "actor": "ci",
        "generation": 5,
        "published_at": "2025-01-01T00:00:00Z",
    }
    assert json.loads(history.value)[-1]["version"] is None
    assert set(held) == {
        VERSION_MAP,
        *(f"components/{version}" for version in ("my-prompt/v1.0.0", "my-prompt/v1.1.0", "other/v0.1.0-rc.1")),
        *("index/my-prompt", "index/other", "history/my-prompt"),
    }
    assert assert_right(kv) == 8
    assert of_report(report) | {"seconds": 0} == {
        "target": kv.name,
        "dry_run": False,
        "generation_before": None,
        "generation": 8,
        "revision": ledger.revision,
        "written": {"contents": 3, "indexes": 2, "histories": 1, "map": 1},
        "changed": [
            {"component": "my-prompt", "environment": "latest", "from": None, "to": "v1.1.0"},
            {"component": "my-prompt", "environment": "prod", "from": None, "to": "v1.0.0"},
            {"component": "my-prompt", "environment": "stable", "from": None, "to": "v1.1.0"},
            {"component": "other", "environment": "latest", "from": None, "to": "v0.1.0-rc.1"},
        ],
        "warnings": [],
        "held_back": [],
        "seconds": 0,
    }


def test_nothing_to_do_is_one_read_and_no_look_at_the_whole_ledger(kv: Kv) -> None:
    ledger = sample()
    published(ledger, kv)
    again = sample()
    before = everything(kv)
    report = published(again, kv, T2)
    assert report.nothing
    assert again.asked == []
    assert everything(kv) == before


def test_what_each_publish_costs(cloudflare: FakeCloudflare) -> None:
    """The table in docs/publish.md."""
    kv = remote()
    ledger = sample()

    def cost(ledger: Ledger, **options: Any) -> str:
        cloudflare.operations.clear()
        published(ledger, kv, **options)
        return " ".join(f"{kind}:{count}" for kind, count in cloudflare.operations)

    assert cost(ledger) == "get:1 get:6 write:3 write:3 get:1 write:1 get:1"
    assert cost(ledger) == "get:1"
    rolled_back = ledger.move("my-prompt", "prod", "v1.1.0")
    # One history, and the content that the pointer names is seen to be there.
    assert cost(rolled_back) == "get:1 get:2 write:1 get:1 write:1 get:1"
    tagged = rolled_back.tag("my-prompt", "v1.2.0")
    assert cost(tagged) == "get:1 get:2 write:1 write:1 get:1 write:1 get:1"
    both = tagged.tag("my-prompt", "v1.3.0").move("my-prompt", "prod", "v1.3.0")
    assert cost(both, dry_run=True) == "get:1 get:3"
    assert cost(both) == "get:1 get:3 write:1 write:2 get:1 write:1 get:1"
    assert cost(both, full=True) == "get:1 get:8"


def test_many_versions_are_listed_and_not_asked_for_one_by_one(cloudflare: FakeCloudflare) -> None:
    ledger = Ledger()
    for number in range(250):
        ledger = ledger.tag(f"c-{number % 5}", f"v1.{number}.0")
    kv = remote()
    published(ledger, kv)
    assert [kind for kind, _ in cloudflare.operations].count("list") == 1
    assert assert_right(kv) == 250
    del cloudflare.data["components/c-0/v1.245.0"]
    assert published(ledger, kv, full=True).written == {"contents": 1, "indexes": 0, "histories": 0, "map": 0}
    assert assert_right(kv) == 250


def test_only_what_has_changed_is_written(kv: Kv) -> None:
    published(sample(), kv)
    before = everything(kv)
    ledger = sample().tag("other", "v0.1.0").move("other", "prod", "v0.1.0")
    report = published(ledger, kv, T2)
    assert report.written == {"contents": 1, "indexes": 1, "histories": 1, "map": 1}
    assert [str(change) for change in report.changed] == [
        "other latest: KV has v0.1.0-rc.1, git has v0.1.0",
        "other prod: KV has none, git has v0.1.0",
        "other stable: KV has none, git has v0.1.0",
    ]
    after = everything(kv)
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed == {VERSION_MAP, "components/other/v0.1.0", "index/other", "history/other"}


def test_a_rollback_is_published_with_the_time_of_each_move(kv: Kv) -> None:
    ledger = sample()
    published(ledger.at(5), kv, T1)
    published(ledger, kv, T2)
    assert {move.generation: move.published_at for move in moves(kv)} == {2: T1, 5: T1, 6: T2, 7: T2, 8: T2}
    assert state_at(moves(kv), T2 - timedelta(seconds=1)) == {"prod": "v1.1.0"}
    assert state_at(moves(kv), T2) == {"prod": "v1.0.0"}


def test_a_clock_that_is_behind_does_not_turn_the_order_round(kv: Kv) -> None:
    ledger = sample()
    published(ledger.at(5), kv, T2)
    published(ledger, kv, T1)
    assert (
        state_at(moves(kv), T2 + timedelta(days=1)) == {"prod": "v1.0.0"} == {"prod": pointers(kv)["my-prompt"]["prod"]}
    )


def test_what_vanished_from_git_leaves_the_map_and_stays_in_history(kv: Kv) -> None:
    ledger = Ledger().tag("a", "v1.0.0").move("a", "prod", "v1.0.0").move("a", "debug", "v1.0.0")
    published(ledger, kv)
    published(ledger.move("a", "debug", None), kv, T2)
    assert pointers(kv) == {"a": {"latest": "v1.0.0", "prod": "v1.0.0", "stable": "v1.0.0"}}
    assert [(move.environment, move.version) for move in moves(kv, "a")][-1] == ("debug", None)


def test_a_dry_run_counts_and_writes_nothing(kv: Kv) -> None:
    dry = published(sample(), kv, dry_run=True)
    assert dry.dry_run
    assert everything(kv) == {}
    wet = published(sample(), kv)
    assert (dry.written, dry.changed, dry.warnings) == (wet.written, wet.changed, wet.warnings)


def test_progress_goes_from_nothing_to_everything() -> None:
    said: list[tuple[int, int, str]] = []
    publish(sample(), MemoryKv(), progress=lambda *step: said.append(step))
    assert said == [
        (0, 7, "contents"),
        (3, 7, "index and history"),
        (6, 7, "version map"),
        (7, 7, "verifying"),
        (7, 7, "done"),
    ]


# What KV cannot hold

BAD = {
    "not UTF-8": b"\xff\xfe",
    "25 MiB": b"x" * (25 * 1024 * 1024 + 1),
}


@pytest.mark.parametrize(("said", "data"), BAD.items(), ids=BAD)
def test_a_pointer_that_names_what_kv_cannot_hold_is_held_back_and_all_else_published(said: str, data: bytes) -> None:
    ledger = sample().tag("my-prompt", "v2.0.0", data).move("my-prompt", "prod", "v2.0.0").tag("b", "v1.0.0")
    kv = MemoryKv()
    before = sample()
    published(before, kv)
    report = published(ledger, kv)
    found = [(each.component, each.environment, each.version, each.shown) for each in report.held_back]
    assert found == [
        ("my-prompt", "latest", "v2.0.0", "v1.1.0"),
        ("my-prompt", "prod", "v2.0.0", "v1.0.0"),
        ("my-prompt", "stable", "v2.0.0", "v1.1.0"),
    ]
    assert all(said in each.reason for each in report.held_back)
    assert assert_right(kv) == ledger.generation
    assert "components/b/v1.0.0" in kv.data
    assert "components/my-prompt/v2.0.0" not in kv.data
    assert "v2.0.0" not in kv.data["history/my-prompt"].value + kv.data["index/my-prompt"].value

    # Again: nothing to do, and still told. Then another move elsewhere, and the same.
    assert (again := published(ledger, kv)).nothing
    assert again.held_back == report.held_back
    assert status(ledger, kv).kind == "current"
    assert len(status(ledger, kv).held_back) == 3
    more = ledger.move("b", "prod", "v1.0.0")
    assert status(more, kv).kind == "behind"
    assert published(more, kv).held_back == report.held_back
    # What is changed by hand besides is seen as such.
    entry = kv.data[VERSION_MAP]
    kv.data[VERSION_MAP] = KvValue(entry.value.replace('"prod":"v1.0.0"', '"prod":"v0.9.0"', 1), entry.metadata)
    assert status(more, kv).kind == "edited"
    kv.data[VERSION_MAP] = entry

    # The pointer moves on to a version that is text.
    mended = more.tag("my-prompt", "v2.0.1").move("my-prompt", "prod", "v2.0.1")
    last = published(mended, kv, at=T3)
    assert (last.held_back, assert_right(kv)) == ((), mended.generation)
    assert published(mended, kv).nothing
    ran = [m for m in json.loads(kv.data["history/my-prompt"].value) if m["environment"] == "prod"]
    assert (ran[-1]["version"], ran[-1]["published_at"]) == ("v2.0.1", format_instant(T3))
    assert "v2.0.0" not in [move["version"] for move in ran]


def test_what_was_set_and_never_published_before_a_held_back_move_is_not_shown() -> None:
    kv = MemoryKv()
    ledger = sample()
    published(ledger, kv)
    ledger = ledger.tag("my-prompt", "v1.2.0").move("my-prompt", "prod", "v1.2.0")
    ledger = ledger.tag("my-prompt", "v2.0.0", b"\xff").move("my-prompt", "prod", "v2.0.0")
    published(ledger, kv)
    assert assert_right(kv) == ledger.generation
    assert json.loads(kv.data[VERSION_MAP].value)["my-prompt"]["prod"] == "v1.0.0"
    back = ledger.move("my-prompt", "prod", "v1.2.0")
    assert [each.environment for each in published(back, kv, at=T3).held_back] == ["latest", "stable"]
    assert assert_right(kv) == back.generation


def test_a_file_that_comes_back_is_published_then_and_seen_since_then() -> None:
    class Forgetful(Ledger):
        def read(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
            return {id: data for id, data in super().read(blobs).items() if data != b"lost"}

    ledger = sample().tag("my-prompt", "v1.2.0", "lost").move("my-prompt", "prod", "v1.2.0")
    kv = MemoryKv()
    published(sample(), kv)
    report = published(Forgetful(ledger.steps, ledger.salt), kv)
    assert {each.reason for each in report.held_back} == {"git has no file for it"}
    found = published(ledger, kv, at=T3)
    assert (found.held_back, assert_right(kv)) == ((), ledger.generation)
    ran = [m for m in json.loads(kv.data["history/my-prompt"].value) if m["environment"] == "prod"]
    assert (ran[-1]["version"], ran[-1]["published_at"]) == ("v1.2.0", format_instant(T3))
    assert "v1.2.0" in kv.data["index/my-prompt"].value


@pytest.mark.parametrize(("said", "data"), BAD.items(), ids=BAD)
def test_one_that_no_pointer_names_is_left_out_and_said(said: str, data: bytes) -> None:
    ledger = Ledger().tag("a", "v1.0.0", data).tag("a", "v1.1.0").move("a", "prod", "v1.1.0")
    kv = MemoryKv()
    report = published(ledger, kv)
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith("a@v1.0.0 is left out: it ")
    assert said in report.warnings[0]
    assert "components/a/v1.0.0" not in kv.data
    # No range can choose it, also after a later publish.
    assert "v1.0.0" not in kv.data["index/a"].value
    later = ledger.tag("a", "v1.2.0")
    published(later, kv)
    assert "v1.0.0" not in kv.data["index/a"].value
    # A pointer that comes to name it later is held back, though the version is none of the new ones.
    (held_back,) = published(later.move("a", "debug", "v1.0.0"), kv).held_back
    assert str(held_back).startswith("a debug is left out: v1.0.0 cannot be published, it ")
    assert_right(kv)


def test_names_and_metadata_that_are_too_long() -> None:
    kv = MemoryKv()
    long = Ledger().tag("ü" * 260, "v1.0.0").move("ü" * 260, "prod", "v1.0.0").tag("a", "v1.0.0")
    report = published(long, kv)
    assert {each.reason for each in report.held_back} == {"its key has 538 bytes, and KV takes 512"}
    assert sorted(kv.data) == ["component-versions", "components/a/v1.0.0", "index/a"]
    assert published(long, kv).nothing


# What isolates have no room for


def roomy(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, more: int = 0) -> int:
    """Let the largest map be as large as this ledger's, and some bytes more."""
    kv = MemoryKv()
    published(ledger, kv)
    size = len(kv.data[VERSION_MAP].value.encode())
    monkeypatch.setattr("edgit.kv.plan.LARGEST_MAP", size + more)
    return size


def test_a_map_that_isolates_have_no_room_for_is_refused_before_anything_is_written(
    kv: Kv, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = sample()
    size = roomy(monkeypatch, ledger, -1)
    for dry_run in (True, False):
        with pytest.raises(Refused, match="nothing was published: the version map") as failure:
            published(ledger, kv, dry_run=dry_run)
        assert f"{size:,} bytes (2 components, 4 pointers)" in failure.value.detail
        assert f"room for {size - 1:,}" in failure.value.detail
        assert failure.value.exit_code == 3
        assert "edgit deploy unset" in str(failure.value.hint)
        assert everything(kv) == {}
    # A map that was written by hand is no way round it, and neither is `--replace`.
    kv.put_many([KvWrite(VERSION_MAP, "no map", None)])
    with pytest.raises(Refused, match="nothing was published: the version map"):
        published(ledger, kv, replace=True)


def test_the_largest_map_is_published(kv: Kv, monkeypatch: pytest.MonkeyPatch) -> None:
    roomy(monkeypatch, sample())
    assert published(sample(), kv).written["map"] == 1


def test_a_publish_that_adds_no_pointer_comes_through_at_any_size(kv: Kv, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = sample()
    published(ledger, kv)
    roomy(monkeypatch, ledger, -20)
    later = ledger.tag("my-prompt", "v1.2.0-much.longer").move("my-prompt", "prod", "v1.2.0-much.longer")
    report = published(later, kv)
    assert [change.git for change in report.changed] == ["v1.2.0-much.longer"] * 2
    assert "isolates of the edge have room for" in report.warnings[0]
    with pytest.raises(Refused, match="the version map would have"):
        published(later.move("my-prompt", "staging", "v1.0.0"), kv)
    with pytest.raises(Refused, match="the version map would have"):
        published(later.tag("one-more", "v1.0.0"), kv)
    # A smaller one is fine as well, and so is one that gives as much as it takes.
    instead = later.move("my-prompt", "prod", None).move("my-prompt", "staging", "v1.0.0")
    assert published(instead, kv).written["map"] == 1


@pytest.mark.parametrize(("share", "said"), [(0.79, False), (0.81, True), (1, True)])
def test_a_map_that_is_nearly_too_large_is_said(
    share: float, said: bool, kv: Kv, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = roomy(monkeypatch, sample())
    monkeypatch.setattr("edgit.kv.plan.LARGEST_MAP", int(size / share))
    # Also where there is nothing to publish: it stays so until somebody does something about it.
    for dry_run, full in ((True, False), (False, False), (False, False), (False, True)):
        warnings = published(sample(), kv, dry_run=dry_run, full=full).warnings
        assert len(warnings) == said
        assert not said or f"{size:,} bytes, {share:.0%} of what isolates" in warnings[0]


def test_contents_that_look_like_nothing_are_contents(kv: Kv) -> None:
    texts = {"v1.0.0": "", "v1.0.1": "null", "v1.0.2": "42", "v1.0.3": "\ufeffü😀\r\n\0", "v1.0.4": "null"}
    ledger = Ledger()
    for version, text in texts.items():
        ledger = ledger.tag("odd", version, text)
    published(ledger, kv)
    held = everything(kv)
    for version, text in texts.items():
        entry = held[f"components/odd/{version}"]
        assert entry is not None
        assert entry.value == text


def test_a_content_is_never_rewritten(kv: Kv) -> None:
    kv.put_many([KvWrite("components/my-prompt/v1.1.0", "another text")])
    with pytest.raises(Refused, match=r"`components/my-prompt/v1\.1\.0` has the SHA-256") as failure:
        published(sample(), kv)
    assert "nothing was published" in failure.value.detail
    assert list(everything(kv)) == ["components/my-prompt/v1.1.0"]
    # The same text, whoever has put it there, is left as it is.
    kv.put_many([KvWrite("components/my-prompt/v1.1.0", "my-prompt v1.1.0\n", {"note": "by hand"})])
    published(sample(), kv)
    assert everything(kv)["components/my-prompt/v1.1.0"] == KvValue("my-prompt v1.1.0\n", {"note": "by hand"})


# What KV has and git has not


def refused(ledger: Ledger, kv: Kv, **options: Any) -> PublishRefused:
    before = everything(kv)
    with pytest.raises(PublishRefused) as failure:
        published(ledger, kv, **options)
    assert everything(kv) == before
    assert failure.value.exit_code == 3
    return failure.value


def test_a_lower_generation_is_never_published(kv: Kv) -> None:
    elsewhere = sample().move("my-prompt", "prod", "v1.1.0", "colleague")
    published(elsewhere, kv)
    failure = refused(sample(), kv)
    assert "holds generation 9" in failure.detail
    assert "git has generation 8" in failure.detail
    assert "my-prompt prod: KV has v1.1.0 (colleague, 2024-11-01T18:00:00Z), git has v1.0.0" in failure.detail
    assert failure.hint is not None
    assert "edgit pull" in failure.hint
    assert [(d.component, d.environment, d.kv, d.git, d.actor) for d in failure.differences] == [
        ("my-prompt", "prod", "v1.1.0", "v1.0.0", "colleague")
    ]
    # Not even where it is asked for.
    assert "must have a higher generation" in refused(sample(), kv, replace=True).detail
    assert "holds generation 9" in refused(sample(), kv, full=True).detail


def test_the_same_generation_of_another_ledger_is_refused(kv: Kv) -> None:
    published(sample().move("my-prompt", "debug", "v1.1.0", "colleague"), kv)
    ours = sample().move("my-prompt", "staging", "v1.0.0")
    failure = refused(ours, kv)
    assert [str(difference) for difference in failure.differences] == [
        "my-prompt debug: KV has v1.1.0 (colleague, 2024-11-01T18:00:00Z), git has none",
        "my-prompt staging: KV has none, git has v1.0.0",
    ]
    refused(ours, kv, replace=True)


def test_a_lower_generation_of_another_ledger_is_refused_and_can_be_replaced(kv: Kv) -> None:
    published(sample().move("my-prompt", "debug", "v1.1.0", "colleague"), kv, T1)
    ours = sample().move("my-prompt", "staging", "v1.0.0").move("my-prompt", "staging", "v1.1.0")
    failure = refused(ours, kv)
    assert "does not know" in failure.detail
    assert failure.hint is not None
    assert "--replace" in failure.hint
    published(ours, kv, T2, replace=True)
    assert assert_right(kv) == 10
    assert pointers(kv) == json.loads(json.dumps(ours.pointers))
    # What both ledgers share was seen when it was; from where they part on it is seen now.
    assert [m.published_at for m in moves(kv)] == [T1] * 5 + [T2] * 2


def test_a_map_that_was_edited_is_refused_with_what_was_edited(kv: Kv) -> None:
    ledger = sample()
    published(ledger, kv)
    held = kv.get_many([VERSION_MAP])[VERSION_MAP]
    assert held is not None
    text = held.value.replace('"prod":"v1.0.0"', '"prod":"v1.1.0","hotfix":"v1.0.0"')
    kv.put_many([KvWrite(VERSION_MAP, text, held.metadata)])
    for ours in (ledger, ledger.move("my-prompt", "debug", "v1.0.0")):
        failure = refused(ours, kv)
        assert "changed by hand since generation 8" in failure.detail
        assert [(d.environment, d.kv, d.git) for d in failure.differences] == [
            ("hotfix", "v1.0.0", None),
            ("prod", "v1.1.0", "v1.0.0"),
        ]
        assert failure.hint is not None
        assert "edgit deploy set my-prompt v1.1.0 --to prod\n" in failure.hint
    refused(ledger, kv, replace=True)
    published(ledger.move("my-prompt", "debug", "v1.0.0"), kv, replace=True)
    assert assert_right(kv) == 9
    assert pointers(kv)["my-prompt"]["prod"] == "v1.0.0"


def test_another_spelling_of_the_same_map_is_no_edit(kv: Kv) -> None:
    ledger = sample()
    published(ledger, kv)
    held = kv.get_many([VERSION_MAP])[VERSION_MAP]
    assert held is not None
    text = json.dumps(json.loads(held.value), indent=2).replace('"v1.0.0"', '"1.0.0"')
    kv.put_many([KvWrite(VERSION_MAP, text, held.metadata)])
    assert published(ledger, kv).nothing
    published(ledger.move("my-prompt", "debug", "v1.0.0"), kv)
    assert assert_right(kv) == 9


def test_a_bad_entry_that_somebody_added_is_said_and_not_dropped(kv: Kv) -> None:
    published(sample(), kv)
    held = kv.get_many([VERSION_MAP])[VERSION_MAP]
    assert held is not None
    kv.put_many(
        [KvWrite(VERSION_MAP, held.value.replace('"prod":"v1.0.0"', '"prod":"v1.0.0","eu":1.1'), held.metadata)]
    )
    assert "my-prompt.eu: `1.1` is not a version in quotes" in refused(sample(), kv).detail


def test_a_map_written_by_hand_is_refused_where_git_would_undo_it(kv: Kv) -> None:
    by_hand = {"my-prompt": {"prod": "v1.1.0", "eu": "v1.0.0"}, "new": {"prod": "v3.0.0"}}
    kv.put_many([KvWrite(VERSION_MAP, json.dumps(by_hand))])
    failure = refused(sample(), kv)
    assert "written by hand" in failure.detail
    assert failure.hint is not None
    for line in ("my-prompt v1.1.0 --to prod", "my-prompt v1.0.0 --to eu", "new v3.0.0 --to prod"):
        assert f"edgit deploy set {line}\n" in failure.hint
    assert "unset" not in failure.hint
    published(sample(), kv, replace=True)
    assert assert_right(kv) == 8


def test_a_map_written_by_hand_that_git_agrees_with_is_published_over(kv: Kv) -> None:
    kv.put_many([KvWrite(VERSION_MAP, '{"my-prompt": {"prod": "1.0.0"}}')])
    published(sample(), kv)
    assert assert_right(kv) == 8


def test_history_outlives_a_map_written_by_hand(kv: Kv) -> None:
    """`wrangler kv key put component-versions` in an emergency takes the metadata away, and nothing else."""
    ledger = sample()
    published(ledger.at(5), kv, T1)
    kv.put_many([KvWrite(VERSION_MAP, json.dumps(ledger.pointers))])
    published(ledger, kv, T2)
    assert [m.published_at for m in moves(kv)] == [T1, T1, T2, T2, T2]


def test_a_map_that_cannot_be_read_is_replaced_only_when_asked(kv: Kv) -> None:
    kv.put_many([KvWrite(VERSION_MAP, "oops")])
    failure = refused(sample(), kv)
    assert "cannot be read" in failure.detail
    assert failure.hint is not None
    assert "--replace" in failure.hint
    published(sample(), kv, replace=True)
    assert assert_right(kv) == 8


def test_full_repairs_what_somebody_deleted(kv: Kv) -> None:
    ledger = sample()
    published(ledger, kv)
    before = everything(kv)
    kv.delete_many(["components/my-prompt/v1.0.0", "index/my-prompt"])
    assert published(ledger, kv).nothing
    report = published(ledger, kv, T2, full=True)
    assert report.written == {"contents": 1, "indexes": 1, "histories": 0, "map": 0}
    assert everything(kv) == before


# Between two publishers, and behind a KV that lags


class Meddling(MemoryKv):
    """Something happens at the nth read of the map."""

    def __init__(self, at: int, do: Callable[[MemoryKv], None]) -> None:
        super().__init__()
        self.at = at
        self.do = do
        self.reads = 0

    def get_many(self, keys: object) -> dict[str, KvValue | None]:
        if keys == [VERSION_MAP]:
            self.reads += 1
            if self.reads == self.at:
                self.do(self)
        return super().get_many(keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("at", [2, 3])
def test_another_publisher_that_got_between_is_told(at: int) -> None:
    elsewhere = sample().move("my-prompt", "prod", "v1.1.0", "colleague")
    kv = Meddling(at, lambda kv: kv.data.update(_publication_of(elsewhere)))
    with pytest.raises(PublishRefused, match=r"another publisher got between.*generation 9"):
        published(sample(), kv)
    # The higher generation stands, and the next attempt says what git has not.
    assert assert_right(kv) == 9
    assert "my-prompt prod: KV has v1.1.0 (colleague" in refused(sample(), kv).detail


def _publication_of(ledger: Ledger) -> dict[str, KvValue]:
    other = MemoryKv()
    published(ledger, other)
    return other.data


class Lagging(MemoryKv):
    """What was written is seen only after some further reads of the map."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.lag = reads
        self.unseen: list[KvWrite] = []

    def get_many(self, keys: object) -> dict[str, KvValue | None]:
        found = super().get_many(keys)  # type: ignore[arg-type]
        if self.unseen:
            self.lag -= 1
            if self.lag <= 0:
                super().put_many(self.unseen)
                self.unseen = []
        return found

    def put_many(self, writes: object) -> None:
        if [write.key for write in writes] == [VERSION_MAP]:  # type: ignore[attr-defined]
            self.unseen = list(writes)  # type: ignore[call-overload]
        else:
            super().put_many(writes)  # type: ignore[arg-type]


def test_a_kv_that_lags_is_waited_for() -> None:
    kv = Lagging(4)
    waits: list[float] = []
    publish(sample(), kv, sleep=waits.append)
    assert waits == [1, 2, 4, 8]
    assert assert_right(kv) == 8


def test_a_kv_that_never_shows_what_it_took_is_said() -> None:
    waits: list[float] = []
    with pytest.raises(KvFailed, match="still gives the value before, after 60 seconds"):
        publish(sample(), Lagging(1000), sleep=waits.append)
    assert sum(waits) == 60


# Killed anywhere


def ways() -> Iterator[tuple[str, Ledger, Ledger | None]]:
    whole = sample()
    yield "the first publish", whole, None
    yield "a rollback", whole, whole.at(5)
    yield "versions and moves", whole.tag("third", "v1.0.0").move("third", "prod", "v1.0.0"), whole.at(2)
    yield "a pointer removed", whole, whole.at(7)


@pytest.mark.parametrize(("ledger", "before"), [way[1:] for way in ways()], ids=[way[0] for way in ways()])
def test_killed_between_any_two_writes_kv_stays_right_and_the_next_run_finishes(
    ledger: Ledger, before: Ledger | None
) -> None:
    start = MemoryKv()
    if before is not None:
        published(before, start, T1)
    whole = MemoryKv(start.data)
    published(ledger, whole, T2)
    writes = len(whole.written)
    assert writes > 1
    for survived in range(writes + 1):
        kv = MemoryKv(start.data)
        kv.left = survived
        if survived < writes:
            with pytest.raises(KvFailed, match="broken off"):
                published(ledger, kv, T2 - timedelta(hours=1))
        else:
            published(ledger, kv, T2)
        generation = assert_right(kv)
        assert generation == (ledger if survived == writes else before or Ledger()).generation
        kv.left = None
        published(ledger, kv, T2)
        assert assert_right(kv) == ledger.generation
        if before is not None:
            # Where KV had a generation nothing of the interrupted run is left to be seen.
            assert kv.data == whole.data
        assert published(ledger, kv).nothing


def test_killed_for_real(tmp_path: Path) -> None:
    """A process that is killed in the middle of a local publish, then the same publish again."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from edgit.kv.local import LocalKv\n"
        "from edgit.kv.publish import publish\n"
        "from tests.edgit.memory import sample\n"
        "def progress(done, total, what):\n"
        "    if what == sys.argv[2]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "publish(sample(), LocalKv(Path(sys.argv[1])), progress=progress)\n"
    )
    root = Path(__file__).parents[2]
    path = tmp_path / "kv.sqlite3"
    for step, generation in {"contents": 0, "index and history": 0, "version map": 0, "verifying": 8}.items():
        command = [sys.executable, "-c", code, str(path), step]
        run = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=False, timeout=60)
        assert run.returncode == -9
        assert assert_right(LocalKv(path)) == generation
    assert published(sample(), LocalKv(path)).nothing


FAULTS = {
    "429": [Fault(status=429, headers={"Retry-After": "2"})],
    "500": [Fault(status=500), Fault(status=502)],
    "time-outs": [Fault(stall=True), Fault(stall=True, done=True)],
    "half answers": [Fault(half=True), Fault(cut=True), Fault(keys=1), Fault(refused=True), Fault(drop=True)],
    "done but not said": [Fault(status=500, done=True)],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("on", ["get", "write"])
def test_what_passes_over_cloudflares_api_is_got_over(cloudflare: FakeCloudflare, on: str, faults: list[Fault]) -> None:
    cloudflare.fail(*faults, on=on)
    published(sample(), remote())
    assert cloudflare.unstruck == 0
    assert cloudflare.data == {key: tuple(entry) for key, entry in _publication_of(sample()).items()}


def test_an_outage_in_the_middle_leaves_kv_right(cloudflare: FakeCloudflare) -> None:
    ledger = sample()
    published(ledger.at(5), remote())
    for survived in range(2):
        cloudflare.fail(*[Fault()] * survived, *[Fault(status=503)] * 8, on="write")
        with pytest.raises(KvFailed, match="503"):
            published(ledger, remote())
        assert assert_right(remote()) == 5
        assert cloudflare.unstruck == 0
    published(ledger, remote())
    assert assert_right(remote()) == 8


# Laws

NAMES = st.sampled_from(["a", "b", "b/c"])
VERSIONS = st.sampled_from(["v1.0.0", "v1.1.0", "v2.0.0-rc.1"])
ENVIRONMENTS = st.sampled_from(["prod", "prod-canary", "debug"])


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Any order of tags and moves in which a pointer names a version that exists; some files are not UTF-8."""
    steps: list[Step] = []
    known: dict[str, list[str]] = {}
    for _ in range(draw(st.integers(1, 12))):
        name = draw(NAMES)
        versions = known.setdefault(name, [])
        moves: bool = draw(st.booleans())
        if versions and moves:
            target: str | None = draw(st.sampled_from([*versions, None]))
            steps.append(Step(name, target, draw(ENVIRONMENTS)))
        elif (version := draw(VERSIONS)) not in versions:
            versions.append(version)
            steps.append(Step(name, version, data=f"{name} {version}".encode()))
    return Ledger(tuple(steps))


@given(ledgers())
def test_publishing_twice_is_publishing_once(ledger: Ledger) -> None:
    kv = MemoryKv()
    published(ledger, kv, T1)
    assert assert_right(kv) == ledger.generation
    once = dict(kv.data)
    assert published(ledger, kv, T2).nothing
    assert published(ledger, kv, T2, full=True).nothing
    assert kv.data == once


@given(ledgers(), st.data())
def test_publishing_step_by_step_is_publishing_at_once(ledger: Ledger, data: st.DataObject) -> None:
    stops = sorted(data.draw(st.sets(st.integers(0, ledger.generation), max_size=4)))
    kv, whole = MemoryKv(), MemoryKv()
    seen: dict[tuple[str, int | None], datetime] = {}
    for number, stop in enumerate([*stops, ledger.generation]):
        at = T1 + timedelta(days=number)
        published(ledger.at(stop), kv, at)
        assert assert_right(kv) == stop
        for name in ledger.pointers:
            entry = kv.data.get(history_key(name))
            for move in decode_history(history_key(name), entry.value).value if entry else ():
                # What was recorded once is never recorded otherwise.
                assert move.published_at == seen.setdefault((name, move.generation), at)
    published(ledger, whole, T1)
    assert {k: v for k, v in kv.data.items() if not k.startswith("history/")} == {
        k: v for k, v in whole.data.items() if not k.startswith("history/")
    }
    for name in ledger.pointers:
        if history_key(name) in whole.data:
            assert [(m.generation, m.version) for m in moves(kv, name)] == [
                (m.generation, m.version) for m in moves(whole, name)
            ]
            assert state_at(moves(kv, name), T2 + timedelta(days=30)) == {
                e: v for e, v in ledger.pointers[name].items() if e not in ("latest", "stable")
            }


@given(ledgers(), st.data())
def test_whatever_is_killed_the_next_run_gives_the_same(ledger: Ledger, data: st.DataObject) -> None:
    first = ledger.at(data.draw(st.integers(1, ledger.generation)))
    kv, whole = MemoryKv(), MemoryKv()
    published(first, kv, T1)
    published(first, whole, T1)
    for _ in range(data.draw(st.integers(1, 3))):
        kv.left = data.draw(st.integers(0, 6))
        try:
            published(ledger, kv, T2 - timedelta(hours=1))
        except KvFailed:
            assert assert_right(kv) == first.generation
        else:
            return
    kv.left = None
    published(ledger, kv, T2)
    published(ledger, whole, T2)
    assert kv.data == whole.data


# Status and snapshot


def test_status_says_what_is_published_and_what_is_not(kv: Kv) -> None:
    ledger = sample()
    empty = status(ledger, kv)
    assert (empty.kind, len(empty.moves), len(empty.versions)) == ("empty", 5, 3)
    published(ledger.at(4), kv)
    behind = status(ledger, kv)
    assert behind.kind == "behind"
    assert [(name, move.environment, move.version, move.generation) for name, move in behind.moves] == [
        ("my-prompt", "prod", "v1.1.0", 5),
        ("my-prompt", "prod", "v1.0.0", 6),
        ("my-prompt", "prod-canary", "v1.1.0", 7),
        ("my-prompt", "prod-canary", None, 8),
    ]
    assert behind.versions == ()
    published(ledger, kv)
    current = sample()
    found = status(current, kv)
    assert (found.kind, found.moves, found.differences, current.asked) == ("current", (), (), [])
    assert json.loads(json.dumps(of_kv_status(found)))["kv"] == {"generation": 8, "revision": ledger.revision}
    ahead = status(ledger.at(4), kv)
    assert ahead.kind == "ahead"
    published(ledger.move("my-prompt", "debug", "v1.0.0", "colleague"), kv)
    assert [str(difference) for difference in status(ledger, kv).differences] == [
        "my-prompt debug: KV has v1.0.0 (colleague, 2024-11-01T18:00:00Z), git has none"
    ]
    kv.put_many([KvWrite(VERSION_MAP, '{"my-prompt": {"prod": "v1.1.0"}}')])
    by_hand = status(ledger, kv)
    assert by_hand.kind == "by hand"
    assert [difference.kv for difference in by_hand.differences] == [None, "v1.1.0", None, None]


def test_a_snapshot_is_what_a_deployment_reads(kv: Kv) -> None:
    with pytest.raises(EdgitError, match="holds no `component-versions`"):
        snapshot(kv)
    ledger = sample()
    published(ledger, kv)
    bare = read_snapshot(json.dumps(snapshot(kv))).value
    assert (bare.generation, bare.revision) == (8, ledger.revision)
    assert bare.pointers["my-prompt"]["prod"] == "v1.0.0"
    assert bare.rollout is not None
    assert str(bare.rollout.percentage("my-prompt", "prod")) == "0"
    for text, shown in {
        "10": "10",
        "10%": "10",
        "0.1": "0.1",
        '{"*": 1, "my-prompt": "99.99999999999999999"}': "99.99999999999999999",
        '{"my-prompt": "ten", "*": 50}': "0",
    }.items():
        kv.put_many([KvWrite("rollout-percentage", text)])
        found = read_snapshot(json.dumps(snapshot(kv))).value
        assert found.rollout is not None
        assert str(found.rollout.percentage("my-prompt", "prod")) == shown
    kv.put_many([KvWrite("rollout-percentage", "ten")])
    with pytest.raises(EdgitError, match="`rollout-percentage` cannot be read"):
        snapshot(kv)
    kv.put_many([KvWrite("rollout-percentage", "10"), KvWrite(VERSION_MAP, '{"a": {"prod": "1.0.0", "b": 7}}')])
    by_hand = read_snapshot(json.dumps(snapshot(kv))).value
    assert by_hand.pointers["a"] == {"prod": "v1.0.0"}
    assert by_hand.generation is None
    assert by_hand.revision is not None
    assert by_hand.revision.startswith("sha256:")
