"""How long the operator's commands take, and what that grows with.

    python -m benchmarks.edgit [--sizes 100x10,1000x10,1000x50] [--json FILE] [--keep FOLDER]

For each size, components × versions, a repository is made as Edgit before 0.5 would have left it: every version and
two environments of every component an annotated tag at a commit, all packed. Each command then runs once as a process
of its own, as from a shell. Wall and CPU are seconds, and CPU counts git's processes too; the peak is the largest
process's in MiB; `git` is how many git processes the command itself started. That number must not grow, but for the
first publish, which reads a thousand files at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: 2023-11-14T22:13:20Z, when the first version was made; one follows every hour.
BEGIN, HOUR = 1_700_000_000, 3600
ENVIRONMENTS = ("prod", "staging")


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    command: str
    components: int
    versions: int
    wall: float
    cpu: float
    peak: float
    git: int


def stream(components: int, versions: int) -> Iterator[str]:
    """The repository as `git fast-import` reads it: a commit for each version of all components, and their tags."""
    names = [f"prompt-{number:04}" for number in range(components)]
    at = BEGIN
    for version in range(versions):
        who = f"Ada <ada@example.com> {at} +0000"
        yield f"commit refs/heads/main\nmark :{version + 1}\ncommitter {who}\ndata 1\nx\n"
        for name in names:
            text = f"{name} {version}\n" + "Answer in one sentence. " * 5
            yield f"M 100644 inline components/prompts/{name}.md\ndata {len(text)}\n{text}\n"
        for name in names:
            yield tag(f"{name}/v1.{version}.0", version + 1, who, f"Release {name}")
        at += HOUR
    for name in names:
        for place, environment in enumerate(ENVIRONMENTS):
            version = max(0, versions - 2 + place)
            at += 1
            message = f"Deploy {name}@v1.{version}.0 to {environment}"
            yield tag(f"{name}/{environment}", version + 1, f"Ada <ada@example.com> {at} +0000", message)


def tag(name: str, mark: int, who: str, message: str) -> str:
    """An annotated tag at a commit."""
    return f"tag components/{name}\nfrom :{mark}\ntagger {who}\ndata {len(message)}\n{message}\n"


def build(folder: Path, components: int, versions: int) -> None:
    """The repository, packed."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(folder)], check=True)
    command = ["git", "fast-import", "--quiet", "--done"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, text=True) as importing:
        assert importing.stdin is not None
        importing.stdin.writelines(stream(components, versions))
        importing.stdin.write("done\n")
    subprocess.run(["git", "checkout", "--quiet", "main"], cwd=folder, check=True)
    subprocess.run(["git", "pack-refs", "--all"], cwd=folder, check=True)


def run(folder: Path, size: tuple[int, int], label: str, arguments: Sequence[str]) -> Cost:
    """One command. Raises `SystemExit` with what it said where it fails."""
    trace = folder.parent / "trace"
    trace.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "GIT_TRACE2_EVENT": str(trace),
        "GIT_AUTHOR_NAME": "Bo",
        "GIT_AUTHOR_EMAIL": "bo@example.com",
        "GIT_COMMITTER_NAME": "Bo",
        "GIT_COMMITTER_EMAIL": "bo@example.com",
    }
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "edgit.cli", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"edgit {' '.join(arguments)} exited {process.returncode}:\n{said.read()[:2000]}")
    peak = used.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    return Cost(label, *size, wall, used.ru_utime + used.ru_stime, peak, started(trace))


def started(trace: Path) -> int:
    """How many git processes a command started itself: those that no git has begun."""
    lines = trace.read_text("utf-8", errors="replace").splitlines() if trace.exists() else []
    events = (json.loads(line) for line in lines)
    return sum(event["event"] == "start" and "/" not in event["sid"] for event in events)


def measure(folder: Path, components: int, versions: int) -> Iterator[Cost]:
    """Every command in the order of a first day: the ledger begins, then questions, moves and publishes."""
    size = (components, versions)
    name, first = f"prompt-{components // 2:04}", "v1.0.0"
    middle = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGIN + versions * HOUR + components))
    kv = f"local={folder.parent / 'kv.sqlite3'}"
    steps = [
        ("deploy get, before the ledger", ["deploy", "get", name, "--from", "prod"]),
        ("adopt", ["adopt"]),
        ("deploy get", ["deploy", "get", name, "--from", "prod"]),
        ("components list", ["components", "list"]),
        ("components list --format json", ["components", "list", "--format", "json"]),
        ("history --date", ["history", "--date", middle]),
        ("history NAME", ["history", name]),
        ("history", ["history"]),
        ("publish, the first", ["publish", "--kv", kv]),
        ("publish, nothing new", ["publish", "--kv", kv]),
        ("deploy set", ["deploy", "set", name, first, "--to", "prod"]),
        ("publish, one move", ["publish", "--kv", kv]),
        ("rollback", ["rollback", f"{name}@v1.{versions - 1}.0", "--from", "prod"]),
        ("status", ["status", "--kv", kv]),
        ("restore, a whole environment", ["restore", "--date", middle, "--from", "prod", "--to", "debug", "--yes"]),
    ]
    for label, arguments in steps:
        yield run(folder, size, label, arguments)


def table(costs: Sequence[Cost]) -> str:
    """The figures, a command a line and a size a column, and what the last size costs more than the first."""
    sizes = list(dict.fromkeys((cost.components, cost.versions) for cost in costs))
    rows = ["| | " + " | ".join(f"{c:,} × {v}: wall / CPU s, peak MiB, git" for c, v in sizes) + " |"]
    rows.append("|---" * (len(sizes) + 1) + "|")
    for label in dict.fromkeys(cost.command for cost in costs):
        cells = [cost for cost in costs if cost.command == label]
        shown = (f"{cost.wall:.2f} / {cost.cpu:.2f}, {cost.peak:.0f}, {cost.git}" for cost in cells)
        rows.append(f"| {label} | " + " | ".join(shown) + " |")
    return "\n".join(rows)


def grown(costs: Sequence[Cost]) -> list[str]:
    """The commands whose git processes grow with the repository."""
    found: dict[str, set[int]] = {}
    for cost in costs:
        found.setdefault(cost.command, set()).add(cost.git)
    return [f"{label}: {sorted(counts)} git processes" for label, counts in found.items() if len(counts) > 1]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100x10,1000x10,1000x50")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--keep", type=Path, help="a folder that the repositories stay in")
    given = parser.parse_args()
    sizes = [tuple(int(number) for number in size.split("x")) for size in given.sizes.split(",")]
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as temporary:
        for components, versions in sizes:
            folder = (given.keep or Path(temporary)) / f"{components}x{versions}"
            folder.mkdir(parents=True)
            build(folder / "work", components, versions)
            for cost in measure(folder / "work", components, versions):
                print(f"{components:,} × {versions}  {cost.command}: {cost.wall:.2f} s", file=sys.stderr)
                costs.append(cost)
    print(table(costs))
    print("\n".join(["", *grown(costs)] if grown(costs) else ["", "No command starts more git processes as it grows."]))
    if given.json:
        given.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
