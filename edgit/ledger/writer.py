"""New entries on top of a ledger: made in memory with all their objects, written and moved in one step.

Rules:

- nothing is written before `LedgerWriter.commit`: objects first, then the ledger and the tags in one transaction;
- who acts, and when, is asked of git once: an entry and the tags that belong to it say the same;
- a date that is ahead of this machine's clock is refused, and one that is in the ledger already is not handed on;
- a tree is read and written a level of folders at a time, whatever the number of files that change in it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from edgit.errors import Refused
from edgit.git.objects import FILE_MODE, TREE_MODE, Object, TreeEntry
from edgit.git.process import Git, RefUpdate
from edgit.git.tags import clean_person, name_of
from edgit.ledger.entries import (
    LEDGER,
    Created,
    LedgerChange,
    LedgerEntry,
    LedgerState,
    Withdrawn,
    instant,
    seconds,
)
from edgit.ledger.message import write_message
from resolver.instant import format_instant

#: So far ahead of this machine's clock a date may lie, in seconds: clocks differ.
AHEAD = 3600.0


class Transacts(Protocol):
    """What moves refs, all or none."""

    def transact(self, updates: Sequence[RefUpdate]) -> None: ...


class LedgerWriter:
    """New entries on top of the ledger, with all objects that they need; nothing is written until `commit`."""

    def __init__(self, git: Git, tip: LedgerEntry | None, state: LedgerState) -> None:
        self.git = git
        #: The commit that the ledger must be at when this is committed.
        self.before = tip.id if tip else None
        self.tip = tip
        self.entries: list[LedgerEntry] = []
        self.pointers = {name: dict(found) for name, found in state.pointers.items()}
        self.versions = {name: dict(found) for name, found in state.versions.items()}
        self.withdrawn = {name: dict(found) for name, found in state.withdrawn.items()}
        #: Ref → (what it must be at, what it becomes). The first word of a command about a ref is what it must be at.
        self.updates: dict[str, tuple[str | None, str | None]] = {}
        self._objects: dict[str, Object] = {}
        self._tree = git.text("rev-parse", tip.id + "^{tree}") if tip else None

    @functools.cached_property
    def identity(self) -> tuple[str, str, int, str]:
        """Who acts: name, address, now in seconds, and the offset of the zone. Raises `Refused` for a wrong clock."""
        found = self.git.identity()
        if found[2] > time.time() + AHEAD:
            then, now = (format_instant(instant(at)) for at in (found[2], int(time.time())))
            raise Refused(
                f"git would date this {then}, and it is {now} by this machine's clock; nothing was changed",
                hint="next: unset GIT_COMMITTER_DATE GIT_AUTHOR_DATE",
            )
        return found

    @property
    def person(self) -> str:
        """Who acts, as an entry names its author."""
        name, address, _, _ = self.identity
        return f"{name} <{address}>"

    def put(self, object: Object) -> str:
        """Keep an object for `commit`; its id."""
        id = self.git.id(object)
        self._objects[id] = object
        return id

    def tag(self, name: str, target: str, kind: str, message: str) -> str:
        """An annotated tag at an object of this kind; its id."""
        _, _, now, zone = self.identity
        head = f"object {target}\ntype {kind}\ntag {name}\ntagger {self.person} {now} {zone}\n\n"
        return self.put(Object("tag", _encoded(head + message.strip() + "\n")))

    def set_ref(self, ref: str, new: str | None, old: str | None) -> None:
        """Move a ref in the transaction."""
        must = self.updates[ref][0] if ref in self.updates else old
        self.updates[ref] = (must, new)

    def add(
        self,
        summary: str,
        changes: Sequence[LedgerChange],
        files: Mapping[tuple[str, str], str],
        *,
        reason: str | None = None,
        author: tuple[str, datetime] | None = None,
    ) -> LedgerEntry:
        """One more entry. `files` holds the object ids of new versions' files; `author` is who made a move that is only
        recorded now, and when: the entry is of that time, as far as those before it allow."""
        _, _, now, zone = self.identity
        who, authored = author or (self.person, None)
        # Those after an entry with a wrong date keep their own.
        floor = seconds(self.tip.at) if self.tip and not is_ahead(self.tip) else 0
        moment = max(seconds(authored) if authored else now, floor)
        authored = authored or instant(moment)
        self._tree = self.edited(self._tree, self._apply(changes, files, reason))
        generation = self.tip.generation + 1 if self.tip else 1
        parent = f"parent {self.tip.id}\n" if self.tip else ""
        body = (
            f"tree {self._tree}\n{parent}author {clean_person(who)} {seconds(authored)} {zone}\n"
            f"committer {self.person} {moment} {zone}\n\n{write_message(summary, changes, generation, reason)}"
        )
        entry = LedgerEntry(
            self.put(Object("commit", _encoded(body))),
            self.tip.id if self.tip else None,
            generation,
            instant(moment),
            clean_person(who),
            summary,
            tuple(changes),
            reason,
            authored,
        )
        self.tip = entry
        self.entries.append(entry)
        return entry

    def _apply(
        self, changes: Sequence[LedgerChange], files: Mapping[tuple[str, str], str], reason: str | None
    ) -> dict[str, str | None]:
        """Take changes into the state; path → object id of the ledger's files that change with it."""
        edits: dict[str, str | None] = {}
        for change in changes:
            if isinstance(change, Created):
                blob = files[change.component, change.version]
                edits[f"versions/{change.component}/{change.version}"] = blob
                self.versions.setdefault(change.component, {})[change.version] = blob
                continue
            if isinstance(change, Withdrawn):
                why = self.put(Object("blob", _encoded((reason or "").strip() + "\n"))) if change.withdrawn else None
                edits[f"withdrawn/{change.component}/{change.version}"] = why
                passed_over = self.withdrawn.setdefault(change.component, {})
                if why is None:
                    passed_over.pop(change.version, None)
                else:
                    passed_over[change.version] = why
                continue
            path = f"components/{change.component}/{change.environment}"
            pointers = self.pointers.setdefault(change.component, {})
            if change.after is None:
                edits[path] = None
                pointers.pop(change.environment, None)
            else:
                edits[path] = self.put(Object("blob", f"{change.after}\n".encode()))
                pointers[change.environment] = change.after
        return edits

    def commit(self, lock: Transacts) -> None:
        """Write the objects and move the ledger and the tags, all or none."""
        updates = [RefUpdate(ref, new, old) for ref, (old, new) in self.updates.items() if new != old]
        if self.tip and self.tip.id != self.before:
            updates.insert(0, RefUpdate(LEDGER, self.tip.id, self.before))
        if updates:
            self.git.write(self._objects.values())
            lock.transact(updates)

    def _trees(self, ids: Iterable[str]) -> dict[str, dict[str, TreeEntry]]:
        wanted = set(ids)
        here = {id: self._objects[id] for id in wanted if id in self._objects}
        here |= self.git.read(wanted - set(here))
        return {id: self.git.tree(object.body) for id, object in here.items()}

    def edited(self, root: str | None, edits: Mapping[str, str | None]) -> str:
        """The tree with these files set, or taken away where the id is None."""
        folders: dict[str, dict[str, TreeEntry]] = {"": self._trees([root])[root] if root else {}}
        needed = {"/".join(path.split("/")[:depth]) for path in edits for depth in range(1, path.count("/") + 1)}
        for level in range(max((path.count("/") for path in edits), default=0)):
            at_level = [folder for folder in needed if folder.count("/") == level]
            ids = {folder: id for folder in at_level if (id := _folder_in(folders, folder))}
            read = self._trees(ids.values())
            for folder in at_level:
                folders[folder] = dict(read[ids[folder]]) if folder in ids else {}  # Equal folders are one tree.
        for path, blob in edits.items():
            folder, _, name = path.rpartition("/")
            there = folders[folder].get(name)
            if (there and there.is_tree) or path in folders:
                raise _clash(path)
            if blob is None:
                folders[folder].pop(name, None)
            else:
                folders[folder][name] = TreeEntry(FILE_MODE, blob)
        for folder in sorted(needed, key=lambda folder: -folder.count("/")):
            parent, _, name = folder.rpartition("/")
            if folders[folder]:
                folders[parent][name] = TreeEntry(TREE_MODE, self.put(self.git.tree_object(folders[folder])))
            else:
                folders[parent].pop(name, None)
        return self.put(self.git.tree_object(folders[""]))


