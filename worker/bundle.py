"""The ensembles that are bundled at deploy time: read and compiled once, before the first request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from resolver.ensemble import load_ensemble
from resolver.errors import InvalidEnsemble
from resolver.plan import Plan, compile_plan

#: Where the bundled ensembles lie, in the repository and in a deployment alike.
FOLDER = Path(__file__).parent.parent / "ensembles"


def compile_ensembles(texts: Mapping[str, str]) -> dict[str, Plan]:
    """Plans by the ensemble's name, from texts by file. Raises `InvalidEnsemble`, also where two files say one name."""
    plans: dict[str, Plan] = {}
    files: dict[str, str] = {}
    for file, text in sorted(texts.items()):
        ensemble = load_ensemble(text, file)
        if ensemble.name in files:
            raise InvalidEnsemble(f"`{ensemble.name}` is the name of {files[ensemble.name]} already", file=file)
        files[ensemble.name] = file
        plans[ensemble.name] = compile_plan(ensemble)
    return plans


def bundled_ensembles(folder: Path = FOLDER) -> dict[str, Plan]:
    """The plans of all `*.yaml` in the folder. Raises `InvalidEnsemble`."""
    texts = {f"{folder.name}/{path.name}": path.read_text("utf-8") for path in sorted(folder.glob("*.yaml"))}
    return compile_ensembles(texts)
