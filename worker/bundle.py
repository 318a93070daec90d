"""What is bundled at deploy time, read once, before the first request: the ensembles, and a snapshot if there is one.

The snapshot is `snapshot.json` beside the ensembles' folder, for the isolate that starts while KV is down:

    {"component-versions": {…}, "rollout-percentage": 10, "generation": 7, "revision": "…"}

The first is the map and must be there. The second is the rollout table; without it no canary gets a request. The others
are the map's metadata. As in KV, a bad entry spoils only itself. Other fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from resolver.documents import ROLLOUT, VERSION_MAP, Decoded, Problem, decode_map_metadata, decode_rollout
from resolver.ensemble import load_ensemble
from resolver.entries import members, plain
from resolver.errors import InvalidDocument, InvalidEnsemble, listed
from resolver.nesting import too_deep
from resolver.plan import Plan, compile_plan
from resolver.rollout import RolloutTable
from resolver.snapshot import Snapshot
from resolver.version_map import decode_version_map, revision_of

#: The snapshot's name, in the repository and in a deployment alike.
SNAPSHOT = "snapshot.json"
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


def read_snapshot(text: str) -> Decoded[Snapshot]:
    """The snapshot that a file says, and what of it was dropped. Raises `InvalidDocument`, with the part at fault."""
    if too_deep(text):
        raise InvalidDocument("nested too deeply to be read", field=SNAPSHOT)
    found = members(plain(text))
    if found is None:
        raise InvalidDocument("not a JSON object, or broken within", field=SNAPSHOT)
    parts = {member.name: member.value for member in found}
    if VERSION_MAP not in parts:
        raise InvalidDocument(f"there is no `{VERSION_MAP}` in it; there are {listed(parts)}", field=SNAPSHOT)
    versions = parts[VERSION_MAP].decode()
    pointers = decode_version_map(versions)
    percentages = parts.get(ROLLOUT, b"null")
    rollout = Decoded(RolloutTable()) if percentages == b"null" else decode_rollout(percentages)
    written = {name: _value(parts[name]) for name in ("generation", "revision") if name in parts}
    metadata = decode_map_metadata(written)
    odd = tuple(
        Problem(SNAPSHOT, name, f"{value!r:.60} is no {name}")
        for name, value in written.items()
        if value is not None and getattr(metadata, name) is None
    )
    snapshot = Snapshot(
        pointers=pointers.value,
        types=pointers.value.types,
        rollout=rollout.value,
        revision=metadata.revision or revision_of(versions),
        generation=metadata.generation,
    )
    return Decoded(snapshot, (*pointers.problems, *rollout.problems, *odd))


def _value(text: bytes) -> object:
    """What JSON says. Where the text is not JSON, the text itself: it is no generation and no revision."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return [text.decode(errors="replace")]


def bundled_snapshot(folder: Path = FOLDER) -> Snapshot | None:
    """The snapshot of this deployment; None where it was built without one. Raises `InvalidDocument`.

    One that holds no component does not count: an isolate without KV would answer "not found" where it does not know.
    """
    file = folder.parent / SNAPSHOT
    snapshot = read_snapshot(file.read_text("utf-8")).value if file.is_file() else None
    return snapshot if snapshot and any(snapshot.pointers.values()) else None
