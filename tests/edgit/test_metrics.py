"""What is read from a metrics answer, and what is not: over HTTP from a local server, and from texts."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgit.guard import metrics
from edgit.guard.formats import read_text
from edgit.guard.metrics import read, source
from edgit.guard.readings import NOT_BEGUN, InvalidWatch, NoData, Rate, Reading, Subject, Totals
from edgit.guard.selectors import parse_selector

PROD = Subject("my-prompt", "prod", "v1.1.0")
CANARY = Subject("my-prompt", "prod", "v1.1.0", canary=True)
ADDRESS = "http://127.0.0.1:9/metrics"

EXPOSITION = """\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{status="200",version="v1.0.0"} 1000 1700000000000
http_requests_total{status="500",version="v1.0.0"} 7
http_requests_total{status="200",version="v1.1.0"} 1.2e2
http_requests_total{status="503",version="v1.1.0"} 3
http_requests_total_of_another{status="503"} 99
# TYPE crashes_total counter
# TYPE odd gauge
odd{note="a \\"quoted\\" } brace, and \\\\ more"} NaN
"""


@dataclass
class Server:
    """Plays its answers in turn, the last one for ever, and keeps what it was asked."""

    port: int
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/error-rate"

    def play(self, *bodies: str | bytes, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers = [(status, named, body.encode() if isinstance(body, str) else body) for body in bodies]


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            playing.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = playing.answers.pop(0) if len(playing.answers) > 1 else playing.answers[0]
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    playing = Server(http.server_port)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield playing
    http.shutdown()
    http.server_close()
    thread.join()


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """An address whose server accepts one connection and behaves badly on it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        connection, _ = listening.accept()
        with connection:
            behave(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    thread.join()
    listening.close()


def why(reading: Reading) -> str:
    assert isinstance(reading, NoData), reading
    return reading.why


def of(text: str, **options: str) -> Reading:
    """What is read from this text, without the request."""
    return read_text(source(ADDRESS, PROD, **options).format, text)


class TestNumber:
    @pytest.mark.parametrize(
        ("text", "rate"), [("0.013", 0.013), (" 0.013\n", 0.013), ("0", 0), ("1", 1), ("1.3e-2", 0.013), (".5", 0.5)]
    )
    def test_a_bare_number_is_the_rate_of_unknown_requests(self, text: str, rate: float) -> None:
        assert of(text) == Rate(rate, None)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "empty"),
            ("  \n", "empty"),
            ("NaN", "NaN"),
            ("-0.1", "never negative"),
            ("1.3", "at most 1"),
            ("+Inf", "at most 1"),
            ("1_0", "not understood: 1_0"),
            ("0.013 0.014", "not understood"),
            ("<!doctype html><p>0.013", "page of HTML"),
            ('{"rate": 0.013}', "--json-path"),
            ('{"rate": 0.0', "no whole JSON"),
            (EXPOSITION, "--errors and --requests"),
            ("null", "not understood"),
            ("\x1b[2J\x07" + "x" * 500, "not understood"),
        ],
    )
    def test_anything_else_is_no_data_and_says_what_it_is(self, text: str, said: str) -> None:
        told = why(of(text))
        assert said in told
        assert told.isprintable()
        assert len(told) < 200

    @given(st.text())
    @example("0\x1f")
    @example("\x1c0.5\x1d")
    def test_whatever_comes_is_a_rate_from_0_to_1_or_no_data(self, text: str) -> None:
        reading = of(text)
        assert isinstance(reading, NoData) or (isinstance(reading, Rate) and 0 <= reading.rate <= 1)

    @given(st.floats(0, 1))
    def test_every_rate_that_a_program_writes_is_read_as_it_was(self, rate: float) -> None:
        assert of(repr(rate)) == Rate(rate)


