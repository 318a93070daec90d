"""The equipment itself: that it runs the Python that production runs, and says so where it does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.edge.workerd import python_bundle
from tests.edge.workerd.config import WRANGLER, Edge, config, written
from tests.edge.workerd.process import binary

WORKER = "from workers import WorkerEntrypoint\n\n\nclass Default(WorkerEntrypoint):\n    pass\n"


def test_the_python_is_the_one_that_the_compatibility_date_selects(tmp_path: Path) -> None:
    """Without the slot for development workerd asks for the bundle of its own choice, whose name says the version."""
    for folder in ("kv", "app", "cache"):
        (tmp_path / folder).mkdir()
    (tmp_path / "app" / "main.py").write_text(WORKER, "utf-8")
    text = config([Edge("edge", tmp_path / "app")], tmp_path / "kv")
    assert written("python_workers_development") in text
    file = tmp_path / "config.capnp"
    file.write_text(text.replace(f", {written('python_workers_development')}", ""), "utf-8")
    command = [binary(), "serve", "--import-path=/", "--experimental"]
    command += [f"--pyodide-bundle-disk-cache-dir={tmp_path / 'cache'}", str(file)]
    try:
        # It ends at once where it cannot fetch it; where it can, it serves, and the bundle lies in the cache.
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stderr
    except subprocess.TimeoutExpired:
        said = ""
    asked = said + " ".join(file.name for file in (tmp_path / "cache").iterdir())
    assert f"pyodide_{python_bundle.VERSION}_" in asked, (WRANGLER["compatibility_date"], asked)


def test_another_pyodide_is_refused_by_what_it_lacks() -> None:
    script = (python_bundle.PYODIDE / "pyodide.asm.mjs").read_text("utf-8")
    whole = python_bundle.exchanged(script)
    assert "new WebAssembly.Module(" not in whole
    for wanted, times, _ in python_bundle.EXCHANGED:
        for other in (script.replace(wanted, "", 1), script + wanted):
            with pytest.raises(SystemExit, match=f"and {times} were expected"):
                python_bundle.exchanged(other)
