"""Announcing a generation: what the origin and Cloudflare's purge API are sent; nothing of it fails a publish."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgit.commands.shapes import of_report
from edgit.kv.announce import PURGES, Announcer, CloudflareZone, UnconfiguredAnnouncer, announcer_for
from edgit.kv.cloudflare import CloudflareKv
from edgit.kv.local import LocalKv
from edgit.kv.publish import KEPT_FOR, PublishRefused, PublishReport, publish
from edgit.kv.store import Kv, KvFailed
from resolver.documents import VERSION_MAP
from tests.edgit.fake_cloudflare import ACCOUNT, NAMESPACE, TOKEN, FakeCloudflare
from tests.edgit.memory import Ledger, MemoryKv, assert_right, sample
from tests.edgit.repo import Repo, copied, make

ZONE = "00112233445566778899aabbccddeeff"
SECRET = "what-the-origin-takes"


class Internet:
    """An origin at /generation and Cloudflare's purge API, on this machine. `log` is all that happened, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.number: str | None = None
        self.bodies: list[object] = []
        #: Statuses of the next answers; afterwards 200. 0 drops the connection.
        self.origin: list[int] = []
        self.purging: list[int] = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    internet: Internet

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is the test's."""

    def do_GET(self) -> None:
        self._origin(None)

    def do_PUT(self) -> None:
        self._origin(self._body())

    def do_POST(self) -> None:
        body = self._body()
        assert self.path == f"/client/v4/zones/{ZONE}/purge_cache"
        assert self.headers["authorization"] == f"Bearer {TOKEN}"
        status = self.internet.purging.pop(0) if self.internet.purging else 200
        self.internet.log.append(f"purge {status}")
        self.internet.bodies.append(json.loads(body))
        result = {"success": status == 200, "errors": [{"code": 1, "message": "no"}] if status != 200 else []}
        self._answer(status, json.dumps({**result, "messages": [], "result": {"id": ZONE}}))

    def _origin(self, body: str | None) -> None:
        internet = self.internet
        assert self.path == "/generation"
        if self.headers["authorization"] != f"Bearer {SECRET}":
            return self._answer(403, "not yours")
        status = internet.origin.pop(0) if internet.origin else 200
        internet.log.append(f"{self.command} {body or status}")
        if status == 0:
            return None
        if body is not None and status == 200:
            internet.number = body
        return self._answer(status if internet.number or body else 404, internet.number or "nothing")

    def _body(self) -> str:
        return self.rfile.read(int(self.headers.get("content-length") or 0)).decode()

    def _answer(self, status: int, body: str) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    found = Internet()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"internet": found}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    host = f"http://127.0.0.1:{server.server_address[1]}"
    found.url = f"{host}/generation"
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", f"{host}/client/v4")
    yield found
    server.shutdown()
    thread.join(10)
    server.server_close()


