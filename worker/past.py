"""The state at an instant, read from the histories in KV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial

from resolver.documents import (
    ROLLOUT_HISTORY,
    RolloutChange,
    decode_history,
    decode_index,
    decode_rollout_history,
    history_key,
    index_key,
)
from resolver.history import snapshot_at
from resolver.reference import Reference
from resolver.snapshot import Snapshot
from worker.kv import Store, list_keys, read
from worker.met import MetProblems


async def read_past(
    references: Iterable[Reference], at: datetime, store: Store, timeout: float, met: MetProblems
) -> Snapshot:
    """The snapshot of that instant: the pointers of the components that are named, and the lists that are needed.

    Raises `KvFailed`, and `InvalidDocument` for a history that cannot be read.
    """
    references = list(references)
    names = dict.fromkeys(name for reference in references for name in keys_of(reference))
    listing = [r for r in references if r.selector and r.selector.kind in ("range", "latest", "stable")]
    ranged = sorted({name for reference in listing for name in keys_of(reference)})
    keys = [ROLLOUT_HISTORY, *map(history_key, names), *map(index_key, ranged)]
    entries = await read(store, keys, timeout)
    texts: Mapping[str, str] = {key: entry.value for key, entry in entries.items() if entry is not None}
    met.keep(entries.keys() - texts.keys(), [])
    moves = {
        name: met.decoded(key, partial(decode_history, key, texts[key]))
        for name in names
        if (key := history_key(name)) in texts
    }
    indexes = {
        name: met.decoded(key, partial(decode_index, key, texts[key]))
        for name in ranged
        if (key := index_key(name)) in texts
    }
    changes: tuple[RolloutChange, ...] = ()
    if ROLLOUT_HISTORY in texts:
        changes = met.decoded(ROLLOUT_HISTORY, partial(decode_rollout_history, texts[ROLLOUT_HISTORY]))
    return snapshot_at(at, moves, changes, indexes)


def keys_of(reference: Reference) -> tuple[str, ...]:
    """The keys of KV's documents that may be those of the component that is meant."""
    return tuple(dict.fromkeys((reference.typed, reference.name)))


async def names_with_history(store: Store, timeout: float) -> list[str]:
    """The components that have recorded moves, sorted. Raises `KvFailed`."""
    prefix = history_key("")
    return sorted(key.removeprefix(prefix) for key in await list_keys(store, prefix, timeout))
