"""Stage the Worker: one folder that is what is deployed, and what is tested.

    build/worker_src/   main.py, worker/, resolver/, ensembles/, and snapshot.json where one was given
    python_modules/     the packages of deploy/requirements.txt, for CPython in WebAssembly

wrangler runs this as its build command. It bundles what lies below the folder of `main`, and `python_modules/` beside
wrangler.toml. Packages are fetched again only when requirements.txt has changed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGED = ROOT / "build" / "worker_src"
MODULES = ROOT / "python_modules"
REQUIREMENTS = ROOT / "deploy" / "requirements.txt"

#: For development on CPython; a Worker can use neither.
LEFT_OUT = ("local.py", "seed.py")
WHEELS = ["--only-binary=:all:", "--python-version", "3.14", "--implementation", "cp", "--no-deps"]


def vendor() -> bool:
    """Fill `python_modules/`; False if it was up to date."""
    stamp = MODULES / ".requirements"
    wanted = REQUIREMENTS.read_text("utf-8")
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return False
    shutil.rmtree(MODULES, ignore_errors=True)
    lines = [line for line in wanted.splitlines() if line and not line.startswith("#")]
    # PyYAML has no wheel for WebAssembly: take that of another platform and leave its compiled part out.
    foreign = [line for line in lines if line.startswith("pyyaml==")]
    wheels = [line for line in lines if line not in foreign]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    platform = ["--platform", "pyemscripten_2026_0_wasm32"]
    subprocess.run([*pip, "install", "--no-compile", "--target", MODULES, *WHEELS, *platform, *wheels], check=True)
    with tempfile.TemporaryDirectory() as folder:
        platform = ["--abi", "cp314", "--platform", "manylinux2014_x86_64"]
        subprocess.run([*pip, "download", "--dest", folder, *WHEELS, *platform, *foreign], check=True)
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(MODULES, [name for name in archive.namelist() if not name.endswith(".so")])
    (MODULES / "pyvenv.cfg").touch()
    stamp.write_text(wanted, "utf-8")
    return True


def stage(snapshot: Path | None) -> None:
    """Fill `build/worker_src/` anew."""
    shutil.rmtree(STAGED, ignore_errors=True)
    for package in ("resolver", "worker"):
        ignored = shutil.ignore_patterns("__pycache__", *LEFT_OUT)
        shutil.copytree(ROOT / package, STAGED / package, ignore=ignored)
    shutil.copytree(ROOT / "ensembles", STAGED / "ensembles")
    (STAGED / "main.py").write_text('from worker.entry import Default\n\n__all__ = ["Default"]\n', "utf-8")
    if snapshot is not None:
        shutil.copyfile(snapshot, STAGED / "snapshot.json")


def main() -> None:
    """Vendor, stage, and say what was done."""
    parser = argparse.ArgumentParser(description="Stage the Worker for deployment.")
    parser.add_argument("--snapshot", type=Path, help="the version map as last published, for isolates without KV")
    snapshot: Path | None = parser.parse_args().snapshot
    fetched = vendor()
    stage(snapshot)
    with_snapshot = f"with the snapshot {snapshot}" if snapshot else "without a snapshot for isolates without KV"
    print(f"staged {STAGED.relative_to(ROOT)} {with_snapshot}; packages {'fetched' if fetched else 'up to date'}")


if __name__ == "__main__":
    main()
