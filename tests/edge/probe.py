"""A staged Worker that also runs Python of a test's, inside the isolate, beside the real edge."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.edge.hosts import Isolate
from tests.edge.workerd.config import ROOT

#: The module's last line is what `probe` gives back, so it is an expression, which may await.
MAIN = """
import ast
import json

from worker import entry


class Default(entry.Default):
    async def probe(self, code):
        tree = ast.parse(code)
        tree.body[-1] = ast.Return(tree.body[-1].value)
        work = ast.parse("async def work(): pass")
        work.body[0].body = tree.body
        scope = {"entry": entry, "entrypoint": self}
        exec(compile(ast.fix_missing_locations(work), "probe", "exec"), scope)
        return json.dumps(await scope["work"]())
"""


def probed(folder: Path) -> Path:
    """The folder of a Worker with a probe."""
    command = [sys.executable, "deploy/stage.py", "--no-snapshot", "--into", str(folder / "staged")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    # Bytecode that was staged would be taken instead of the source.
    shutil.rmtree(folder / "staged" / "__pycache__", ignore_errors=True)
    (folder / "staged" / "main.py").write_text(MAIN, "utf-8")
    return folder / "staged"


#: Several modules may have the name of one.
SET = """
import sys
having = [module for key, module in sys.modules.items() if key.startswith("worker.") and hasattr(module, {name!r})]
for module in having:
    module.{name} = {value!r}
len(having)
"""


def set_constants(edge: Isolate, **values: float) -> None:
    """Give constants of the Worker other values. It comes before the first request, which makes the edge from them."""
    for name, value in values.items():
        assert probe(edge, SET.format(name=name, value=value)) > 0, f"no module of the Worker has {name}"


def probe(edge: Isolate, code: str) -> Any:
    """What the last line of some Python comes to in the isolate. It knows `entry`, the module, and `entrypoint`."""
    answer = edge.front.post("/rpc/probe", json=[code], params={"edge": edge.binding}, timeout=120)
    assert answer.is_success, answer.text
    return json.loads(answer.json()["result"])
