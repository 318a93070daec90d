"""The local edge as its users meet it: a server process over a KV file, and the command that edits that file."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from resolver.documents import VERSION_MAP, decode_history
from resolver.history import state_at
from resolver.instant import parse_instant
from resolver.version_map import decode_version_map
from worker.local.__main__ import main
from worker.local.seed import seed
from worker.local.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
TUESDAY = "2024-11-12T14:47:00Z"


@pytest.fixture
def kv(tmp_path: Path) -> Path:
    return tmp_path / "kv.sqlite3"


@contextmanager
def serving(kv: Path) -> Iterator[httpx.Client]:
    """A running edge whose snapshots are fresh for a tenth of a second; it must end cleanly on Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.local", "serve", "--port", "0", "--kv", str(kv), "--var", "FRESH_FOR=0.1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().split("answers on ")[1].split(",")[0]
    with httpx.Client(base_url=address, timeout=10) as client:
        yield client
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert out.rstrip().endswith("stopped")
    assert "Traceback" not in err


@pytest.fixture
def server(kv: Path) -> Iterator[httpx.Client]:
    """A running edge over a KV of the test's own."""
    with serving(kv) as client:
        yield client


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A running edge over a KV that no test changes."""
    with serving(tmp_path_factory.mktemp("seeded") / "kv.sqlite3") as client:
        yield client


def command(kv: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["kv", *arguments], env={"KV": str(kv)})


def eventually(check: Callable[[], bool], within: float = 5) -> None:
    """Ask until it is so; a value put in KV is seen by requests a little later."""
    until = time.monotonic() + within
    while not check():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.03)


def routes(client: httpx.Client, count: int) -> dict[int, str]:
    answers = {}
    for key in range(count):
        response = client.post("/resolve", json={"references": ["my-prompt@prod"], "key": key})
        answers[key] = response.raise_for_status().json()["references"][0]["route"]
    return answers


def selected(client: httpx.Client, user: Any) -> list[tuple[str, str]]:
    response = client.post("/ensembles/ab-test-historical/resolve", json={"input": {"user_id": user}})
    agents = response.raise_for_status().json()["agents"]
    return [(agent["name"], agent["references"][0]["version"]) for agent in agents if agent["selected"]]


def test_every_answer_says_what_it_took(seeded: httpx.Client) -> None:
    for path in ("/version", "/nothing"):
        assert float(seeded.get(path).headers["server-timing"].removeprefix("total;dur=")) > 0


def test_ab_test_selects_one_variant(seeded: httpx.Client) -> None:
    assert selected(seeded, 4) == [("variant-a", "v1.5.0")]
    assert selected(seeded, 7) == [("variant-b", "v1.8.0")]


def test_percentage_is_tuned_live_and_keeps_its_users(server: httpx.Client, kv: Path) -> None:
    before: set[int] = set()
    for percentage in (0, 10, 50, 100):
        # The percentage for everything stays, and the one for this component is more specific.
        command(kv, "put", "rollout-percentage", json.dumps({"*": 7, "my-prompt": percentage}))
        time.sleep(0.15)
        server.get("/version")
        time.sleep(0.15)
        canary = {key for key, route in routes(server, 200).items() if route == "canary"}
        assert before <= canary
        assert abs(len(canary) - 2 * percentage) < 25
        before = canary
    assert len(before) == 200


def test_rollback_by_hand_is_seen(server: httpx.Client, kv: Path) -> None:
    def live() -> str:
        return str(server.get("/version", params={"component": "my-prompt"}).json()["components"]["my-prompt"])

    assert live() == "v1.0.0"
    pointers = json.loads(command(kv, "get", "component-versions").stdout)
    pointers["my-prompt"]["prod"] = "v0.9.0"
    command(kv, "put", "component-versions", json.dumps(pointers))
    eventually(lambda: live() == "v0.9.0")
    answer = server.post("/resolve", json={"references": ["my-prompt"], "key": "x"}).json()
    assert answer["references"][0]["version"] == "v0.9.0"
    assert answer["snapshot"]["generation"] is None
    assert answer["snapshot"]["revision"].startswith("sha256:")


def test_nonsense_in_kv_keeps_the_last_good_state_and_says_so(server: httpx.Client, kv: Path) -> None:
    assert server.get("/health").json()["status"] == "ok"
    command(kv, "put", "component-versions", "{oops")
    eventually(lambda: server.get("/health").json()["status"] == "degraded")
    assert "component-versions" in server.get("/health").json()["last_error"]
    response = server.post("/resolve", json={"references": ["my-prompt"], "key": "x"})
    assert response.json()["references"][0]["component"] == "my-prompt"
    assert "component-versions" in response.headers["x-resolver-stale"]


def test_the_past_is_answered(seeded: httpx.Client) -> None:
    state = seeded.get("/history", params={"at": TUESDAY}).json()
    assert state == {
        "at": TUESDAY,
        "environment": "prod",
        "components": {
            "analysis-prompt": "v1.9.2",
            "extraction-prompt": "v1.0.5",
            "my-prompt": "v1.1.0",
            "transform-script": "v2.1.3",
            "validation-config": "v1.4.0",
        },
    }
    assert seeded.get("/version").json()["components"]["my-prompt"] == "v1.0.0"
    answer = seeded.post("/ensembles/canary/resolve", json={"input": {"user_id": 1}, "at": TUESDAY}).json()
    assert answer["at"] == TUESDAY
    assert answer["snapshot"]["source"] == "history"
    versions = {r["component"]: r["version"] for agent in answer["agents"] for r in agent["references"]}
    assert versions["my-prompt"] == "v1.1.0"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/resolve", "{", 400, "not JSON"),
        ("POST", "/resolve", '{"references": ["my-prompt@v1..0"]}', 400, "v1.2.3"),
        ("POST", "/resolve", '{"references": ["my-prmpt"]}', 404, "Did you mean `my-prompt`?"),
        ("POST", "/resolve", '{"references": ["my-prompt@prd"]}', 404, "it has prod, prod-asia, prod-canary"),
        ("POST", "/resolve", '{"references": ["my-prompt@^7.0.0"]}', 404, "it has v0.9.0"),
        ("POST", "/ensembles/nope/resolve", "{}", 404, "ab-test-historical"),
        ("GET", "/history?at=2024-11-12T14:47:00", "", 400, "2024-11-12T14:47:00Z"),
        ("GET", "/components/my-prompt@v7.7.7", "", 404, "v7.7.7"),
        ("GET", "/version?environment=prd", "", 404, "Did you mean `prod`?"),
        ("DELETE", "/version", "", 405, "use GET"),
        ("POST", "/resolve", " " * (1024 * 1024 + 1), 413, "1,048,576"),
    ],
)
def test_bad_input_gets_a_clear_answer(
    seeded: httpx.Client, method: str, path: str, body: str, status: int, says: str
) -> None:
    response = seeded.request(method, path, content=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert says in response.json()["detail"]


@pytest.mark.parametrize("value", ["50", "", "-5", "--", "--help", "-h", "null", "ü\n\t", '{"a": 1}', " x "])
def test_any_text_is_stored_as_it_is(kv: Path, value: str) -> None:
    result = command(kv, "put", "some-key", value)
    assert result.exit_code == 0, result.output
    assert command(kv, "get", "some-key").stdout == value


def test_editing_keys(kv: Path) -> None:
    command(kv, "put", "a/1", "x")
    command(kv, "put", "a/2", "y")
    assert command(kv, "list", "--prefix", "a/").stdout.split() == ["a/1", "a/2"]
    assert command(kv, "delete", "a/1").exit_code == 0
    assert command(kv, "list", "--prefix", "a/").stdout.split() == ["a/2"]
    missing = command(kv, "get", "a/1")
    assert missing.exit_code == 1
    assert "there is no key `a/1`" in missing.stderr
    assert command(kv, "delete", "a/1").exit_code == 1
    assert command(kv, "put", "x" * 513, "y").exit_code == 1


def test_bytes_that_are_no_text_are_refused(kv: Path) -> None:
    run = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"worker.local", b"kv", b"put", b"key", b"\xff"],
        cwd=ROOT,
        env={**os.environ, "KV": str(kv)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "not UTF-8" in run.stderr


def test_only_an_empty_store_is_seeded(kv: Path) -> None:
    first = command(kv, "list")
    assert "was empty: seeded" in first.stderr
    assert first.stdout.splitlines() == sorted(seed())
    command(kv, "put", "rollout-percentage", "77")
    again = command(kv, "get", "rollout-percentage")
    assert "seeded" not in again.stderr
    assert again.stdout == "77"


def test_what_another_writer_put_is_not_seeded_over(kv: Path) -> None:
    SqliteStore(kv).put_many([("component-versions", "{}", {"generation": 1, "revision": "first"})])
    assert command(kv, "list").stdout == "component-versions\n"


def test_a_file_that_is_no_kv_is_refused_and_left_alone(kv: Path) -> None:
    kv.write_text("something else entirely, long enough to be looked at as a file header")
    result = command(kv, "list")
    assert result.exit_code == 1
    assert "cannot be used as a KV file" in result.stderr
    assert kv.read_text().startswith("something else")


def test_a_port_in_use_is_said(kv: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["serve", "--port", str(port), "--kv", str(kv)])
    assert result.exit_code == 1
    assert f"port {port} cannot be used" in result.stderr


@pytest.mark.parametrize("variable", ["FRESH_FOR=soon", "FRESH_FOR"])
def test_a_setting_that_is_none_is_said(kv: Path, variable: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--port", "0", "--kv", str(kv), "--var", variable])
    assert result.exit_code != 0
    assert "FRESH_FOR" in result.stderr


def test_the_seed_is_the_same_every_time_and_right() -> None:
    code = "import json; from worker.local.seed import seed; print(json.dumps(seed(), sort_keys=True))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert runs == {json.dumps(seed(), sort_keys=True) + "\n"}
    decoded = decode_version_map(seed()[VERSION_MAP][0])
    assert decoded.problems == ()
    assert decoded.value["my-prompt"]["prod"] == "v1.0.0"
    assert decoded.value["my-prompt"]["prod-canary"] == "v1.1.0"
    moves = decode_history("history/my-prompt", seed()["history/my-prompt"][0]).value
    at = {
        "2024-11-01T09:14:59Z": None,
        "2024-11-01T09:15:00Z": "v0.9.0",
        "2024-11-08T10:30:00Z": "v1.0.0",
        "2024-11-12T14:45:00Z": "v1.1.0",
        "2024-11-12T14:48:59Z": "v1.1.0",
        "2024-11-12T14:49:00Z": "v1.0.0",
    }
    assert {instant: state_at(moves, parse_instant(instant)).get("prod") for instant in at} == at
