"""The staging of the Worker: which snapshot a build carries, and which it refuses before it replaces anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resolver.errors import InvalidDocument
from worker.bundle import bundled_snapshot, read_snapshot

ROOT = Path(__file__).parents[2]
STAGE = ROOT / "deploy/stage.py"
WHOLE = {
    "component-versions": {"my-prompt": {"prod": "v1.0.0", "prod-canary": "v1.1.0"}, "rules": {"prod": "v2.0.0"}},
    "rollout-percentage": {"*": 10, "rules": 0.5},
    "generation": 7,
    "revision": "abc",
}


def stage(
    target: Path, *given: str, code: int = 0, variable: str | None = None, script: Path = STAGE
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "SNAPSHOT"}
    if variable is not None:
        environment["SNAPSHOT"] = variable
    command = [sys.executable, str(script), *given, "--into", str(target)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    return run


def written(folder: Path, snapshot: object, name: str = "given.json") -> str:
    file = folder / name
    file.write_text(snapshot if isinstance(snapshot, str) else json.dumps(snapshot), "utf-8")
    return str(file)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# What the Worker reads


def test_a_snapshot_is_the_map_the_table_and_the_metadata() -> None:
    decoded = read_snapshot(json.dumps(WHOLE))
    snapshot = decoded.value
    assert decoded.problems == ()
    assert {name: dict(pointers) for name, pointers in snapshot.pointers.items()} == WHOLE["component-versions"]
    assert (snapshot.generation, snapshot.revision) == (7, "abc")
    assert snapshot.rollout is not None
    assert {name: str(value) for name, value in snapshot.rollout.entries.items()} == {"*": "10", "rules": "0.5"}


@pytest.mark.parametrize("revision", [None, {}, {"revision": None}, {"revision": 7}])
def test_without_a_revision_it_is_the_maps_own(revision: dict[str, object] | None) -> None:
    one = {"component-versions": WHOLE["component-versions"]} | (revision or {})
    snapshot = read_snapshot(json.dumps(one)).value
    assert snapshot.revision is not None
    assert snapshot.revision.startswith("sha256:")
    assert snapshot.revision == read_snapshot(json.dumps(one | {"generation": 3})).value.revision
    other = one | {"component-versions": {"rules": {"prod": "v2.0.0"}}}
    assert snapshot.revision != read_snapshot(json.dumps(other)).value.revision


@pytest.mark.parametrize("table", [{}, {"rollout-percentage": None}])
def test_without_a_table_no_canary_has_a_request(table: dict[str, object]) -> None:
    decoded = read_snapshot(json.dumps({"component-versions": WHOLE["component-versions"]} | table))
    assert decoded.problems == ()
    assert decoded.value.rollout is not None
    assert not decoded.value.rollout.entries


def test_what_is_bad_is_named_and_spoils_itself_alone() -> None:
    odd = {
        "component-versions": {"my-prompt": {"prod": "v1.0.0", "staging": 7}, "rules": None, "": {"prod": "x"}},
        "rollout-percentage": {"my-prompt": 5, "*": "most"},
        "generation": "seven",
        "revision": ["abc"],
        "written_by": "a newer edgit",
    }
    decoded = read_snapshot(json.dumps(odd))
    assert dict(decoded.value.pointers["my-prompt"]) == {"prod": "v1.0.0"}
    assert decoded.value.generation is None
    said = "\n".join(map(str, decoded.problems))
    for entry in ("my-prompt.staging", "rules", "*", "generation", "revision"):
        assert f": {entry}: " in said
    assert "written_by" not in said


def test_what_no_json_can_hold_spoils_one_entry_of_the_snapshot() -> None:
    text = """\ufeff{"component-versions": {"a": {"prod": "v1.0.0"}, "b": NaN},
        "rollout-percentage": {"a": NaN, "*": 5}, "generation": NaN, "revision": "built"}"""
    decoded = read_snapshot(text)
    assert dict(decoded.value.pointers) == {"a": {"prod": "v1.0.0"}}
    assert (decoded.value.generation, decoded.value.revision) == (None, "built")
    assert {problem.entry for problem in decoded.problems} == {"a", "b", "generation"}


BAD: list[tuple[str, str]] = [
    ("", "snapshot.json: not a JSON object"),
    ("{", "snapshot.json: not a JSON object"),
    ("[]", "snapshot.json: not a JSON object"),
    ("null", "snapshot.json: not a JSON object"),
    ("{} {}", "snapshot.json: not a JSON object"),
    ("{}", "snapshot.json: there is no `component-versions` in it; there are none"),
    ('{"components": {}}', "snapshot.json: there is no `component-versions` in it; there are components"),
    ('{"component-versions": null}', "component-versions: not a JSON object"),
    ('{"component-versions": "v1.0.0"}', "component-versions: not a JSON object"),
    ('{"component-versions": {}, "rollout-percentage": "most"}', "rollout-percentage: `most` is not a percentage"),
    ('{"component-versions": {}, "rollout-percentage": 101}', "rollout-percentage: "),
    ('{"component-versions": {}, "rollout-percentage": [10]}', "rollout-percentage: "),
    ('{"component-versions": ' + "[" * 5000 + "]" * 5000 + "}", "snapshot.json: nested too deeply"),
]


@pytest.mark.parametrize(("text", "says"), BAD, ids=range(len(BAD)))
def test_what_is_no_snapshot_says_where(text: str, says: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_snapshot(text)
    assert f"{caught.value.field}: {caught.value.detail}".startswith(says)


def test_a_deployment_has_one_or_none(tmp_path: Path) -> None:
    (tmp_path / "ensembles").mkdir()
    assert bundled_snapshot(tmp_path / "ensembles") is None
    written(tmp_path, WHOLE, "snapshot.json")
    found = bundled_snapshot(tmp_path / "ensembles")
    assert found is not None
    assert found.generation == 7
    # One that knows nothing would answer "not found" to everything.
    empty: list[dict[str, object]] = [{}, {"my-prompt": {}}]
    for pointers in empty:
        written(tmp_path, {"component-versions": pointers}, "snapshot.json")
        assert bundled_snapshot(tmp_path / "ensembles") is None


# What is staged


def test_the_whole_worker_is_staged_and_nothing_of_the_local_edge(tmp_path: Path) -> None:
    stage(tmp_path / "out", "--no-snapshot")
    staged = contents(tmp_path / "out")
    assert {"main.py", "worker/entry.py", "worker/bundle.py", "resolver/plan.py"} <= staged.keys()
    assert sum(name.startswith("ensembles/") for name in staged) == len(list(ROOT.glob("ensembles/*.yaml")))
    assert not {"worker/local/server.py", "worker/local/seed.py", "snapshot.json"} & staged.keys()
    assert not [name for name in staged if name.startswith("edgit")]
    # No bytecode but of the Worker's own Python.
    assert not [name for name in staged if "__pycache__" in name and not name.endswith(".cpython-314.pyc")]


def test_a_build_says_which_snapshot_it_carries(tmp_path: Path) -> None:
    run = stage(tmp_path / "out", "--snapshot", written(tmp_path, WHOLE))
    assert "generation 7, revision abc, components 2" in run.stdout
    assert "old" not in run.stdout
    assert "NO SNAPSHOT" not in run.stdout
    assert json.loads((tmp_path / "out/snapshot.json").read_text("utf-8")) == WHOLE


@pytest.mark.parametrize(("at", "says"), [("2024-11-12T14:47:00Z", " min old"), ("Tuesday", ""), (7, ""), (None, "")])
def test_its_age_is_said_where_it_is_known(tmp_path: Path, at: object, says: str) -> None:
    run = stage(tmp_path / "out", "--snapshot", written(tmp_path, WHOLE | {"at": at}))
    (line,) = [line for line in run.stdout.splitlines() if "generation 7" in line]
    assert line.endswith(says or "components 2")


def test_a_build_without_one_says_so_loudly(tmp_path: Path) -> None:
    for given in (["--no-snapshot"], ["--snapshot", written(tmp_path, {"component-versions": {}})]):
        run = stage(tmp_path / "out", *given)
        assert "NO SNAPSHOT in this build" in run.stdout
        assert "snapshot.json" not in contents(tmp_path / "out")


def test_what_is_dropped_is_said(tmp_path: Path) -> None:
    odd = {"component-versions": {"my-prompt": {"prod": "v1.0.0", "staging": 7}}}
    run = stage(tmp_path / "out", "--snapshot", written(tmp_path, odd))
    assert "DROPPED from the snapshot: component-versions: my-prompt.staging" in run.stdout
    assert "generation none, revision sha256:" in run.stdout


def test_the_order_is_argument_variable_file_in_the_root(tmp_path: Path) -> None:
    # A root of its own, so that nothing is written into the repository's.
    root = tmp_path / "root"
    (root / "deploy").mkdir(parents=True)
    (root / "python_modules").mkdir()
    of_deploy = [
        f"deploy/{name}" for name in ("__init__.py", "bytecode.py", "compile.mjs", "requirements.txt", "stage.py")
    ]
    for name in ("worker", "resolver", "ensembles", *of_deploy):
        source = ROOT / name
        (root / name).symlink_to(source) if source.is_dir() else (root / name).write_bytes(source.read_bytes())
    (root / "python_modules/.requirements").write_bytes((ROOT / "python_modules/.requirements").read_bytes())
    script = root / "deploy/stage.py"
    by_argument = written(tmp_path, WHOLE | {"revision": "argument"}, "a.json")
    by_variable = written(tmp_path, WHOLE | {"revision": "variable"}, "v.json")
    assert "NO SNAPSHOT" in stage(tmp_path / "out", script=script).stdout
    written(root, WHOLE | {"revision": "root"}, "snapshot.json")
    assert "revision root" in stage(tmp_path / "out", script=script).stdout
    assert "revision root" in stage(tmp_path / "out", script=script, variable="").stdout
    assert "revision variable" in stage(tmp_path / "out", script=script, variable=by_variable).stdout
    given = stage(tmp_path / "out", "--snapshot", by_argument, script=script, variable=by_variable)
    assert "revision argument" in given.stdout
    none = stage(tmp_path / "out", "--no-snapshot", script=script, variable=by_variable)
    assert "NO SNAPSHOT" in none.stdout


@pytest.mark.parametrize("text", ["{", "{}", '{"component-versions": []}', "\xff"])
def test_what_is_no_snapshot_stops_the_build_before_anything_is_replaced(tmp_path: Path, text: str) -> None:
    stage(tmp_path / "out", "--snapshot", written(tmp_path, WHOLE))
    before = contents(tmp_path / "out")
    bad = tmp_path / "bad.json"
    bad.write_bytes(text.encode("latin-1"))
    run = stage(tmp_path / "out", "--snapshot", str(bad), code=1)
    assert str(bad) in run.stderr or "cannot be read" in run.stderr
    assert "Nothing was staged" in run.stderr
    assert contents(tmp_path / "out") == before


def test_a_snapshot_that_is_not_there_stops_the_build(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.json")
    for run in (
        stage(tmp_path / "out", "--snapshot", missing, code=1),
        stage(tmp_path / "out", variable=missing, code=1),
    ):
        assert "missing.json" in run.stderr
        assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    run = stage(tmp_path, "--no-snapshot", code=1)
    assert "holds something else" in run.stderr
    assert contents(tmp_path) == {"notes.txt": b"mine"}