def is_ahead(entry: LedgerEntry) -> bool:
    """Whether an entry is dated ahead of this machine's clock: that clock or this one is wrong."""
    return seconds(entry.at) > time.time() + AHEAD


def told_ahead(entries: Iterable[LedgerEntry]) -> list[str]:
    """What there is to say of entries with such a date."""
    return [
        f"generation {entry.generation} of the ledger, by {name_of(entry.actor)}, is dated {format_instant(entry.at)}, "
        "which is ahead of this machine's clock; what comes after it keeps its own time. "
        "Look at the clock of the machine that made it, and at this one's"
        for entry in entries
        if is_ahead(entry)
    ]


def _folder_in(folders: Mapping[str, Mapping[str, TreeEntry]], folder: str) -> str | None:
    """The object id of a folder, by the lines of the one above it."""
    parent, _, name = folder.rpartition("/")
    entry = folders[parent].get(name)
    if entry and not entry.is_tree:
        raise _clash(folder)
    return entry.id if entry else None


def _clash(path: str) -> Refused:
    shown = path.partition("/")[2]
    return Refused(
        f"`{shown}` cannot be both a component's folder and a name in it: git keeps each as a file or a folder",
        hint="choose another name for the component or the environment",
    )


def _encoded(text: str) -> bytes:
    """UTF-8; bytes of an argument that are none stay what they were."""
    return text.encode("utf-8", "surrogateescape")
