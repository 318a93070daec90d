"""What a person sees: at a terminal of 80 columns, in a pipe, behind the Tab key, in `--help`."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from edgit.cli import COMMANDS, main
from tests.edgit.repo import Repo, copied, make
from tests.edgit.warm import warm

ROOT = Path(__file__).parents[2]
#: How long a command may take until its test gives up, in seconds.
PATIENCE = 60.0
BRIGHT = re.compile(r"\x1b\[[0-9;]*m")


def two_components(folder: Path) -> Repo:
    """Two components with two versions each, in four environments; their KV beside them."""
    repo = make(folder / "work")
    repo.env["KV"] = str(folder / "kv.sqlite3")
    for name in ("my-prompt", "analysis-prompt"):
        for version in ("v1.0.0", "v1.1.0"):
            repo.version(name, version)
            repo.deploy(name, version)
    repo.write("components/configs/my-config.json", "{}\n")
    repo.edgit("tag", "create", "my-config", "v2.1.0")
    reason = "Customers of the north report answers in the wrong language since Tuesday, 2:47 PM"
    repo.edgit("rollback", "my-prompt", "--from", "prod", "--reason", reason)
    for environment in ("staging", "prod-us-west", "prod-eu", "prod-asia", "prod-canary", "debug", "ab-test-a"):
        repo.deploy("my-prompt", "v1.1.0", to=environment)
    repo.edgit("publish", "--kv", "local")
    repo.edgit("canary", "set", "my-prompt", "10", "--kv", "local")
    repo.write("ensembles/one.yaml", "ensemble: one\nagents:\n  - name: a\n    component: my-prompt\n")
    return repo


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """For reading only."""
    return copied(two_components, tmp_path_factory.mktemp("terminal"))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The PATH for an `edgit` that starts at once. A few tests start one that is a process from its first line on."""
    folder = tmp_path_factory.mktemp("tools")
    with warm(folder):
        yield {"PATH": f"{folder}:{os.environ['PATH']}"}