class TestJson:
    def test_a_path_leads_to_the_rate_and_to_the_requests(self) -> None:
        text = '{"errors": {"rate": 0.02}, "requests": 340}'
        assert of(text, json_path="errors.rate") == Rate(0.02)
        assert of(text, json_path="errors.rate", requests_path="requests") == Rate(0.02, 340)

    def test_the_answer_of_a_prometheus_query_is_read(self) -> None:
        text = '{"data": {"resultType": "vector", "result": [{"metric": {}, "value": [1700000000.1, "0.013"]}]}}'
        assert of(text, json_path="data.result[0].value[1]") == Rate(0.013)

    def test_a_query_without_a_result_is_no_data(self) -> None:
        text = '{"status":"success","data":{"resultType":"vector","result":[]}}'
        assert "nothing at `data.result[0].value[1]`" in why(of(text, json_path="data.result[0].value[1]"))

    def test_a_path_may_calculate(self) -> None:
        assert of('{"percent": 1.5}', json_path="percent / 100") == Rate(0.015)
        assert of("1.5", json_path="input / 100") == Rate(0.015)
        assert of('{"bad": 3, "all": 12}', json_path="bad / all", requests_path="all") == Rate(0.25, 12)

    @pytest.mark.parametrize("missing", ["null", '""', "[]", "false", "true", "{}", '"x"', "[3]", "NaN"])
    @pytest.mark.parametrize(
        "path", ["bad / all", "1 - bad / all", "-bad", "(bad + 0) / all", "bad % 2", "bad > 5 ? 1 : 0", "bad * 0"]
    )
    def test_what_is_missing_is_never_calculated_with(self, missing: str, path: str) -> None:
        """To JavaScript null, "", [] and false are 0: of one of these, nothing is good and nothing is bad."""
        text = f'{{"bad": {missing}, "all": 340}}'
        assert "`bad` is" in why(of(text, json_path=path))
        assert "no number to calculate with" in why(of(text, json_path=path))

    def test_a_member_that_is_not_there_is_never_calculated_with(self) -> None:
        assert "`http.bad` is not there" in why(of('{"http": {"all": 3}}', json_path="http.bad * 0 / http.all"))
        assert "`input[0].bad` is not there" in why(of("[{}]", json_path="1 - input[0].bad"))
        assert "`…` is" in why(of('{"bad": 0, "all": 0}', json_path="bad / all > 0.5 ? 1 : 0"))

    @pytest.mark.parametrize("missing", ["null", '""', "[]", "NaN"])
    def test_what_is_missing_decides_nothing(self, missing: str) -> None:
        text = f'{{"bad": 3, "all": {missing}}}'
        for path in ("all ? bad / all : 0", "all && bad", "all && 0"):
            assert "`all` is" in why(of(text, json_path=path))

    def test_what_is_taken_instead_is_said_with_the_path(self) -> None:
        assert of('{"bad": null, "all": 340}', json_path="(bad ?? 0) / all") == Rate(0)
        assert of('{"bad": null, "all": 340}', json_path="(bad || 0) / all") == Rate(0)
        assert of('{"all": 0, "bad": null}', json_path="all ? bad / all : 0") == Rate(0)
        assert of('{"ok": false}', json_path="ok ? 0 : 1") == Rate(1)
        assert of('{"ok": "up"}', json_path="ok === 'up' ? 0 : 1") == Rate(0)

    def test_texts_are_added_as_numbers_or_not_at_all(self) -> None:
        text = '{"a": "1", "b": "2"}'
        assert "joins texts" in why(of(text, json_path="0", requests_path="a + b"))
        assert of(text, json_path="0", requests_path="+a + +b") == Rate(0, 3)
        assert of(text, json_path="a / b") == Rate(0.5)

    def test_several_series_of_a_prometheus_query_are_told(self) -> None:
        series = '{"metric": {}, "value": [1, "0.5"]}'
        for kind in ("vector", "matrix"):
            text = f'{{"status": "success", "data": {{"resultType": "{kind}", "result": [{series}, {series}]}}}}'
            assert "the answer holds 2 series" in why(of(text, json_path="data.result[0].value[1]"))
        # A scalar is a list of two.
        scalar = '{"status": "success", "data": {"resultType": "scalar", "result": [1, "0.5"]}}'
        assert of(scalar, json_path="data.result[1]") == Rate(0.5)

    def test_none_of_no_requests_is_no_data(self) -> None:
        assert "NaN" in why(of('{"bad": 0, "all": 0}', json_path="bad / all", requests_path="all"))

    def test_the_whole_document_is_input(self) -> None:
        assert of('[{"rate": 0.5}]', json_path="input[0].rate") == Rate(0.5)
        assert of('{"error rate": 0.5}', json_path='input["error rate"]') == Rate(0.5)

    def test_two_counters_are_totals(self) -> None:
        text = '{"errors": 3, "requests": 1200}'
        expected = Totals({"errors": 3}, {"requests": 1200})
        assert of(text, errors_path="errors", requests_path="requests") == expected

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"error": {"rate": 0.1}}', "has no `errors`; it has: error. Did you mean `error`?"),
            ('{"errors": {}}', "nothing at `errors.rate`"),
            ('{"errors": null}', "nothing at `errors.rate`"),
            ('{"errors": {"rate": null}}', "is null, not a number"),
            ('{"errors": {"rate": true}}', "is true, not a number"),
            ('{"errors": {"rate": ""}}', 'is "", not a number'),
            ('{"errors": {"rate": [0.1]}}', "is [0.1], not a number"),
            ('{"errors": {"rate": NaN}}', "NaN"),
            ('{"errors": {"rate": "NaN"}}', "NaN"),
            ('{"errors": {"rate": 13}}', "at most 1"),
            ('{"errors": {"rate": -1e-9}}', "never negative"),
            ('{"errors": {"rate": 0.1}', "no whole JSON"),
            ("<html>log in</html>", "page of HTML"),
            ("", "empty"),
            ('{"errors": {"rate": ' + "9" * 400 + "}}", "at most 1"),
            ("[" * 5000, "nested too deep"),
            ('{"errors": {"rate": ' + "9" * 5000 + "}}", "no whole JSON"),
        ],
    )
    def test_anything_else_is_no_data_and_says_why(self, text: str, said: str) -> None:
        assert said in why(of(text, json_path="errors.rate"))

    @pytest.mark.parametrize("value", ["-1", "NaN", "Infinity", '"x"', "null"])
    def test_a_counter_that_counts_nothing_is_no_data(self, value: str) -> None:
        why(of(f'{{"errors": {value}, "requests": 5}}', errors_path="errors", requests_path="requests"))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["errors", "rate", "x"]), inner),
        )
    )
    def test_no_document_breaks_it(self, document: object) -> None:
        reading = of(json.dumps(document), json_path="errors.rate", requests_path="errors.x[0]")
        assert isinstance(reading, Rate | NoData)


