"""The workflows: what they run exists, and what they promise stands in them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from edgit.cli import main

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"


def workflow(name: str) -> dict[Any, Any]:
    """A workflow; YAML 1.1 reads its `on` as true."""
    found: dict[Any, Any] = yaml.safe_load((WORKFLOWS / name).read_text("utf-8"))
    return found


def commands() -> list[str]:
    text = "".join((WORKFLOWS / name).read_text("utf-8") for name in ("publish.yml", "guard.sh"))
    return re.findall(r"^(?!\s*#).*?\b(edgit (?:[a-z]+))\b", text, re.MULTILINE)


def test_the_commands_of_the_workflow_exist() -> None:
    found = commands()
    assert {"edgit pull", "edgit adopt", "edgit status", "edgit publish", "edgit guard"} <= set(found)
    for command in set(found):
        assert CliRunner().invoke(main, [command.split()[1], "--help"]).exit_code == 0, command


def test_every_option_that_they_give_exists() -> None:
    text = "".join((WORKFLOWS / name).read_text("utf-8") for name in ("publish.yml", "guard.sh")).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if re.search(r"\bedgit [a-z]+ ", line) and "#" not in line]
    assert lines
    for line in lines:
        name = re.findall(r"\bedgit ([a-z]+)", line)[0]
        help_ = CliRunner().invoke(main, [name, "--help"]).output
        for option in re.findall(r"(?<= )--[a-z-]+", line.split("edgit", 1)[1]):
            assert option in help_, f"{name} {option}"


def test_publishing_is_started_three_ways_and_runs_alone() -> None:
    found = workflow("publish.yml")
    assert set(found[True]) == {"workflow_dispatch", "push", "schedule"}
    assert found["concurrency"] == {"group": "publish", "cancel-in-progress": False}
    steps = found["jobs"]["publish"]["steps"]
    assert steps[0]["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    runs = "\n".join(step.get("run", "") for step in steps)
    assert runs.index("edgit pull") < runs.index("edgit status") < runs.index("edgit publish")


def test_tests_run_on_each_push_on_every_python_that_is_supported() -> None:
    found = workflow("test.yml")
    assert {"push", "pull_request"} <= set(found[True])
    assert found["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert "bash .ci/run" in [step.get("run") for step in found["jobs"]["test"]["steps"]]


@pytest.mark.parametrize(
    ("codes", "ends"),
    [
        ("0 0", 0),
        ("0 1", 1),
        ("1 0", 1),
        ("2 0", 2),
        ("2 1", 1),
        ("1 2", 1),
        ("1 5 0", 5),
        ("5 1", 5),
        ("6 2", 6),
        ("2 6", 6),
        ("6 1", 1),
        ("1 6", 1),
        ("6 5", 5),
    ],
)
def test_the_worst_outcome_of_the_guards_is_what_the_step_ends_with(tmp_path: Path, codes: str, ends: int) -> None:
    names = [f"component-{place}" for place in range(len(codes.split()))]
    fake = tmp_path / "edgit"
    cases = " ".join(f"{name}) exit {code};;" for name, code in zip(names, codes.split(), strict=True))
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$2" in {cases} esac\n', "utf-8")
    fake.chmod(0o755)
    jq = tmp_path / "jq"
    jq.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(names) + "\n", "utf-8")
    jq.chmod(0o755)
    done = subprocess.run(
        ["bash", WORKFLOWS / "guard.sh", "status.json"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "METRICS_URL": "http://127.0.0.1/rate"},
        check=False,
    )
    assert done.returncode == ends
    assert len((tmp_path / "asked").read_text("utf-8").splitlines()) == len(names)
