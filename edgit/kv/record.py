"""The names of KVs: the file of a local one, and where git keeps the record of what was published to each.

It stands apart from the KVs themselves: who asks what ran needs no connection, and must not wait for one to be made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

#: Where the local edge keeps its KV.
LOCAL_FILE = ".local/kv.sqlite3"
NAMESPACE = "CLOUDFLARE_KV_NAMESPACE_ID"


def local_path(target: str, environment: Mapping[str, str]) -> Path | None:
    """The file that `local` ($KV, else the local edge's) or `local=PATH` names; None for another target."""
    kind, _, path = target.partition("=")
    if target == "local":
        return Path(environment.get("KV") or LOCAL_FILE)
    return Path(path) if kind == "local" and path else None


def setting_here(setting: str, root: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """A target whose path is relative to one folder, as it is to be given in another one."""
    kind, _, path = setting.partition("=")
    if kind != "local" or folder == root or (not path and environment.get("KV")):
        return setting
    return f"local={os.path.relpath(root / (path or LOCAL_FILE), folder)}"


def local_record(path: Path) -> str:
    """The record of a file: it is one of this machine's, and is shared with nobody."""
    return f"local/{sha256(str(path.resolve()).encode()).hexdigest()[:12]}"


def cloudflare_record(namespace: str) -> str:
    """The record of a namespace."""
    return f"cloudflare/{namespace}"


def record_name(target: str, environment: Mapping[str, str], folder: Path) -> str | None:
    """The record of a target, whose path counts from `folder`; None where variables that name it are not set."""
    if path := local_path(target, environment):
        return local_record(folder / path)
    namespace = environment.get(NAMESPACE, "").strip()
    return cloudflare_record(namespace) if target == "cloudflare" and namespace else None