class TestPrometheus:
    def test_selectors_choose_series(self) -> None:
        reading = of(EXPOSITION, errors='http_requests_total{status=~"5.."}', requests="http_requests_total")
        assert isinstance(reading, Totals)
        assert sorted(reading.errors.values()) == [3, 7]
        assert sum(reading.requests.values()) == 1130

    def test_a_version_has_its_own_figures(self) -> None:
        found = source(
            ADDRESS,
            CANARY,
            errors='http_requests_total{version="{version}", status=~"5.."}',
            requests='http_requests_total{version="{version}"}',
        )
        reading = read_text(found.format, EXPOSITION)
        assert isinstance(reading, Totals)
        assert (sum(reading.errors.values()), sum(reading.requests.values())) == (3, 123)

    @pytest.mark.parametrize(
        ("selector", "total"),
        [
            ("http_requests_total{}", 1130),
            ('http_requests_total{status="200"}', 1120),
            ("http_requests_total{status='200',}", 1120),
            ('http_requests_total{ status != "200" }', 10),
            ('http_requests_total{status!~"5.*"}', 1120),
            ('http_requests_total{status=~"5"}', 0),
            ('http_requests_total{status=~"5\\d\\d"}', 10),
            ('http_requests_total{status=~"5\\\\d\\\\d"}', 10),
            ('http_requests_total{region=""}', 1130),
            ('http_requests_total{version=~"{version}|x"}', 123),
        ],
    )
    def test_matchers(self, selector: str, total: float) -> None:
        reading = of(EXPOSITION, errors=selector, requests="http_requests_total")
        assert isinstance(reading, Totals), reading
        assert sum(reading.errors.values()) == total

    def test_a_placeholder_in_a_pattern_is_literal(self) -> None:
        text = 'r{version="v1x1y0"} 5\nr{version="v1.1.0"} 7\n'
        reading = of(text, errors='r{version=~"{version}"}', requests="r")
        assert isinstance(reading, Totals)
        assert list(reading.errors.values()) == [7]

    def test_a_counter_that_has_counted_nothing_is_0(self) -> None:
        reading = of(EXPOSITION, errors="crashes_total", requests="http_requests_total")
        assert isinstance(reading, Totals)
        assert reading.errors == {}

    @pytest.mark.parametrize(
        ("errors", "said"),
        [
            ("http_request_total", "no metric `http_request_total`. Did you mean `http_requests_total`?"),
            ('http_requests_total{statuss=~"5.."}', "label `statuss`; they have: status, version"),
            ("odd", "nan, which counts nothing"),
        ],
    )
    def test_a_selector_that_can_never_match_is_no_data(self, errors: str, said: str) -> None:
        assert said in why(of(EXPOSITION, errors=errors, requests="http_requests_total"))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "empty"),
            ("<html><body>not found", "page of HTML"),
            ('{"r": 5}', "JSON"),
            ("0.013", "a bare number"),
            ("r\n", "not understood"),
            ("r five\n", "cannot be read: r five"),
            ('r{a="b} 5\n', "cannot be read"),
            ("r 5\nr 6\n", "r twice"),
            ("r -5\n", "counts nothing"),
            ("r +Inf\n", "counts nothing"),
            ("r " + "9" * 400 + "\n", "cannot be read"),
        ],
    )
    def test_what_is_no_exposition_is_no_data(self, text: str, said: str) -> None:
        assert said in why(of(text, errors="r", requests="r"))

    @given(st.text(alphabet='r{}="a1 \n\\,#.', max_size=60))
    def test_no_text_breaks_it(self, text: str) -> None:
        reading = of(text, errors='r{a="1"}', requests="r")
        assert isinstance(reading, Totals | NoData)


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"errors": "e"},
            {"requests": "r"},
            {"errors_path": "e"},
            {"requests_path": "r"},
            {"json_path": "a", "errors_path": "b", "requests_path": "c"},
            {"json_path": "a", "errors": "e", "requests": "r"},
            {"json_path": "a b"},
            {"json_path": ""},
            {"errors": "e{", "requests": "r"},
            {"errors": "e{a=b}", "requests": "r"},
            {"errors": 'e{a="b"} 5', "requests": "r"},
            {"errors": 'e{a=~"("}', "requests": "r"},
            {"errors": "{a='b'}", "requests": "r"},
            {"errors": "rate(e[5m])", "requests": "r"},
            {"token": "a\nb"},
            {"token": "€"},
        ],
    )
    def test_what_makes_no_rate_is_refused(self, options: dict[str, str]) -> None:
        with pytest.raises(InvalidWatch) as caught:
            source(ADDRESS, PROD, **options)
        assert caught.value.exit_code == NOT_BEGUN == 6

    @pytest.mark.parametrize(
        "url", ["", "metrics.example.com", "file:///etc/passwd", "-", "ftp://x/", "http://", "http://a:b/"]
    )
    def test_only_addresses_of_the_web_are_read(self, url: str) -> None:
        with pytest.raises(InvalidWatch):
            source(url, PROD)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"json_path": "rate"},
            {"json_path": 'versions["{version}"].rate', "requests_path": "requests"},
            {"errors": 'r{version="{version}"}', "requests": "r"},
            {"errors": 'r{environment="{environment}"}', "requests": 'r{environment="{environment}"}'},
        ],
    )
    def test_a_canary_is_never_judged_by_everybodys_figures(self, options: dict[str, str]) -> None:
        with pytest.raises(InvalidWatch, match="own figures"):
            source(ADDRESS, CANARY, **options)
        assert source(ADDRESS + "?v={version}", CANARY, **options).own
        assert not source(ADDRESS, PROD, **options).own

    def test_a_placeholder_is_part_of_a_path(self) -> None:
        found = source(ADDRESS, CANARY, json_path='versions["{version}"].rate')
        assert read_text(found.format, '{"versions": {"v1.0.0": {"rate": 0.9}, "v1.1.0": {"rate": 0.1}}}') == Rate(0.1)

    def test_a_source_shows_no_secret(self) -> None:
        found = source("https://user:hush@metrics.example.com/rate?key=hush#hush", PROD, token="hush")
        assert "hush" not in repr(found)
        assert found.shown == "https://metrics.example.com/rate"

    @given(st.text(max_size=40))
    def test_no_selector_breaks_the_parser(self, text: str) -> None:
        with suppress(InvalidWatch):
            assert parse_selector(text, PROD).name


