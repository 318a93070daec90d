"""workerd's configuration: staged Workers in Python over one KV, and what is bound to them.

    socket "edge"  ─> edge (Python) ─ KV ─> gate.js ─> Miniflare's KV ─> a folder
    socket "front" ─> front.js ─ service binding, RPC and fetch ─> edge

KV is Miniflare's own Worker, from npm, behind the platform's own binding. `cf` of a request to the edge's socket is
what its header `x-host-cf` says.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
MINIFLARE = HERE.parent / "node_modules" / "miniflare" / "dist" / "src" / "workers"
MODULES = ROOT / "python_modules"
STAGED = ROOT / "build" / "worker_src"
WRANGLER = tomllib.loads((ROOT / "wrangler.toml").read_text("utf-8"))

#: Of the equipment's own Workers.
_DATE = "2026-07-01"
#: Of Miniflare's Workers: those that Miniflare itself gives them.
_MINIFLARE_DATE = "2023-07-24"


@dataclass(frozen=True)
class Embed:
    """The content of a file."""

    path: Path


@dataclass(frozen=True)
class Edge:
    """A staged Worker in Python: its folder, its variables, and whether KV is bound to it."""

    name: str = "edge"
    folder: Path = STAGED
    variables: Mapping[str, str] = field(default_factory=dict)
    bound: bool = True


def written(value: Any) -> str:
    """A value in Cap'n Proto's text form."""
    match value:
        case None:
            return "void"
        case bool():
            return "true" if value else "false"
        case Embed(path):
            return f"embed {json.dumps(str(path.resolve()))}"
        case str():
            return json.dumps(value)
        case Mapping():
            return f"({', '.join(f'{name} = {written(found)}' for name, found in value.items())})"
        case Sequence():
            return f"[{', '.join(map(written, value))}]"
    raise TypeError(value)


def config(
    edges: Sequence[Edge], state: Path, services: Sequence[Any] = (), sockets: Mapping[str, str] | None = None
) -> str:
    """The text of the configuration. `state` is KV's folder; `sockets` adds addresses for further services."""
    bindings = [{"name": edge.name.upper().replace("-", "_"), "service": edge.name} for edge in edges]
    front = [
        *bindings,
        {"name": "KV", "kvNamespace": "kv-store"},
        {"name": "LEVERS", "service": {"name": "gate", "entrypoint": "Levers"}},
        {"name": "EVAL", "unsafeEval": None},
    ]
    whole = {
        "services": [
            *({"name": edge.name, "worker": _python(edge)} for edge in edges),
            {"name": "front", "worker": script(HERE / "front.js", front)},
            {"name": "gate", "worker": script(HERE / "gate.js", [{"name": "STORE", "service": "kv-store"}])},
            *_kv(state),
            *services,
        ],
        "sockets": [
            {
                "name": name,
                "address": "127.0.0.1:0",
                "http": {"cfBlobHeader": "x-host-cf"} if service in {edge.name for edge in edges} else {},
                "service": service,
            }
            for name, service in {
                **{edge.name: edge.name for edge in edges},
                "front": "front",
                **(sockets or {}),
            }.items()
        ],
        "extensions": [
            {
                "modules": [
                    {"name": "miniflare:shared", "esModule": Embed(MINIFLARE / "shared" / "index.worker.js")},
                    {"name": "miniflare:zod", "esModule": Embed(MINIFLARE / "shared" / "zod.worker.js")},
                ]
            }
        ],
    }
    return f'using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = {written(whole)};\n'


def _python(edge: Edge) -> dict[str, Any]:
    variables = [{"name": name, "text": text} for name, text in edge.variables.items()]
    kv = [{"name": "KV", "kvNamespace": "gate"}] if edge.bound else []
    return {
        "modules": modules(edge.folder),
        "compatibilityDate": WRANGLER["compatibility_date"],
        "compatibilityFlags": [*WRANGLER["compatibility_flags"], "python_workers_development", "experimental"],
        "bindings": [*variables, *kv],
        "globalOutbound": {"name": "gate", "entrypoint": "Outside"},
    }


def modules(folder: Path) -> list[dict[str, Any]]:
    """The staged Worker's files and its packages', as wrangler uploads them; the main one first."""
    files = [(file.relative_to(folder), file) for file in sorted(folder.rglob("*"))]
    files += [(Path("python_modules") / file.relative_to(MODULES), file) for file in sorted(MODULES.rglob("*"))]
    main = Path("main.py")
    files.sort(key=lambda file: file[0] != main)
    return [{"name": str(name), _kind(name): Embed(file)} for name, file in files if file.is_file()]


def _kind(name: Path) -> str:
    if name.suffix == ".py":
        return "pythonModule"
    # wrangler.toml's rules: the samples and the snapshot are text, and everything else is bytes.
    return "text" if name.suffix == ".yaml" or name.name == "snapshot.json" else "data"


def script(file: Path, bindings: Sequence[Any] = ()) -> dict[str, Any]:
    """A Worker in JavaScript of one file."""
    return {
        "modules": [{"name": file.name, "esModule": Embed(file)}],
        "compatibilityDate": _DATE,
        "compatibilityFlags": ["experimental"],
        "bindings": list(bindings),
    }


def _kv(state: Path) -> list[dict[str, Any]]:
    """Miniflare's KV, as Miniflare itself configures it: an object for the namespace, and a folder for its values."""
    name = "KVNamespaceObject"
    entry = {
        "modules": [{"name": "entry.js", "esModule": Embed(MINIFLARE / "shared" / "object-entry.worker.js")}],
        "compatibilityDate": _MINIFLARE_DATE,
        "bindings": [
            {"name": "MINIFLARE_NAMESPACE", "text": "KV"},
            {"name": "MINIFLARE_OBJECT", "durableObjectNamespace": {"className": name, "serviceName": "kv-object"}},
        ],
    }
    of_object = {
        "modules": [{"name": "namespace.js", "esModule": Embed(MINIFLARE / "kv" / "namespace.worker.js")}],
        "compatibilityDate": _MINIFLARE_DATE,
        "compatibilityFlags": ["nodejs_compat", "experimental"],
        "durableObjectNamespaces": [{"className": name, "uniqueKey": f"miniflare-{name}"}],
        "durableObjectStorage": {"localDisk": "kv-folder"},
        "bindings": [{"name": "MINIFLARE_BLOBS", "service": "kv-folder"}],
    }
    return [
        {"name": "kv-store", "worker": entry},
        {"name": "kv-object", "worker": of_object},
        {"name": "kv-folder", "disk": {"path": str(state.resolve()), "writable": True}},
    ]
