"""What is bundled at deploy time, read once, before the first request: the ensembles, and a snapshot if there is one.

The snapshot is `snapshot.json` beside the ensembles' folder, for the isolate that starts while KV is down:
`{"component-versions": {…}, "rollout-percentage": 10, "generation": 7, "revision": "…"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from resolver.documents import ROLLOUT, VERSION_MAP, Snapshot, decode_map_metadata, decode_rollout, decode_version_map
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


def read_snapshot(text: str) -> Snapshot:
    """A snapshot from the text of `snapshot.json`. Raises `InvalidDocument`, `msgspec.DecodeError` or `KeyError`."""
    parts = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    metadata = decode_map_metadata(msgspec.json.decode(text))
    return Snapshot(
        pointers=decode_version_map(bytes(parts[VERSION_MAP])).value,
        rollout=decode_rollout(bytes(parts[ROLLOUT])).value,
        revision=metadata.revision,
        generation=metadata.generation,
    )


def bundled_snapshot(folder: Path = FOLDER) -> Snapshot | None:
    """The snapshot of this deployment; None where it was built without one."""
    file = folder.parent / "snapshot.json"
    return read_snapshot(file.read_text("utf-8")) if file.is_file() else None
