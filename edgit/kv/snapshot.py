"""What a deployment bundles, from what is published."""

from __future__ import annotations

from edgit.errors import Refused
from edgit.kv.comparison import read_map, with_types
from edgit.kv.store import Kv
from resolver.documents import ROLLOUT, VERSION_MAP, decode_rollout, encode_rollout
from resolver.errors import InvalidDocument
from resolver.rollout import RolloutTable
from resolver.version_map import revision_of


def snapshot(kv: Kv) -> dict[str, object]:
    """What is published, as a deployment bundles it: `{"component-versions", "rollout-percentage", "generation",
    "revision"}`.

    Bad entries are left out, and a bad percentage is 0, as the edge would have it. Raises `KvFailed`, and `Refused`
    where there is nothing to bundle or it cannot be read.
    """
    entries = kv.get_many([VERSION_MAP, ROLLOUT])
    held, percentages = read_map(entries[VERSION_MAP]), entries[ROLLOUT]
    if held is None:
        raise Refused(f"{kv.name} holds no `{VERSION_MAP}`", hint="`edgit publish` writes one")
    if held.faults and not held.pointers:
        raise Refused(f"{kv.name}: `{VERSION_MAP}` cannot be read: {held.faults[0]}", hint="`edgit publish --replace`")
    try:
        table = decode_rollout(percentages.value).value if percentages else RolloutTable()
    except InvalidDocument as error:
        raise Refused(f"{kv.name}: `{ROLLOUT}` cannot be read: {error.detail}", hint="`edgit canary get`") from None
    return {
        VERSION_MAP: with_types(held.pointers, held.types),
        ROLLOUT: encode_rollout(table),
        "generation": held.generation,
        "revision": held.revision or revision_of(held.entry.value),
    }