def environment(repo: Repo, **more: str) -> dict[str, str]:
    return {
        **repo.environment(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        **more,
    }


def terminal(
    repo: Repo, *arguments: str, columns: int = 80, typed: str = "", env: Mapping[str, str] | None = None
) -> str:
    """What the command shows at a terminal of its own, in which somebody types; it must exit 0."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        ["edgit", *arguments],
        cwd=repo.root,
        env=environment(repo, **(env or {})),
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    os.write(parent, typed.encode())
    shown = b""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ready, _, _ = select.select([parent], [], [], 1.0)
        try:
            part = os.read(parent, 65536) if ready else b""
        except OSError:
            break  # The other end is closed: the command has ended.
        shown += part
    os.close(parent)
    assert process.wait(PATIENCE) == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")


def piped(repo: Repo, script: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which edgit's output goes to a pipe."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=repo.root,
        env=environment(repo, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


READING = [
    "components list",
    "components list --format table",
    "history my-prompt",
    "history --date 2024-11-01T09:20:00Z --set",
    "diff --date 2024-11-01T09:04:00Z",
    "history --all",
    "tag list",
    "tag list my-prompt",
    "status --kv local",
    "canary get --kv local",
]


def words(text: str) -> set[str]:
    return {word.strip(":") for word in re.findall(r"[^\s│├└─]+", text)} - {"live", "in"}


@pytest.mark.parametrize("command", READING)
def test_80_columns_hold_every_line_and_lose_nothing(made: Repo, tools: dict[str, str], command: str) -> None:
    shown = terminal(made, *command.split(), env=tools)
    plain = BRIGHT.sub("", shown)
    # The path of the KV is this machine's, and the one long text is the operator's.
    free = [line for line in plain.splitlines() if len(line) > 80 and str(made.root.parent) not in line]
    assert [line for line in free if "Customers of" not in line] == []
    assert words(piped(made, f"edgit {command}", **tools).stdout) - words(plain) == set()


@pytest.mark.parametrize(
    "command", [*READING, "components list --format json", "--help", "deploy set nothing v1.0.0 --to prod"]
)
def test_a_pipe_has_neither_colours_nor_boxes(made: Repo, tools: dict[str, str], command: str) -> None:
    done = piped(made, f"edgit {command}", **tools)
    assert not re.search(r"[\x1b│├└─]", done.stdout + done.stderr)


def test_the_tree_at_a_terminal(made: Repo) -> None:
    shown = terminal(made, "components", "list")
    assert BRIGHT.sub("", shown).splitlines()[:3] == ["analysis-prompt (prompt)", "├── v1.1.0 [prod]", "└── v1.0.0"]
    assert "\x1b[32m [prod]\x1b[0m" in shown


def test_a_row_that_does_not_fit_keeps_its_columns(made: Repo) -> None:
    lines = BRIGHT.sub("", terminal(made, *["history", "my-prompt", "--from", "prod", "--all"])).splitlines()
    assert lines[0].split() == ["gen", "when", "who", "what"]
    place = next(place for place, line in enumerate(lines) if "my-prompt prod: v1.1.0 -> v1.0.0" in line)
    # Below the column before it, in lines of its own.
    room = " " * lines[place].index("my-prompt")
    assert lines[place + 1].startswith(f"{room}why: rollback: Customers of the north")
    assert lines[place + 2].startswith(room)


def test_no_color_is_respected(made: Repo) -> None:
    for command in ("components list", "history --all", "tag list"):
        assert not BRIGHT.search(terminal(made, *command.split(), env={"NO_COLOR": "1"}))
        assert not BRIGHT.search(terminal(made, *command.split(), env={"TERM": "dumb"}))
        assert BRIGHT.search(terminal(made, *command.split()))


def test_who_stops_reading_hears_no_complaint(made: Repo) -> None:
    done = piped(made, "edgit history --format json | head -n 1; exit ${PIPESTATUS[0]}")
    assert (done.stdout, done.stderr) == ("[\n", "")
    assert done.returncode in (0, 141)
    # Nobody reads at all: the exit code is that of a command which SIGPIPE ends.
    done = piped(made, "{ sleep 0.2; edgit history; } | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (141, "")


def test_names_of_every_script_stand_in_columns(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.env |= {f"GIT_{role}_NAME": "李雷" for role in ("AUTHOR", "COMMITTER")}
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    repo.env |= {f"GIT_{role}_NAME": "Zoë" for role in ("AUTHOR", "COMMITTER")}
    repo.version("my-prompt", "v1.1.0")
    assert repo.edgit("tag", "list", "my-prompt").out == (
        "version  made                  by    live in\n"
        "v1.1.0   2024-11-01T09:05:00Z  Zoë\n"
        "v1.0.0   2024-11-01T09:02:00Z  李雷  prod\n"
    )
    # Where there are no such letters, the others stand all the same.
    done = piped(repo, "edgit tag list my-prompt | iconv -f latin1", PYTHONIOENCODING="latin-1")
    assert "Zoë" in done.stdout
    assert "\\u674e\\u96f7  prod" in done.stdout


# Asked and not asked


def test_restore_asks_at_a_terminal(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    repo.version("my-prompt", "v1.0.0")
    repo.deploy("my-prompt", "v1.0.0")
    shown = terminal(repo, "restore", "--date", "2024-11-01T09:03:00Z", "--to", "debug", typed="y\n")
    assert "debug becomes prod as of 2024-11-01T09:03:00Z:\n  my-prompt: none -> v1.0.0\n" in BRIGHT.sub("", shown)
    assert "Move 1 pointer? [y/N]" in shown
    assert repo.live("my-prompt", "debug") == "v1.0.0"


def test_init_asks_at_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    repo = make(tmp_path / "work")
    assert "Push each move at once" not in repo.edgit("init").all
    assert repo.run("config", "edgit.autoPush").out == ""
    assert "Push each move at once" in terminal(repo, "init", typed="y\n")
    assert repo.git("config", "edgit.autoPush") == "true"
    assert "Push each move at once" not in terminal(repo, "init")


@pytest.mark.parametrize("closed", ["< /dev/null", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_trouble(tmp_path: Path, closed: str) -> None:
    repo = copied(two_components, tmp_path)
    assert piped(repo, f"edgit restore --date 2024-11-01T09:20:00Z --set --to fresh {closed}").returncode == 0
    assert repo.live("my-prompt", "fresh") == "v1.0.0"


# Completion, by bash itself

TAB = """
eval "$(_EDGIT_COMPLETE=bash_source edgit)"
COMP_WORDS=({words}) COMP_CWORD={last} COMPREPLY=()
_edgit_completion edgit
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("edgit ro", ["rollback"]),
        ("edgit deploy set ana", ["analysis-prompt"]),
        ("edgit deploy set my-prompt ", ["v1.1.0", "v1.0.0"]),
        ("edgit deploy set my-prompt v1.0.0 my", ["my-config"]),
        ("edgit deploy get my-prompt --from prod-", ["prod-asia", "prod-canary", "prod-eu", "prod-us-west"]),
        # Only where this one is live.
        ("edgit rollback analysis-prompt --from ", ["prod"]),
        ("edgit rollback analysis-prompt@", ["analysis-prompt@v1.1.0", "analysis-prompt@v1.0.0"]),
        ("edgit history my-p", ["my-prompt"]),
        ("edgit components list --format t", ["tree", "table"]),
        ("edgit publish --kv cl", ["cloudflare"]),
        ("edgit canary set ana", ["analysis-prompt"]),
    ],
)
def test_the_tab_key(made: Repo, tools: dict[str, str], line: str, offered: list[str]) -> None:
    words = line.split(" ")
    script = TAB.format(words=" ".join(f'"{word}"' for word in words), last=len(words) - 1)
    assert piped(made, script, **tools).stdout.split() == offered


