"""The stores: one contract held against both, and Cloudflare's API with everything that goes wrong on the way."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgit.errors import EdgitError
from edgit.kv.cloudflare import CloudflareKv
from edgit.kv.local import LocalKv
from edgit.kv.retry import RetryPolicy, TransientFailure
from edgit.kv.store import Kv, KvFailed, KvValue, KvWrite
from edgit.kv.targets import open_kv
from tests.edgit.fake_cloudflare import ACCOUNT, NAMESPACE, TOKEN, FakeCloudflare, Fault


class Waited:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def patience(self, **given: float) -> RetryPolicy:
        patience = RetryPolicy(sleep=self.sleep, clock=lambda: self.now, chance=random.Random(1).random)
        return replace(patience, **given)  # type: ignore[arg-type]


@pytest.fixture
def waited() -> Waited:
    return Waited()


@pytest.fixture
def cloudflare(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudflare]:
    with FakeCloudflare() as fake:
        monkeypatch.setenv("CLOUDFLARE_BASE_URL", fake.url)
        yield fake


@pytest.fixture
def remote(cloudflare: FakeCloudflare, waited: Waited) -> CloudflareKv:
    assert cloudflare.url
    return CloudflareKv(ACCOUNT, NAMESPACE, TOKEN, patience=waited.patience(), timeout=0.5)


@pytest.fixture(params=["local", "cloudflare"])
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Kv:
    if request.param == "local":
        return LocalKv(tmp_path / "folder" / "kv.sqlite3")
    found: CloudflareKv = request.getfixturevalue("remote")
    return found


ODD = {
    "empty": "",
    "null": "null",
    "number": "42",
    "true": "true",
    "text": 'ü😀\n\0\x1f\u2028 \\ "',
    "json": '{"a": 1.0}',
}


def test_a_value_comes_back_as_it_was_put(kv: Kv) -> None:
    metadata: list[object] = [{"type": "prompt", "n": 7, "deep": [None, {"x": "ü"}]}, None, {}, 0, "", False]
    writes = [KvWrite(f"odd/{key}", value, metadata[i]) for i, (key, value) in enumerate(ODD.items())]
    kv.put_many(writes)
    found = kv.get_many([write.key for write in writes] + ["odd/none"])
    assert found == {write.key: KvValue(write.value, write.metadata) for write in writes} | {"odd/none": None}


def test_a_key_is_any_text(kv: Kv) -> None:
    keys = ["a b", "a/b/../c", "ä%2F?#&=+", "x" * 512, "…" * 170]
    kv.put_many([KvWrite(key, key) for key in keys])
    assert {key: entry and entry.value for key, entry in kv.get_many(keys).items()} == {key: key for key in keys}
    assert set(kv.list_keys("")) == set(keys)


def test_what_is_written_later_counts_and_takes_the_metadata_with_it(kv: Kv) -> None:
    kv.put_many([KvWrite("a", "1", {"n": 1}), KvWrite("a", "2", {"n": 2})])
    assert kv.get_many(["a"]) == {"a": KvValue("2", {"n": 2})}
    kv.put_many([KvWrite("a", "3")])
    assert kv.get_many(["a"]) == {"a": KvValue("3", None)}


def test_any_number_of_keys(kv: Kv) -> None:
    many = {f"many/{n:05}": str(n) for n in range(2345)}
    kv.put_many([KvWrite(key, value, {"n": value}) for key, value in many.items()])
    assert kv.get_many([*many, *many]) == {key: KvValue(value, {"n": value}) for key, value in many.items()}
    assert kv.list_keys("many/") == {key: {"n": value} for key, value in many.items()}
    assert len(kv.list_keys("many/0000")) == 10
    kv.delete_many([*list(many)[1:], "never-there"])
    assert kv.list_keys("") == {"many/00000": {"n": "0"}}
    assert kv.get_many([]) == {}
    kv.put_many([])


def test_a_prefix_is_no_pattern(kv: Kv) -> None:
    kv.put_many([KvWrite(key, "") for key in ("a_b", "axb", "a%b", "A_b")])
    assert set(kv.list_keys("a_")) == {"a_b"}
    assert set(kv.list_keys("a%")) == {"a%b"}


def test_bulk_calls_are_as_few_as_cloudflare_takes(remote: CloudflareKv, cloudflare: FakeCloudflare) -> None:
    keys = [f"k{n}" for n in range(10_050)]
    remote.put_many([KvWrite(key, "v") for key in keys])
    assert remote.get_many(keys[:250])["k249"] == KvValue("v")
    remote.list_keys("k")
    remote.delete_many(keys)
    assert cloudflare.operations == [
        ("write", 10_000),
        ("write", 50),
        *[("get", 100), ("get", 100), ("get", 50)],
        *[("list", 1)] * 11,
        *[("delete", 10_000), ("delete", 50)],
    ]
    assert cloudflare.data == {}


def test_large_values_are_written_apart_and_read_alone(waited: Waited, cloudflare: FakeCloudflare) -> None:
    # 100 MB on a busy machine take longer than the tests of time-outs wait.
    remote = CloudflareKv(ACCOUNT, NAMESPACE, TOKEN, patience=waited.patience(), timeout=60)
    large = "x" * (25 * 1024 * 1024)
    remote.put_many([KvWrite(f"large/{n}", large, {"n": n}) for n in range(4)])
    assert [count for kind, count in cloudflare.operations if kind == "write"] == [3, 1]
    cloudflare.data["ä/…"] = (large, None)
    found = remote.get_many(["large/0", "large/1", "none", "ä/…"])
    assert found["large/1"] == KvValue(large, {"n": 1})
    assert found["ä/…"] == KvValue(large, None)
    assert found["none"] is None


TRANSIENT = {
    "429": Fault(status=429),
    "500": Fault(status=500),
    "503": Fault(status=503),
    "522": Fault(status=522),
    "408": Fault(status=408),
    "a time-out": Fault(stall=True),
    "a dropped connection": Fault(drop=True),
    "a cut connection": Fault(cut=True),
    "half a text": Fault(half=True),
    "success: false": Fault(refused=True),
    "done, but the answer is lost": Fault(stall=True, done=True),
    "done, but 500": Fault(status=500, done=True),
}


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
@pytest.mark.parametrize("operation", ["get", "write", "list", "delete"])
def test_what_may_pass_is_tried_again(
    remote: CloudflareKv, cloudflare: FakeCloudflare, waited: Waited, operation: str, fault: Fault
) -> None:
    cloudflare.data["there"] = ("value", {"n": 1})
    cloudflare.fail(fault, on=operation)
    do: dict[str, Callable[[], object]] = {
        "get": lambda: remote.get_many(["there", "none"]),
        "write": lambda: remote.put_many([KvWrite("new", "value", {"n": 2})]),
        "list": lambda: remote.list_keys(""),
        "delete": lambda: remote.delete_many(["there"]),
    }
    answer = do[operation]()
    assert cloudflare.unstruck == 0
    assert len(waited.pauses) == 1
    expected = {
        "get": ({"there": KvValue("value", {"n": 1}), "none": None}, {"there"}),
        "write": (None, {"there", "new"}),
        "list": ({"there": {"n": 1}}, {"there"}),
        "delete": (None, set()),
    }
    assert (answer, set(cloudflare.data)) == expected[operation]


def test_only_the_keys_that_failed_are_tried_again(
    remote: CloudflareKv, cloudflare: FakeCloudflare, waited: Waited
) -> None:
    cloudflare.fail(Fault(keys=4), Fault(keys=1), Fault(status=500), on="write")
    remote.put_many([KvWrite(f"k{n}", str(n)) for n in range(10)])
    assert cloudflare.operations == [("write", 10), ("write", 4), ("write", 1), ("write", 1)]
    assert cloudflare.data == {f"k{n}": (str(n), None) for n in range(10)}
    assert len(waited.pauses) == 3
    cloudflare.fail(Fault(keys=2), on="delete")
    remote.delete_many([f"k{n}" for n in range(10)])
    assert cloudflare.operations[-2:] == [("delete", 10), ("delete", 2)]
    assert cloudflare.data == {}


def test_a_key_that_is_left_out_of_an_answer_is_asked_for_again(
    remote: CloudflareKv, cloudflare: FakeCloudflare
) -> None:
    cloudflare.data = {"a": ("1", None), "b": ("2", None)}
    cloudflare.fail(Fault(omitted=1), on="get")
    assert remote.get_many(["a", "b"]) == {"a": KvValue("1"), "b": KvValue("2")}
    cloudflare.fail(Fault(omitted=1), Fault(omitted=1), on="get")
    assert remote.get_many(["none", "b"]) == {"none": None, "b": KvValue("2")}


def test_a_value_that_is_no_text_is_no_value(remote: CloudflareKv, cloudflare: FakeCloudflare) -> None:
    cloudflare.fail(Fault(garbled=True))
    with pytest.raises(KvFailed, match="no text for `a`"):
        remote.get_many(["a"])


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "Tue, 12 Nov 2024 14:45:30 GMT", "Date": "Tue, 12 Nov 2024 14:45:00 GMT"}, 30),
        ({"Retry-After": "nonsense"}, 0.25),
        ({"Retry-After": "inf"}, 0.25),
        ({}, 0.25),
    ],
)
def test_retry_after_is_kept_to(
    remote: CloudflareKv, cloudflare: FakeCloudflare, waited: Waited, headers: dict[str, str], least: float
) -> None:
    cloudflare.fail(Fault(status=429, headers=headers))
    remote.get_many(["a"])
    assert least <= waited.pauses[0] <= least + 0.5


def test_the_pauses_grow_and_end(remote: CloudflareKv, cloudflare: FakeCloudflare, waited: Waited) -> None:
    cloudflare.fail(*[Fault(status=503)] * 100)
    with pytest.raises(
        KvFailed, match=r"fedcba.* failed while reading 1 key, 8 times: 503 .*it broke \(code 10001\)"
    ) as failure:
        remote.get_many(["a"])
    assert failure.value.exit_code == 4
    assert failure.value.hint
    assert len(waited.pauses) == 7
    for attempt, pause in enumerate(waited.pauses):
        assert 0.25 * 2**attempt <= pause <= min(30, 0.5 * 2**attempt)


@pytest.mark.parametrize("retry_after", ["3600", "50"])
def test_nobody_waits_longer_than_the_whole_is_worth(
    remote: CloudflareKv, cloudflare: FakeCloudflare, waited: Waited, retry_after: str
) -> None:
    cloudflare.fail(*[Fault(status=429, headers={"Retry-After": retry_after})] * 100)
    with pytest.raises(KvFailed, match="429"):
        remote.get_many(["a"])
    assert waited.now <= 120


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_does_not_pass_is_said_at_once(
    remote: CloudflareKv, cloudflare: FakeCloudflare, waited: Waited, status: int
) -> None:
    cloudflare.fail(Fault(status=status))
    with pytest.raises(KvFailed, match=f"{status} .*it broke"):
        remote.put_many([KvWrite("a", "1")])
    assert waited.pauses == []


def test_a_wrong_token_or_namespace_names_the_variable(cloudflare: FakeCloudflare) -> None:
    with pytest.raises(KvFailed, match="Authentication error") as failure:
        CloudflareKv(ACCOUNT, NAMESPACE, "wrong").get_many(["a"])
    assert "CLOUDFLARE_API_TOKEN" in str(failure.value)
    assert "wrong" not in str(failure.value)
    with pytest.raises(KvFailed, match="namespace not found") as failure:
        CloudflareKv(ACCOUNT, "0" * 32, TOKEN).get_many(["a"])
    assert "CLOUDFLARE_KV_NAMESPACE_ID" in str(failure.value)
    assert len(cloudflare.headers) == 2


def test_the_token_is_what_is_sent_whatever_else_the_environment_holds(
    cloudflare: FakeCloudflare, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLOUDFLARE_API_KEY", "CLOUDFLARE_EMAIL", "CLOUDFLARE_API_USER_SERVICE_KEY"):
        monkeypatch.setenv(name, "somebody")
    for name, value in cloudflare.environment.items():
        monkeypatch.setenv(name, value)
    kv = open_kv("cloudflare")
    kv.put_many([KvWrite("a", "1")])
    assert kv.get_many(["a"]) == {"a": KvValue("1")}
    assert NAMESPACE in kv.name
    assert not [name for sent in cloudflare.headers for name in sent if name.startswith("x-auth")]


def test_missing_variables_are_all_named() -> None:
    with pytest.raises(EdgitError) as failure:
        open_kv("cloudflare", {"CLOUDFLARE_ACCOUNT_ID": "a", "CLOUDFLARE_API_TOKEN": " "})
    assert "needs CLOUDFLARE_API_TOKEN and CLOUDFLARE_KV_NAMESPACE_ID, which are not set" in failure.value.detail
    assert failure.value.hint is not None
    assert len(failure.value.hint.splitlines()) == 2
    assert "Workers KV Storage: Edit" in failure.value.hint


@pytest.mark.parametrize("target", ["", "locl", "local=", "remote=x", "cloudflare=abc"])
def test_a_target_that_is_none_is_said(target: str) -> None:
    with pytest.raises(EdgitError, match="is no KV") as failure:
        open_kv(target, {})
    assert "`local`, `local=PATH` or `cloudflare`" in str(failure.value)


def test_the_local_target_is_where_the_local_edge_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_kv("local", {}).put_many([KvWrite("a", "default")])
    open_kv("local", {"KV": "by/variable.sqlite3"}).put_many([KvWrite("a", "variable")])
    open_kv("local=by/path=1.sqlite3", {"KV": "ignored"}).put_many([KvWrite("a", "path")])
    for path, value in {
        ".local/kv.sqlite3": "default",
        "by/variable.sqlite3": "variable",
        "by/path=1.sqlite3": "path",
    }.items():
        assert LocalKv(tmp_path / path).get_many(["a"]) == {"a": KvValue(value)}


def test_a_file_that_is_no_kv_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("something else entirely, long enough to be looked at as a file header")
    with pytest.raises(KvFailed, match=r"notes\.txt cannot be used as a KV file"):
        LocalKv(path)
    with pytest.raises(KvFailed, match="cannot be used"):
        LocalKv(path / "below.sqlite3")
    assert path.read_text().startswith("something else")


def test_a_local_bulk_write_is_all_or_nothing(tmp_path: Path) -> None:
    kv = LocalKv(tmp_path / "kv.sqlite3")
    with pytest.raises(KvFailed):
        kv.put_many([KvWrite("a", "1"), KvWrite("b", None)])  # type: ignore[arg-type]
    assert kv.list_keys("") == {}


def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    path = tmp_path / "kv.sqlite3"
    kv = LocalKv(path)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    # Readers go on meanwhile.
    assert kv.get_many(["a"]) == {"a": None}
    database.execute("ROLLBACK")
    database.close()
    kv.put_many([KvWrite("a", "1")])
    assert kv.get_many(["a"]) == {"a": KvValue("1")}


def test_each_failure_that_is_waited_out_is_told() -> None:
    said: list[str] = []
    waited: list[float] = []
    policy = RetryPolicy(attempts=3, sleep=waited.append, chance=lambda: 1.0, say=said.append)

    def away() -> None:
        raise TransientFailure("HTTP 503")

    with pytest.raises(KvFailed):
        policy.persist("the KV", "writing", away)
    assert waited == [0.5, 1.0]
    assert said == [f"the KV: HTTP 503; asking again in {wait} s" for wait in waited]
