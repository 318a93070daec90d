"""docs/conductor.md: its commands run, its answers are those that come, its configuration is the example's."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conductor.world import CHANGED, EXAMPLE, OWN
from tests.edge.hosts import free_port
from tests.edge.workerd.config import ROOT

PAGE = ROOT / "docs/conductor.md"

pytestmark = pytest.mark.xdist_group("conductor")

#: Both servers at ports of the test's own, and a curl that waits for them.
PREAMBLE = """
set -eu
make() {
  case "$*" in
    *" dev "*) command make -s "$@" PORT="$PORT_OF_RESOLVER" ;;
    *" package") command make -s "$@" ;;
    *) command make -s "$@" PORT="$PORT_OF_CONDUCTOR" RESOLVER="http://127.0.0.1:$PORT_OF_RESOLVER" ;;
  esac
}
curl() {
  command curl --fail --retry 60 --retry-connrefused --retry-delay 1 "$@" >> "$ANSWERS"
}
"""


def test_the_five_minutes(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"^<!-- run -->\n```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    wanted = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]
    desk, answers = tmp_path / "desk", tmp_path / "answers"
    shutil.copytree(EXAMPLE, desk)
    (desk / "package.json").write_text('{"name": "desk", "private": true, "type": "module"}', "utf-8")
    entry = desk / "src/index.ts"
    entry.write_text(entry.read_text("utf-8").replace(CHANGED, OWN), "utf-8")
    resolver, conductor = free_port(), free_port()
    script = PREAMBLE + "".join(blocks)
    script = script.replace("localhost:8787", f"127.0.0.1:{resolver}").replace(
        "localhost:8790", f"127.0.0.1:{conductor}"
    )
    environment = {
        **os.environ,
        **{f"GIT_{who}_{what}": "ada@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RESOLVER": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        "DESK": str(desk),
        "ANSWERS": str(answers),
        "PORT_OF_RESOLVER": str(resolver),
        "PORT_OF_CONDUCTOR": str(conductor),
    }
    with (tmp_path / "said").open("w+") as said:
        command = ["bash", "-c", script]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=said, stderr=said, start_new_session=True
        )
        try:
            code = process.wait(240)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
        said.seek(0)
        assert code == 0, said.read()
    assert entry.read_text("utf-8") == (EXAMPLE / "src/index.ts").read_text("utf-8"), "one line makes it the example"
    assert [json.loads(line) for line in answers.read_text("utf-8").replace("}{", "}\n{").splitlines()] == wanted


def test_the_binding_names_the_resolvers_deployments() -> None:
    text = PAGE.read_text("utf-8")
    found = re.search(
        r"^<!-- examples/conductor/wrangler.toml -->\n```toml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
    )
    assert found
    assert (EXAMPLE / "wrangler.toml").read_text("utf-8").endswith(found[1])
    resolver = tomllib.loads((ROOT / "wrangler.toml").read_text("utf-8"))
    config = tomllib.loads((EXAMPLE / "wrangler.toml").read_text("utf-8"))
    assert config["services"] == [{"binding": "RESOLVER", "service": resolver["name"]}]
    assert config["env"].keys() == resolver["env"].keys()
    for name, environment in config["env"].items():
        # wrangler calls a Worker's environment by both names.
        assert environment["services"] == [{"binding": "RESOLVER", "service": f"{resolver['name']}-{name}"}]