class Time:
    """A clock that only waiting moves; `waits` are the pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def announcer(internet: Internet, **given: str) -> Announcer:
    environment = {
        "EDGIT_ANNOUNCE_TOKEN": SECRET,
        "CLOUDFLARE_ZONE_ID": ZONE,
        "CLOUDFLARE_API_TOKEN": TOKEN,
        **given,
    }
    found = announcer_for(internet.url, environment)
    assert isinstance(found, Announcer)
    time = Time()
    return Announcer(found.url, found.origin, found.token, found.zone, time.sleep, lambda: time.now)


def published(ledger: Ledger, kv: Kv, internet: Internet, **options: Any) -> PublishReport:
    return publish(ledger, kv, sleep=lambda _: None, announcer=announcer(internet), **options)


def own_keys(kv: Kv) -> list[str]:
    return sorted(kv.list_keys("component-versions/"))


def test_the_number_is_put_and_the_url_purged_at_its_times(internet: Internet) -> None:
    time = Time()
    zone = CloudflareZone(ZONE, TOKEN)
    found = Announcer(internet.url, internet.url, SECRET, zone, time.sleep, lambda: time.now)
    assert found.announce(21) == ()
    assert internet.log == ['PUT {"generation": 21}', *["purge 200"] * 6]
    assert internet.bodies == [{"files": [internet.url]}] * 6
    assert [sum(time.waits[:count]) for count in range(1, 7)] == list(PURGES) == [0, 0.25, 0.5, 1, 2, 5]
    assert found.standing() == 21


def test_a_purge_that_takes_long_shortens_the_pause_after_it(internet: Internet) -> None:
    class Slow:
        def purge(self, _url: str) -> None:
            time.now += 0.4

    time = Time()
    found = Announcer(internet.url, internet.url, SECRET, Slow(), time.sleep, lambda: time.now)
    assert found.announce(21) == ()
    assert time.waits == pytest.approx([0, 0, 0, 0, 0.4, 2.6])


def test_an_origin_that_fails_is_tried_again_and_one_that_refuses_is_not(internet: Internet) -> None:
    internet.origin = [503, 0]
    assert announcer(internet).announce(21) == ()
    assert internet.number == '{"generation": 21}'
    internet.log.clear()
    internet.origin = [409, 200]
    (told,) = announcer(internet).announce(22)
    assert "generation 22 is published and not announced" in told
    assert "answered 409" in told
    assert "by KV's own way" in told
    assert internet.log == ['PUT {"generation": 22}'], "and nothing is purged for a number that is not there"


@pytest.mark.parametrize("answers", [[500] * 3, [0] * 3, [429] * 3])
def test_an_origin_that_goes_on_failing_is_told(internet: Internet, answers: list[int]) -> None:
    internet.origin = answers
    (told,) = announcer(internet).announce(21)
    assert "not announced" in told
    assert len(internet.log) == 3


def test_purges_that_fail_are_told_with_what_it_means(internet: Internet) -> None:
    internet.purging = [500, 200, 403, 200, 200, 200]
    (told,) = announcer(internet).announce(21)
    assert told.startswith(f"2 of 6 purges of {internet.url} failed: Cloudflare zone {ZONE}")
    assert "30 s old" in told
    assert internet.log.count("purge 200") == 4, "the others are made all the same"


def test_another_address_may_take_what_the_url_shows(internet: Internet) -> None:
    seen = "https://edge.example.com/generation"
    environment = {"EDGIT_ANNOUNCE_ORIGIN": internet.url, "EDGIT_ANNOUNCE_TOKEN": SECRET}
    found = announcer_for(seen, {**environment, "CLOUDFLARE_ZONE_ID": ZONE, "CLOUDFLARE_API_TOKEN": TOKEN})
    assert isinstance(found, Announcer)
    time = Time()
    Announcer(found.url, found.origin, found.token, found.zone, time.sleep, lambda: time.now).announce(21)
    assert (internet.number, internet.bodies[0]) == ('{"generation": 21}', {"files": [seen]})


@pytest.mark.parametrize(
    ("url", "given", "says"),
    [
        ("https://edge.example.com/", {"EDGIT_ANNOUNCE_TOKEN": ""}, "EDGIT_ANNOUNCE_TOKEN is not set"),
        ("https://edge.example.com/", {"CLOUDFLARE_ZONE_ID": " "}, "CLOUDFLARE_ZONE_ID is not set"),
        ("https://edge.example.com/", {"CLOUDFLARE_API_TOKEN": ""}, "CLOUDFLARE_API_TOKEN is not set"),
        ("http://edge.example.com/", {}, "http://edge.example.com/ is no https URL"),
        ("edge.example.com", {}, "edge.example.com is no https URL"),
        ("https://", {}, "https:// is no https URL"),
        ("https://[", {}, "https://[ is no https URL"),
        ("https://edge.example.com/", {"EDGIT_ANNOUNCE_ORIGIN": "http://10.0.0.1/"}, "http://10.0.0.1/ is no https"),
    ],
)
def test_what_is_missing_is_told_and_fails_nothing(url: str, given: dict[str, str], says: str) -> None:
    whole = {"EDGIT_ANNOUNCE_TOKEN": SECRET, "CLOUDFLARE_ZONE_ID": ZONE, "CLOUDFLARE_API_TOKEN": TOKEN}
    found = announcer_for(url, {**whole, **given})
    assert isinstance(found, UnconfiguredAnnouncer)
    kv = MemoryKv()
    report = publish(sample(), kv, announcer=found)
    assert says in report.warnings[0]
    assert report.announced is None
    assert assert_right(kv) == 8


# Within a publish


def test_the_map_is_under_its_own_key_before_it_is_the_map_and_the_number_comes_after(internet: Internet) -> None:
    kv = MemoryKv()
    at_put: list[object] = []

    class Watched(MemoryKv):
        def put_many(self, writes: Any) -> None:
            super().put_many(writes)
            at_put.extend((write.key, internet.number) for write in writes)

    kv = Watched()
    report = published(sample(), kv, internet)
    assert at_put[-2:] == [("component-versions/8", None), (VERSION_MAP, None)]
    assert kv.data["component-versions/8"] == kv.data[VERSION_MAP]
    assert (internet.number, report.announced, report.warnings) == ('{"generation": 8}', internet.url, ())
    assert of_report(report)["announced"] == internet.url


def test_at_cloudflare_the_maps_own_key_expires(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = announcer(internet)
    with FakeCloudflare() as fake:
        # The API that KV is written by is another one than the zone's here.
        monkeypatch.setenv("CLOUDFLARE_BASE_URL", fake.url)
        sent: list[dict[str, object]] = []
        handler: Any = fake._server.RequestHandlerClass
        write = handler._write

        def watched(self: object, pairs: list[dict[str, object]]) -> None:
            sent.extend(pairs)
            write(self, pairs)

        monkeypatch.setattr(handler, "_write", watched)
        publish(sample(), CloudflareKv(ACCOUNT, NAMESPACE, TOKEN), announcer=voice)
    # One write more than without it: the table in docs/publish.md.
    operations = [f"{kind}:{count}" for kind, count in fake.operations]
    assert operations == ["get:1", "get:6", "write:3", "write:3", "get:1", "write:1", "write:1", "get:1"]
    ttls = {pair["key"]: pair["expiration_ttl"] for pair in sent if "expiration_ttl" in pair}
    assert ttls == {"component-versions/8": KEPT_FOR}
    assert internet.number == '{"generation": 8}'


def test_in_a_file_only_the_last_one_is_kept(internet: Internet, tmp_path: Path) -> None:
    kv = LocalKv(tmp_path / "kv.sqlite3")
    for generation in (5, 6, 8):
        published(sample().at(generation), kv, internet)
        assert own_keys(kv) == [f"component-versions/{generation}"]
    assert internet.number == '{"generation": 8}'


def test_without_an_announcer_nothing_is_written_for_it() -> None:
    kv = MemoryKv()
    report = publish(sample(), kv)
    assert own_keys(kv) == []
    assert "announced" not in of_report(report)


def test_a_dry_run_announces_nothing(internet: Internet) -> None:
    kv = MemoryKv()
    published(sample(), kv, internet, dry_run=True)
    published(sample(), kv, internet)
    internet.log.clear()
    published(sample(), kv, internet, dry_run=True)
    assert internet.log == []


def test_what_is_refused_is_not_announced(internet: Internet) -> None:
    kv = MemoryKv()
    publish(sample(), kv)
    with pytest.raises(PublishRefused):
        published(sample().at(5), kv, internet)
    assert internet.log == []
    assert own_keys(kv) == []


def test_an_announcement_that_fails_fails_no_publish_and_is_made_up_for(internet: Internet) -> None:
    kv = MemoryKv()
    internet.origin = [500] * 3
    report = published(sample(), kv, internet)
    assert (assert_right(kv), report.announced) == (8, None)
    assert "not announced" in report.warnings[0]
    # The next publish has nothing to write, sees that the number is another one, and announces it.
    report = published(sample(), kv, internet)
    assert (report.nothing, report.announced, internet.number) == (True, internet.url, '{"generation": 8}')
    assert own_keys(kv) == ["component-versions/8"]
    # And then all is as it should be: one question.
    internet.log.clear()
    assert published(sample(), kv, internet).announced is None
    assert published(sample(), kv, internet, full=True).announced is None
    assert internet.log == ["GET 200", "GET 200"]


@pytest.mark.parametrize("left", range(11))
def test_a_publish_that_dies_anywhere_is_announced_by_the_next_one(internet: Internet, left: int) -> None:
    kv = MemoryKv()
    kv.left = left
    try:
        published(sample(), kv, internet)
    except KvFailed:
        assert internet.number is None
        assert VERSION_MAP not in kv.data, "the number's map is there before the map"
    kv.left = None
    published(sample(), kv, internet)
    assert internet.number == '{"generation": 8}'
    assert kv.data["component-versions/8"] == kv.data[VERSION_MAP]
    assert assert_right(kv) == 8


# At the command line


def one_live(folder: Path) -> Repo:
    repo = make(folder / "work")
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    return repo


@pytest.fixture
def repo(tmp_path: Path, internet: Internet, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """my-prompt v1.0.0, live in prod; whoever publishes has what announcing takes."""
    monkeypatch.setattr("edgit.kv.announce.PURGES", (0.0, 0.01))
    repo = copied(one_live, tmp_path)
    repo.env |= {
        "KV": str(tmp_path / "kv.sqlite3"),
        "EDGIT_ANNOUNCE_TOKEN": SECRET,
        "CLOUDFLARE_ZONE_ID": ZONE,
        "CLOUDFLARE_API_TOKEN": TOKEN,
        "CLOUDFLARE_BASE_URL": internet.url.replace("/generation", "/client/v4"),
    }
    return repo


def test_publish_announces_where_it_is_told_to(repo: Repo, internet: Internet) -> None:
    repo.edgit("publish", "--kv", "local")
    assert internet.log == []
    told = repo.edgit("publish", "--kv", "local", "--announce", internet.url).all
    assert "nothing to publish" in told
    assert f"was not announced yet at {internet.url}, and is now" in told
    answer = json.loads(
        repo.edgit("publish", "--kv", "local", "--full", "--announce", internet.url, "--format", "json").out
    )
    assert "announced" not in answer, "it was announced before"
    assert internet.number == json.dumps({"generation": answer["generation"]})


def test_the_setting_announces_every_move_that_is_published(repo: Repo, internet: Internet) -> None:
    repo.git("config", "edgit.announce", internet.url)
    repo.git("config", "edgit.kv", "local")
    repo.edgit("publish")
    before = internet.number
    repo.version("my-prompt", "v1.1.0")
    told = repo.edgit("deploy", "set", "my-prompt", "v1.1.0", "--to", "prod", "--publish").all
    assert f"announced at {internet.url}" in told
    repo.edgit("rollback", "my-prompt", "--from", "prod", "--publish")
    assert internet.number is not None
    assert before is not None
    assert json.loads(internet.number)["generation"] == json.loads(before)["generation"] + 3
    kv = LocalKv(Path(repo.env["KV"]))
    assert own_keys(kv) == [f"component-versions/{json.loads(internet.number)['generation']}"]


def test_a_publish_that_could_not_be_announced_is_told_and_exits_with_0(repo: Repo, internet: Internet) -> None:
    repo.env["EDGIT_ANNOUNCE_TOKEN"] = "another"
    told = repo.edgit("publish", "--kv", "local", "--announce", internet.url).all
    assert "published generation" in told
    assert "published and not announced" in told
    assert "answered 403 not yours" in told
    assert "another" not in told, "the token is shown nowhere"
    del repo.env["EDGIT_ANNOUNCE_TOKEN"]
    told = repo.edgit("publish", "--kv", "local", "--announce", internet.url).all
    assert "EDGIT_ANNOUNCE_TOKEN is not set" in told
