"""Stage the Worker: one folder that is what is deployed, and what is tested.

    build/worker_src/   main.py, worker/, resolver/, ensembles/, and snapshot.json where there is one
    python_modules/     the packages of deploy/requirements.txt, for CPython in WebAssembly

wrangler runs this as its build command. It bundles what lies below the folder of `main`, and `python_modules/` beside
wrangler.toml. Packages are fetched again only when requirements.txt has changed, or when they are another tool's.
Beside each module lies its bytecode (bytecode.py). A build without it is right as well, and starts half a second later.

The snapshot is the version map and the rollout table as last published, for isolates that start while KV is down. It
is `--snapshot FILE`, else the variable SNAPSHOT (wrangler's build command has no arguments), else `snapshot.json` in
the repository's root, where `edgit snapshot` writes it. One that is none stops the build, and nothing is replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploy.bytecode import sources, write_bytecode  # noqa: E402 - wrangler runs this file by its path

STAGED = ROOT / "build" / "worker_src"
MODULES = ROOT / "python_modules"
REQUIREMENTS = ROOT / "deploy" / "requirements.txt"
SNAPSHOT = ROOT / "snapshot.json"
NO_SNAPSHOT = (
    "NO SNAPSHOT in this build: an isolate that starts while KV is down answers 503.\n"
    "`edgit snapshot --kv cloudflare` writes snapshot.json; the next build takes it."
)

NO_BYTECODE = "NO BYTECODE in this build, so that the Worker starts half a second later: {}"
#: Of what packages bring along: types and descriptions, which count against the Worker's size alone.
USELESS = ("*.dist-info", "**/*.pyi", "**/py.typed")

#: For development on CPython; a Worker can use none of them.
LEFT_OUT = ("local",)
WHEELS = ["--only-binary=:all:", "--python-version", "3.14", "--implementation", "cp", "--no-deps"]


def vendor() -> bool:
    """Fill `python_modules/`; False if it was up to date."""
    stamp = MODULES / ".requirements"
    wanted = f"{REQUIREMENTS.read_text('utf-8')}# without {', '.join(USELESS)}\n"
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return False
    shutil.rmtree(MODULES, ignore_errors=True)
    lines = [line for line in wanted.splitlines() if line and not line.startswith("#")]
    # PyYAML has no wheel for WebAssembly: take that of another platform and leave its compiled part out.
    foreign = [line for line in lines if line.startswith("pyyaml==")]
    wheels = [line for line in lines if line not in foreign]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--quiet"]
    platform = ["--platform", "pyemscripten_2026_0_wasm32"]
    subprocess.run([*pip, "install", "--no-compile", "--target", MODULES, *WHEELS, *platform, *wheels], check=True)
    with tempfile.TemporaryDirectory() as folder:
        platform = ["--abi", "cp314", "--platform", "manylinux2014_x86_64"]
        subprocess.run([*pip, "download", "--dest", folder, *WHEELS, *platform, *foreign], check=True)
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(MODULES, [name for name in archive.namelist() if not name.endswith(".so")])
    for found in [file for pattern in USELESS for file in MODULES.glob(pattern)]:
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink()
    (MODULES / "pyvenv.cfg").touch()
    stamp.write_text(wanted, "utf-8")
    return True


def stage(snapshot: str, target: Path) -> str:
    """Fill the target anew, with a snapshot's text unless that is empty. Says why there is no bytecode, if so."""
    if target.exists() and any(target.iterdir()) and not (target / "main.py").is_file():
        raise SystemExit(f"deploy/stage.py: {target} holds something else than a staged Worker. Nothing was replaced.")
    # Beside it first, so that whoever reads the target sees a whole one but for an instant.
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        new = Path(folder) / target.name
        for package in ("resolver", "worker"):
            ignored = shutil.ignore_patterns("__pycache__", *LEFT_OUT)
            shutil.copytree(ROOT / package, new / package, ignore=ignored)
        shutil.copytree(ROOT / "ensembles", new / "ensembles")
        (new / "main.py").write_text('from worker.entry import Default\n\n__all__ = ["Default"]\n', "utf-8")
        if snapshot:
            (new / SNAPSHOT.name).write_text(snapshot, "utf-8")
        packages = sources(MODULES, "/session/metadata/python_modules")
        lacking = write_bytecode([*sources(new, "/session/metadata"), *packages])
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)
    return lacking


def chosen(given: Path | None) -> Path | None:
    """The snapshot's file by the order above; None where there is none."""
    if given is None and (variable := os.environ.get("SNAPSHOT")):
        given = Path(variable)
    return given or (Path(os.path.relpath(SNAPSHOT)) if SNAPSHOT.is_file() else None)


def load(file: Path) -> tuple[str, list[str]]:
    """A snapshot's text, empty where it holds no component, and what there is to say of it.

    Raises `SystemExit` where it is not a snapshot, and where the packages that read it are missing.
    """
    sys.path.insert(0, str(ROOT))
    try:
        from resolver.errors import ResolverError  # noqa: PLC0415 - a build without a snapshot needs no packages
        from worker.bundle import read_snapshot  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"deploy/stage.py: {file} cannot be checked: {sys.executable} has no `{error.name}`. Nothing was staged.\n"
            "Run `make setup`, then this with .venv/bin first on the PATH."
        ) from None
    try:
        text = file.read_text("utf-8")
        found = read_snapshot(text)
    except (OSError, UnicodeError) as error:
        raise SystemExit(f"deploy/stage.py: the snapshot cannot be read: {error}. Nothing was staged.") from None
    except ResolverError as error:
        raise SystemExit(
            f"deploy/stage.py: {file} is not a snapshot: {error.field}: {error.detail}. Nothing was staged.\n"
            "Write it anew with `edgit snapshot --kv cloudflare`, or name another: --snapshot FILE, SNAPSHOT=FILE."
        ) from None
    snapshot, problems = found.value, found.problems
    dropped = [f"DROPPED from the snapshot: {problem}" for problem in problems]
    count = sum(1 for _, pointers in snapshot.pointers.items() if pointers)
    if count == 0:
        return "", [*dropped, f"{file} holds no component."]
    generation = "none" if snapshot.generation is None else snapshot.generation
    said = f"snapshot {file}: generation {generation}, revision {snapshot.revision}, components {count}{age_of(text)}"
    return text, [*dropped, said]


def age_of(text: str) -> str:
    """How old a snapshot is, where it says so in the field `at`, an instant."""
    at = json.loads(text).get("at")
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(at)
    except (TypeError, ValueError):
        return ""
    return f", {age.days} d {age.seconds // 3600} h {age.seconds // 60 % 60} min old"


def main() -> None:
    """Vendor, stage, and say what was done."""
    parser = argparse.ArgumentParser(description="Stage the Worker for deployment.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--snapshot", type=Path, metavar="FILE", help="what isolates without KV answer from")
    which.add_argument("--no-snapshot", action="store_true", help="none, whatever lies in the repository's root")
    parser.add_argument("--into", type=Path, metavar="FOLDER", default=STAGED, help="default: build/worker_src")
    given = parser.parse_args()
    file = None if given.no_snapshot else chosen(given.snapshot)
    text, said = load(file) if file else ("", [])
    fetched = vendor()
    lacking = stage(text, given.into)
    print(f"staged {os.path.relpath(given.into)}; packages {'fetched' if fetched else 'up to date'}", *said, sep="\n")
    if not text:
        print(NO_SNAPSHOT)
    if lacking:
        print(NO_BYTECODE.format(lacking))


if __name__ == "__main__":
    main()
