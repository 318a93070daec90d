"""What every command has in common: its words, its JSON, how soon it begins, and how it ends on Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from edgit.cli import main
from edgit.commands.bump import next_version
from edgit.commands.shapes import of_components
from tests.edgit.repo import Repo, copied
from tests.edgit.test_cli import two_components
from tests.edgit.test_terminal import ALL

ROOT = Path(__file__).parents[2]
SINGLE = [path for path, each in ALL.items() if not isinstance(each, click.Group)]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return copied(two_components, tmp_path)


# JSON


@pytest.mark.parametrize(
    "path", [path for path, each in ALL.items() if not isinstance(each, click.Group)], ids=" ".join
)
def test_every_command_answers_in_json(path: tuple[str, ...]) -> None:
    choices = [each.type for each in ALL[path].params if "--format" in each.opts]
    assert choices, f"edgit {' '.join(path)} has no --format"
    assert isinstance(choices[0], click.Choice)
    assert "json" in choices[0].choices


@pytest.mark.parametrize(
    "path", [path for path, each in ALL.items() if not isinstance(each, click.Group)], ids=" ".join
)
def test_from_and_to_name_environments(path: tuple[str, ...]) -> None:
    for each in ALL[path].params:
        if {"--from", "--to"} & set(each.opts) and not getattr(each, "hidden", False):
            assert each.type.name == "environment"
            # One environment is prod unless one is named; what is promoted is chosen.
            assert each.default == "prod" or not each.required or path == ("promote",)


@pytest.mark.parametrize(
    ("command", "code", "detail"),
    [
        ("deploy get my-promt --format json", 1, "unknown component `my-promt`. Did you mean `my-prompt`?"),
        ("tag create my-prompt v1.0.0 --format=json", 3, "my-prompt v1.0.0 exists already, and versions never change"),
        ("deploi --format json", 2, "there is no command `deploi`. Did you mean `deploy`?"),
        ("history --colour --format json", 2, "No such option '--colour'"),
        ("publish --format json", 1, "no KV is named"),
        ("log --format json", 2, "there is no command `log`; history has it"),
        ("show my-prompt@one --format json", 2, "`one` is not a version such as v1.2.3"),
    ],
)
def test_an_error_is_json_too(repo: Repo, command: str, code: int, detail: str) -> None:
    answer = repo.edgit(*command.split(), code=code)
    error = json.loads(answer.out)["error"]
    assert set(error) == {"detail", "hint", "code"}
    assert detail in error["detail"]
    assert error["code"] == code
    # Whoever reads the log of a job reads it there as well.
    assert detail in answer.err


def test_every_change_says_what_it_did(repo: Repo) -> None:
    def told(*command: str) -> tuple[str | None, list[dict[str, str]]]:
        found = json.loads(repo.edgit(*command, "--format", "json").out)
        return found["verb"], found["created"]

    assert told("tag", "bump", "my-prompt", "minor") == ("version", [{"component": "my-prompt", "version": "v1.2.0"}])
    assert told("deploy", "set", "my-prompt", "v1.2.0") == ("deploy", [])
    assert told("deploy", "set", "my-prompt", "v1.2.0") == (None, [])
    assert told("rollback", "my-prompt") == ("rollback", [])
    assert told("promote", "my-prompt", "--from", "prod", "--to", "eu") == ("promote", [])
    assert told("restore", "--date", "2024-11-01T09:04:00Z", "--to", "debug") == ("restore", [])
    assert told("deploy", "unset", "my-prompt", "--from", "debug") == ("unset", [])
    repo.git("tag", "components/my-prompt/v7.0.0", "components/my-prompt/v1.1.0^{commit}")
    assert told("adopt") == ("adopt", [{"component": "my-prompt", "version": "v7.0.0"}])


def test_init_and_snapshot_in_json(tmp_path: Path, repo: Repo) -> None:
    (tmp_path / "new").mkdir()
    new = Repo(tmp_path / "new")
    found = json.loads(new.edgit("init", "--kv", "local", "--format", "json").out)
    assert (found["made"], found["generation"], found["components"], found["kv"]) == (True, None, [], "local")
    assert not json.loads(new.edgit("init", "--format", "json").out)["made"]
    repo.edgit("publish", "--kv", "local")
    file = tmp_path / "snapshot.json"
    told = json.loads(repo.edgit("snapshot", "--kv", "local", "--output", str(file), "--format", "json").out)
    assert told == {"file": str(file), "generation": 5, "revision": json.loads(file.read_text())["revision"]}


def test_diff_of_two_lists_names_every_component_that_changed(repo: Repo, tmp_path: Path) -> None:
    for number in range(12):
        repo.write(f"components/prompts/p{number}.md", "one\n")
        repo.edgit("tag", "create", f"p{number}", "v1.0.0")
    repo.deploy("p3", "v1.0.0")
    then = f"2024-11-01T{time.strftime('%H:%M:%S', time.gmtime(repo.now))}Z"
    repo.deploy("my-prompt", "v1.0.0", "p3@v1.0.0", "p7@v1.0.0")
    (tmp_path / "now").write_text(repo.edgit("components", "list", "--format", "json").out)
    (tmp_path / "then").write_text(repo.edgit("history", "--date", then, "--format", "json").out)
    done = subprocess.run(["diff", tmp_path / "now", tmp_path / "then"], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line[0] in "<>"]
    assert [json.loads(line[2:].rstrip(","))["name"] for line in lines] == ["my-prompt", "my-prompt", "p7", "p7"]
    assert of_components({"x": None}, ["x"], {}) == [{"name": "x", "type": None, "environments": {}}]


# New questions


def test_show_of_a_version(repo: Repo) -> None:
    repo.write("ensembles/one.yaml", "ensemble: one\nagents:\n  - name: a\n    component: my-prompt@v1.1.0\n")
    repo.write("ensembles/two.yaml", "ensemble: two\nagents:\n  - name: a\n    component: my-prompt@^1.0.0\n")
    repo.write("ensembles/three.yaml", "ensemble: three\nagents:\n  - name: a\n    component: my-prompt@v1.0.0\n")
    repo.write("ensembles/bad.yaml", "ensemble: [\n")
    commit = repo.git("rev-parse", "--short=10", "components/my-prompt/v1.1.0^{commit}")
    assert repo.edgit("show", "my-prompt@1.1.0").out.splitlines() == [
        "my-prompt v1.1.0",
        "made: 2024-11-01T09:05:00Z by Ada: my-prompt v1.1.0",
        f"file: components/prompts/my-prompt.md at {commit}",
        "live in: prod",
        "referred to by: ensembles/one.yaml:4:16: my-prompt@v1.1.0",
        "referred to by: ensembles/two.yaml:4:16: my-prompt@^1.0.0",
        "",
        "my-prompt v1.1.0",
    ]
    found = json.loads(repo.edgit("show", "my-prompt@v1.0.0", "--format", "json").out)
    assert (found["content"], found["environments"], found["actor"]) == (
        "my-prompt v1.0.0\n",
        [],
        "Ada <ada@example.com>",
    )
    assert [(each["file"], each["line"]) for each in found["references"]] == [("ensembles/three.yaml", 4)]
    assert "has no version v9.0.0" in repo.edgit("show", "my-prompt@v9.0.0", code=1).err
    # The ledger keeps what a deleted tag was.
    repo.git("tag", "--delete", "components/my-prompt/v1.0.0")
    assert repo.edgit("show", "my-prompt@v1.0.0").out.endswith("\nmy-prompt v1.0.0\n")


def test_show_of_a_component(repo: Repo) -> None:
    repo.write("ensembles/one.yaml", "ensemble: one\nagents:\n  - name: a\n    component: my-prompt\n")
    assert repo.edgit("show", "my-prompt").out.splitlines() == [
        "my-prompt (prompt)",
        "  v1.1.0 [prod]",
        "  v1.0.0",
        "file: components/prompts/my-prompt.md",
        "referred to by: ensembles/one.yaml:4:16: my-prompt",
    ]
    found = json.loads(repo.edgit("show", "my-config", "--format", "json").out)
    assert (found["type"], found["path"], found["versions"]) == (
        "config",
        "components/configs/my-config.json",
        ["v2.1.0"],
    )


def test_a_version_that_is_no_text_is_shown_without_its_content(repo: Repo) -> None:
    path = repo.root / "components/prompts/latin.md"
    path.write_bytes(b"caf\xe9\n")
    repo.git("add", "--", str(path))
    repo.git("commit", "--quiet", "-m", "Latin")
    repo.git("tag", "components/latin/v1.0.0", "HEAD")
    answer = repo.edgit("show", "latin@v1.0.0")
    assert "its content is no UTF-8 text" in answer.err
    assert json.loads(repo.edgit("show", "latin@v1.0.0", "--format", "json").out)["content"] is None


def test_deploy_list_says_what_is_live_since_when_and_by_whom(repo: Repo) -> None:
    assert repo.edgit("deploy", "list").out.splitlines() == [
        "component  version  since                 by",
        "my-prompt  v1.1.0   2024-11-01T09:06:00Z  Ada",
    ]
    repo.deploy("my-config", "v2.1.0", to="staging")
    assert json.loads(repo.edgit("deploy", "list", "staging", "--format", "json").out) == [
        {"component": "my-config", "version": "v2.1.0", "at": "2024-11-01T09:10:00Z", "actor": "Ada <ada@example.com>"}
    ]
    assert (
        "nothing is live in stagin; there are prod, staging. Did you mean `staging`?"
        in repo.edgit("deploy", "list", "stagin").err
    )
    assert json.loads(repo.edgit("deploy", "list", "nowhere", "--format", "json").out) == []


@pytest.mark.parametrize(
    ("highest", "major", "minor", "patch"),
    [
        ("v1.2.3", "v2.0.0", "v1.3.0", "v1.2.4"),
        ("v1.2.3+build", "v2.0.0", "v1.3.0", "v1.2.4"),
        ("v1.2.3-rc.1", "v2.0.0", "v1.3.0", "v1.2.3"),
        ("v1.3.0-rc.1", "v2.0.0", "v1.3.0", "v1.3.0"),
        ("v2.0.0-rc.1+build-7", "v2.0.0", "v2.0.0", "v2.0.0"),
        ("v0.0.0", "v1.0.0", "v0.1.0", "v0.0.1"),
    ],
)
def test_the_next_version(highest: str, major: str, minor: str, patch: str) -> None:
    assert [next_version(highest, part) for part in ("major", "minor", "patch")] == [major, minor, patch]


def test_tag_bump_makes_the_next_version_of_the_file_as_it_is(repo: Repo) -> None:
    repo.write("components/prompts/my-prompt.md", "three\n", commit=False)
    answer = repo.edgit("tag", "bump", "my-prompt", "minor", "-m", "shorter")
    assert answer.out.startswith("made my-prompt v1.2.0 (")
    assert "committed components/prompts/my-prompt.md" in answer.err
    assert repo.git("show", "components/my-prompt/v1.2.0:components/prompts/my-prompt.md") == "three"
    assert "would make my-prompt v2.0.0" in repo.edgit("tag", "bump", "my-prompt", "major", "--dry-run").out
    repo.write("components/prompts/draft.md", "new\n")
    assert "next: edgit tag create draft v1.0.0" in repo.edgit("tag", "bump", "draft", "patch", code=1).err


# How soon a command begins

#: What takes longer to import than the shortest commands take.
SLOW = {
    "rich",
    "httpx",
    "msgspec",
    "pydantic",
    "yaml",
    "nodesemver",
    "importlib.metadata",
    "resolver.expression",
    "asyncio",
}


@pytest.mark.parametrize("command", ["--version", "--help", "deploy get my-prompt", "deploy get my-prompt --from prod"])
def test_a_short_command_imports_little(repo: Repo, command: str) -> None:
    # Without the site's own imports, which an installation that is not editable does not have.
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}; sys.argv[1:] = {command.split()!r}\n"
        "from edgit.entry import main\n"
        "try:\n main()\nfinally:\n print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=repo.root,
        env=repo.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert SLOW & set(done.stderr.split()) == set()
    assert done.stdout


def test_deploy_get_asks_git_for_one_pointer(repo: Repo, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    repo.env["GIT_TRACE"] = str(trace)
    assert repo.live("my-prompt") == "v1.1.0"
    commands = [
        line.split("built-in: ")[1].split()[1] for line in trace.read_text().splitlines() if "built-in: " in line
    ]
    assert commands == ["cat-file", "cat-file"]


def test_deploy_get_asks_so_also_of_what_another_tool_had_deployed(repo: Repo, tmp_path: Path) -> None:
    commit = repo.git("rev-parse", "components/my-prompt/v1.0.0^{commit}")
    repo.git("tag", "-a", "-m", "Deploy my-prompt@v1.0.0 to eu", "components/my-prompt/eu", commit)
    repo.edgit("adopt")
    trace = tmp_path / "trace"
    repo.env["GIT_TRACE"] = str(trace)
    assert repo.live("my-prompt", "eu") == "v1.0.0"
    assert re.findall(r"built-in: git (\S+)", trace.read_text()) == ["cat-file", "cat-file"]
    # The same words at another commit are not the same move.
    annotated = ["--force", "-a", "-m", "Deploy my-prompt@v1.0.0 to eu", "components/my-prompt/eu"]
    repo.git("tag", *annotated, "components/my-prompt/v1.1.0^{commit}")
    assert "was moved by another tool to v1.1.0" in repo.edgit("deploy", "get", "my-prompt", "--from", "eu").err


def test_deploy_get_reads_all_where_something_disagrees(repo: Repo) -> None:
    get = ("deploy", "get", "my-prompt", "--from", "prod")
    assert repo.edgit(*get).err == ""
    # Another tool moves the tag; then a tag of an older form appears.
    repo.git("tag", "--force", "components/my-prompt/prod", "components/my-prompt/v1.0.0")
    answer = repo.edgit(*get)
    assert answer.out == "v1.1.0\n"
    assert "was moved by another tool to v1.0.0; the ledger says v1.1.0" in answer.err
    repo.edgit("adopt")
    assert repo.edgit(*get).out == "v1.0.0\n"
    repo.now += 600
    repo.git(
        "tag", "-a", "-m", "Deploy my-prompt@v1.1.0 to prod", "prompts/my-prompt/prod", "components/my-prompt/v1.1.0"
    )
    assert "was moved by another tool to v1.1.0" in repo.edgit(*get).err
    repo.git("tag", "--delete", "prompts/my-prompt/prod")
    repo.git("tag", "--delete", "components/my-prompt/prod")
    answer = repo.edgit(*get)
    assert answer.out == "v1.0.0\n"
    assert "is behind the ledger" in answer.err


# Ctrl-C


@pytest.mark.parametrize("milliseconds", [20, 50, 100, 150])
@pytest.mark.parametrize("command", ["history", "deploy set my-prompt v1.0.0 --dry-run"])
def test_ctrl_c_ends_with_one_line(repo: Repo, command: str, milliseconds: int) -> None:
    # Counted from where Python hands over: before that it is the interpreter's own.
    script = "import os, sys; os.write(1, b'!'); from edgit.entry import main; main()"
    env = {**repo.environment(), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script, *command.split()],
        cwd=repo.root,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert os.read(process.stdout.fileno(), 1) == b"!"
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        code = process.wait(30)
    assert "Traceback" not in said
    if code == 0:
        # It was done already.
        assert milliseconds > 50
    else:
        assert code == 130
        assert said.split("\n")[-2:] in (["stopped", ""], ["error: stopped", ""]), said
        assert len([line for line in said.splitlines() if line]) == 1


def test_ctrl_c_while_python_ends_changes_no_exit_code(tmp_path: Path) -> None:
    script = (
        "import atexit, os, signal, sys, time\n"
        "from edgit.entry import main\n"
        "atexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(5)))\n"
        "sys.argv[1:] = ['--version']\n"
        "main()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("edgit, version ")


def test_the_first_page_has_no_former_command() -> None:
    assert "log" not in main.list_commands(click.Context(main))
