"""Build what would be deployed, without deploying it, and hold its size against the budget.

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

#: The largest size, in KiB. Cloudflare takes 64 MiB on every plan, not packed (its limits page, November 2026); what is
#: small starts sooner.
BUDGET = 16 * 1024


def main() -> int:
    """Bundle, print the sizes, and return 1 when it is over the budget."""
    environment = {
        **os.environ,
        # The machine's own Node may be older than wrangler wants.
        "PATH": f"{TOOLS}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "WRANGLER_SEND_METRICS": "false",
    }
    command = [TOOLS / "wrangler", "deploy", "--dry-run", "--env", "", "--outdir", "build/bundle"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    size = re.search(r"Total Upload: ([0-9.]+) KiB / gzip: ([0-9.]+) KiB", run.stdout)
    said = re.findall(r"^\[custom build\] (?!Running)(.+)$", run.stdout + run.stderr, re.MULTILINE)
    if run.returncode or size is None:
        # Where the stage says why, the rest is wrangler's own inside.
        refused = any(line.startswith("deploy/stage.py: ") for line in said)
        print(*(said if refused else (run.stdout, run.stderr)), sep="\n", file=sys.stderr)
        return 1
    print(*said, sep="\n")
    whole, packed = float(size[1]), float(size[2])
    verdict = "within" if whole <= BUDGET else "OVER"
    sizes = f"{whole:,.0f} KiB, {packed:,.0f} KiB packed"
    print(f"build/bundle: {sizes}; {verdict} the budget of {BUDGET:,} KiB (deploy/bundle.py)")
    return 0 if whole <= BUDGET else 1


if __name__ == "__main__":
    sys.exit(main())