def test_the_tab_key_outside_of_a_repository(tmp_path: Path) -> None:
    script = TAB.format(words='edgit deploy set ""', last=3)
    done = piped(Repo(tmp_path), script)
    assert (done.stdout.split(), done.stderr) == ([], "")


# Help


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command, with the words that name it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(main))
EXAMPLE = re.compile(r"^ *(edgit .*?)(?: {2,}.*)?$")


def examples(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [found[1] for line in joined.splitlines() if (found := EXAMPLE.match(line))]


EXAMPLES = sorted({example for command in (main, *ALL.values()) for example in examples(command.help or "")})


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_of_every_command(path: tuple[str, ...]) -> None:
    command = ALL[path]
    context = click.Context(command, info_name="edgit " + " ".join(path), terminal_width=80)
    shown = command.get_help(context)
    assert "..." not in shown.replace("[NAME VERSION]...", "").replace("NAME@VERSION...", "").replace(
        "COMPONENTS...", ""
    ).replace("ARGS]...", "").replace("]...", "")
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or (isinstance(parameter, click.Option) and parameter.help), (
            parameter.name
        )
    if not isinstance(command, click.Group):
        assert examples(command.help or ""), f"`edgit {' '.join(path)} --help` has no example"


def test_the_first_page_names_every_command() -> None:
    shown = main.get_help(click.Context(main, info_name="edgit", terminal_width=80))
    for words in COMMANDS.values():
        for name, (_, does) in words.items():
            assert re.search(rf"^  {name} +{re.escape(does)}$", shown, re.M)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_a_help_works(tmp_path: Path, example: str) -> None:
    repo = copied(two_components, tmp_path)
    repo.git("config", "edgit.kv", "local")
    remote = make(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", str(remote.root))
    arguments = shlex.split(example)[1:]
    if "http" in example:
        # Those ask the network: here they are only understood.
        command, rest = ALL[(arguments[0],)], arguments[1:]
        command.make_context(arguments[0], rest)
        return
    if example.startswith("edgit rollback"):
        repo.deploy("my-prompt", "v1.1.0")
    answer = repo.edgit(*arguments, code=None)
    if "cloudflare" in example:
        assert "CLOUDFLARE_API_TOKEN" in answer.err
    else:
        assert answer.code == 0, answer.all


def test_the_operators_page_has_every_command_and_only_options_that_are() -> None:
    page = (ROOT / "docs" / "operator.md").read_text("utf-8")
    for path, command in ALL.items():
        if not isinstance(command, click.Group):
            assert f"edgit {' '.join(path)}" in page, path
    known = {
        option for command in ALL.values() for each in command.params for option in (*each.opts, *each.secondary_opts)
    }
    foreign = {"--tags", "--first-parent", "--grep", "--namespace-id", "--remote", "--help"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page)) - known == foreign
    for example in re.findall(r"^(?:\| `)?(edgit [^`\n#]*?)(?:`.*| *#.*)?$", page, re.M):
        words = shlex.split(example)[1:]
        place = tuple(words[:2]) if tuple(words[:2]) in ALL else tuple(words[:1])
        ALL[place].make_context(" ".join(place), words[len(place) :])
