"""One pointer, read by itself: a script that asks for one version must not wait for a hundred thousand tags.

Rules:

- the answer is the ledger's, and only where the pointer's own tag says the same and no other form of its name is there.
  Whatever else is the case, None: then all has to be read, and what differs is told.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgit.git.process import Git, GitFailed
from edgit.git.tags import read_tag_object
from resolver.directories import TYPES

_LEDGER = "refs/edgit/ledger"
_PLAIN = re.compile(r"[A-Za-z0-9][\w-]*(/[A-Za-z0-9][\w-]*)*", re.ASCII)


def read_live_version(folder: Path, component: str, environment: str) -> str | None:
    """The version of one pointer in the repository of a folder, where nothing disagrees about it; else None."""
    if not _PLAIN.fullmatch(component) or component.partition("/")[0] in TYPES:
        return None
    pointer = f"{_LEDGER}:components/{component}/{environment}"
    own, *others = _refs(component, environment)
    # What the repository is besides, `Git.open` would ask git two times.
    git = Git(folder, folder, "sha1")
    try:
        found = git.read([pointer, own, *others])
    except GitFailed:
        return None
    recorded, tag = found.get(pointer), found.get(own)
    if recorded is None or recorded.kind != "blob" or tag is None or tag.kind != "tag":
        return None
    if any(other in found for other in others):
        return None
    version = recorded.body.decode(errors="replace").strip()
    said = read_tag_object(tag.body)
    refs = _refs(component, version)
    if said.target_kind == "commit":
        # As Edgit wrote them: at the version's commit, with the version in the message.
        deploy, rollback = f"{component}@{version} to {environment}", f"{component} in {environment} to {version}"
        if said.message not in (f"Deploy {deploy}", f"Rollback {rollback}"):
            return None
        refs = [f"{ref}^{{commit}}" for ref in refs]
    return version if said.target in git.check(refs).values() else None


def _refs(component: str, slot: str) -> list[str]:
    """Every name that the tag of a slot may have, this tool's own first."""
    folders = [f"components/{component}", *(f"{each}/{component}" for each in TYPES)]
    folders += [f"{above}/{each}/{component}" for above in ("components", "logic") for each in TYPES]
    return [f"refs/tags/{folder}/{slot}" for folder in folders]
