"""Build what would be deployed, without deploying it, and hold its sizes against their budgets.

wrangler stages the Worker (its build command is deploy/stage.py) and packs it. A dry run does not import anything: that
the bundle works is shown by `tests/edge/`, which runs the same staged folder. What the stage says is printed, above all
which snapshot the build carries.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "deploy" / "node_modules" / ".bin"

#: The largest sizes, in KiB. Cloudflare takes 64 MiB as uploaded on every plan. Since 2026-09-04 nothing limits the
#: packed size. Both budgets are far below: a large Worker starts later, and growth should be noticed.
BUDGET = 16 * 1024
PACKED_BUDGET = 5 * 1024


def main() -> int:
    """Bundle, print the sizes, and return 1 when one is over its budget."""
    environment = {
        **os.environ,
        # The machine's own Node may be older than wrangler wants.
        "PATH": f"{TOOLS}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "WRANGLER_SEND_METRICS": "false",
    }
    command = [str(TOOLS / "wrangler"), "deploy", "--dry-run", "--env", "", "--outdir", "build/bundle"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    size = re.search(r"Total Upload: ([0-9.]+) KiB / gzip: ([0-9.]+) KiB", run.stdout)
    said = re.findall(r"^\[custom build\] (?!Running)(.+)$", run.stdout + run.stderr, re.MULTILINE)
    if run.returncode or size is None:
        # Where the stage says why, the rest is wrangler's own inside.
        refused = any(line.startswith("deploy/stage.py: ") for line in said)
        print(*(said if refused else (run.stdout, run.stderr)), sep="\n", file=sys.stderr)
        return 1
    print(*said, sep="\n")
    sizes = (("", float(size[1]), BUDGET), (" packed", float(size[2]), PACKED_BUDGET))
    for how, found, budget in sizes:
        verdict = "within" if found <= budget else "OVER"
        print(f"build/bundle: {found:,.0f} KiB{how}, {verdict} the budget of {budget:,} KiB (deploy/bundle.py)")
    return 0 if all(found <= budget for _, found, budget in sizes) else 1


if __name__ == "__main__":
    sys.exit(main())