class TestRequest:
    def test_the_page_s_bare_number(self, server: Server) -> None:
        server.play("0.013\n", content_type="text/html")
        assert read(source(server.url, PROD)) == Rate(0.013)

    def test_placeholders_in_the_address_are_encoded(self, server: Server) -> None:
        server.play("0.5")
        read(source(server.url + "/{component}?v={version}&e={environment}", Subject("a/b", "prod", "v1.0.0+x")))
        assert server.asked[0][0] == "/error-rate/a%2Fb?v=v1.0.0%2Bx&e=prod"

    def test_a_token_is_sent_and_an_empty_one_is_not(self, server: Server) -> None:
        server.play("0.5")
        read(source(server.url, PROD, token=" t0ken\n"))
        read(source(server.url, PROD, token=""))
        assert [headers.get("authorization") for _, headers in server.asked] == ["Bearer t0ken", None]

    def test_a_compressed_answer_is_read(self, server: Server) -> None:
        server.play(gzip.compress(b"0.25"), content_encoding="gzip")
        assert read(source(server.url, PROD)) == Rate(0.25)

    def test_a_byte_order_mark_is_no_part_of_the_number(self, server: Server) -> None:
        server.play(b"\xef\xbb\xbf0.25")
        assert read(source(server.url, PROD)) == Rate(0.25)

    @pytest.mark.parametrize("status", [201, 204, 304, 400, 404, 429, 500, 503])
    def test_another_status_is_no_data_whatever_the_body(self, server: Server, status: int) -> None:
        server.play("" if status in (204, 304) else "0.0", status=status)
        assert str(status) in why(read(source(server.url, PROD)))

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refusal_names_the_token(self, server: Server, status: int) -> None:
        server.play("0.0", status=status)
        assert "EDGIT_METRICS_TOKEN" in why(read(source(server.url, PROD, token="hush")))

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_to_a_log_in_is_told_and_not_followed(self, server: Server, status: int) -> None:
        server.play("0.0", status=status, location="https://user:hush@login.example.com/in?next=hush")
        told = why(read(source(server.url, PROD, token="hush")))
        assert "redirect to https://login.example.com/in," in told
        assert "hush" not in told
        assert len(server.asked) == 1

    @pytest.mark.parametrize("location", ["http://a:b/", "\x7f", ""])
    def test_a_redirect_to_nowhere_is_no_data(self, server: Server, location: str) -> None:
        server.play("0.0", status=302, location=location)
        why(read(source(server.url, PROD)))

    def test_what_is_no_text_is_no_data(self, server: Server) -> None:
        server.play(b"\xff\xfe0\x00")
        assert "UTF-8" in why(read(source(server.url, PROD)))

    def test_what_is_not_compressed_as_it_says_is_no_data(self, server: Server) -> None:
        server.play("0.0", content_encoding="gzip")
        assert "broke off" in why(read(source(server.url, PROD)))

    def test_an_answer_without_end_is_not_read_to_its_end(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metrics, "LARGEST", 1024**2)
        server.play(b" " * (1024**2 + 1))
        assert "larger than 1 MiB" in why(read(source(server.url, PROD)))

    def test_an_answer_cut_off_is_no_data(self, server: Server) -> None:
        server.play("0.0", content_length="30", connection="close")
        assert "broke off" in why(read(source(server.url, PROD)))

    def test_nobody_there_is_no_data(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        told = why(read(source(f"http://user:hush@127.0.0.1:{port}/?key=hush", PROD)))
        assert "could not be reached" in told
        assert "hush" not in told

    def test_silence_is_no_data(self) -> None:
        with serving(_until_closed) as url:
            assert "within 0.2 s" in why(read(source(url, PROD), timeout=0.2))

    def test_a_byte_now_and_then_is_no_data(self) -> None:
        def drip(connection: socket.socket) -> None:
            connection.settimeout(0.02)
            for _ in range(500):
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" if _ == 0 else b"x: y\r\n")
                    if _ and not connection.recv(65536):
                        return
                except TimeoutError:
                    continue
                except OSError:
                    return

        with serving(drip) as url:
            assert "within 0.3 s" in why(read(source(url, PROD), timeout=0.3))

    def test_what_is_not_http_is_no_data(self) -> None:
        def talk(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(b"0.0\r\n\r\n")

        with serving(talk) as url:
            assert "did not answer in proper HTTP" in why(read(source(url, PROD)))


def _until_closed(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass
