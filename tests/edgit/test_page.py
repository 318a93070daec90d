"""The page's commands, word for word, in bash (`page.sh`): against a bare remote, a local KV and a running edge."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.edgit.repo import EMAIL, NAME, SETTINGS
from tests.edgit.warm import warm

ROOT = Path(__file__).parents[2]
WANTED = ("bash", "git", "curl", "jq", "bc", "diff")

#: The page's addresses, as the test has them.
CURL = """#!/usr/bin/env bash
arguments=()
for word in "$@"; do
  word=${word/#https:\\/\\/metrics.example.com/$METRICS}
  word=${word/#https:\\/\\/api.example.com/$EDGE}
  word=${word/#https:\\/\\/prod.example.com/$METRICS\\/prod}
  word=${word/#https:\\/\\/debug.example.com/$METRICS\\/debug}
  arguments+=("$word")
done
exec "$CURL" --silent --show-error --fail --noproxy '*' "${arguments[@]}"
"""

#: `wrangler kv:key`, version 3's spelling, as the page has it, on the local KV.
WRANGLER = """#!/usr/bin/env bash
[ "$1 $3" = "kv:key --namespace-id=page" ] || { echo "wrangler: $*" >&2; exit 2; }
exec "$PYTHON" -m worker.local kv "$2" "${@:4}"
"""

VIM = """#!/usr/bin/env bash
echo fixed > "$1"
"""

SLEEP = """#!/usr/bin/env bash
exit 0
"""


class Metrics(BaseHTTPRequestHandler):
    """The page's metrics, and the application under test, which says what it was sent."""

    rate = "0.002"

    def do_GET(self) -> None:
        self._answer(Metrics.rate if self.path == "/error-rate" else f"{self.path.split('/')[1]} is up")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.path == "/error-rate":
            Metrics.rate = body
            self._answer("")
        else:
            self._answer(f"{self.path.split('/')[1]} is up: {body}")

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metrics() -> Iterator[str]:
    """An address that answers like the page's."""
    Metrics.rate = "0.002"
    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def edge(kv: Path) -> Iterator[str]:
    """A local edge over a KV file, which asks KV again for every request."""
    command = [sys.executable, "-m", "worker.local", "serve", "--port", "0", "--kv", str(kv)]
    settings = ["--var", "FRESH_FOR=0.001", "--var", "STALE_FOR=0.001", "--var", "READ_BUDGET=5"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert server.stdout is not None
        first = server.stdout.readline()
        assert "the edge answers on" in first, first
        yield first.split(" on ")[1].split(",")[0]
    finally:
        server.terminate()
        server.wait(10)


def test_every_command_of_the_page(tmp_path: Path, metrics: str) -> None:
    missing = [tool for tool in WANTED if shutil.which(tool) is None]
    assert not missing, f"the page's commands want {', '.join(missing)} on the PATH"
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("curl", CURL), ("wrangler", WRANGLER), ("vim", VIM), ("sleep", SLEEP)):
        (tools / name).write_text(text)
        (tools / name).chmod((tools / name).stat().st_mode | stat.S_IXUSR)
    kv = tmp_path / "kv.sqlite3"
    folder = tmp_path / "folder"
    folder.mkdir()
    with edge(kv) as address, warm(tools):
        # What a new KV is seeded with is the samples' world; the page's has one of its own.
        kv.unlink()
        env = {
            **{
                key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "EDGIT_", "CLOUDFLARE_"))
            },
            "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "GIT_CONFIG_GLOBAL": str(SETTINGS),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": NAME,
            "GIT_AUTHOR_EMAIL": EMAIL,
            "GIT_COMMITTER_NAME": NAME,
            "GIT_COMMITTER_EMAIL": EMAIL,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "KV": str(kv),
            "METRICS": metrics,
            "EDGE": address,
            "CURL": shutil.which("curl") or "curl",
            "PYTHON": sys.executable,
        }
        done = subprocess.run(
            ["bash", str(Path(__file__).with_name("page.sh")), str(folder)],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.endswith("all of the page\n")
