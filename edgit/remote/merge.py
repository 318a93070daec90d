"""Two ledgers become one: what the remote has, with this repository's own entries replayed on top.

Rules:

- theirs stay as they are. Ours come after them with new generations, and keep who, when and why;
- a move that says what is live already, or that they have already under another commit, is not made again;
- a rollback that comes after moves of theirs is decided anew, by what is live and what was good then;
- a version that both made from the same file is one. From two files both stay: theirs keeps the name.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field, replace

from edgit.components.files import ComponentFile, locate
from edgit.components.tags import ComponentTags
from edgit.git.tags import commits_of, name_of
from edgit.ledger.entries import NONE, Created, LedgerChange, LedgerEntry, Moved, Withdrawn
from edgit.ledger.history import last_good, moves_of
from edgit.ledger.reading import read_entries, read_last_entry, read_state
from edgit.ledger.writer import LedgerWriter, told_ahead
from edgit.remote.conflicts import Divergence, Pointer
from edgit.remote.differences import all_tags
from edgit.repository.lock import RepositoryLock
from edgit.repository.reading import Repository
from edgit.repository.version_tags import (
    VersionLookup,
    VersionTag,
    existing_or_restored,
    look_up_versions,
    made_anew,
    new_pointer_tag,
)


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What came, what of ours comes after it, and what of ours said nothing new any more."""

    received: tuple[LedgerEntry, ...] = ()
    replayed: tuple[LedgerEntry, ...] = ()
    dropped: tuple[LedgerEntry, ...] = ()


@dataclass
class _Replay:
    """Two ledgers on the way to become one. `writer` holds theirs, and ours as far as they are replayed on top."""

    repository: Repository
    writer: LedgerWriter
    #: The commit of their ledger.
    theirs: str
    lookup: VersionLookup
    names: ComponentTags
    received: tuple[LedgerEntry, ...]
    #: The tags of our own moves, as far as their objects are here still.
    ours: Container[str | None]
    #: The pointers that stay as they have them, and those where ours come after theirs.
    yielding: Container[Pointer] = ()
    again: Container[Pointer] = ()
    #: Where the tags of pointers must be in the end.
    tags: dict[Pointer, str | None] = field(default_factory=dict)
    #: The tags of their versions, and of ours that were made on the way.
    version_tags: dict[Pointer, VersionTag] = field(default_factory=dict)
    #: Ours that theirs have another file for → the name that it has now.
    renamed: dict[Pointer, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @functools.cached_property
    def moves(self) -> dict[Pointer, list[tuple[Moved, str]]]:
        """What was received for each pointer, oldest first, and by whom."""
        found: dict[Pointer, list[tuple[Moved, str]]] = {}
        for entry in self.received:
            for moved, _, actor in entry.moves:
                found.setdefault((moved.component, moved.environment), []).append((moved, actor))
        return found

    def follow(self) -> None:
        """Let the tags of what was received be here what they are there."""
        made = {(c.component, c.version): c for entry in self.received for c, _, _ in entry.creations}
        last = {pointer: moves[-1][0] for pointer, moves in self.moves.items()}
        tags = [*(created.tag for created in made.values()), *(moved.tag for moved in last.values())]
        here = self.repository.git.check(tag for tag in tags if tag)
        strays = self._strays(made)
        for (component, version), created in made.items():
            existing = self.repository.tags.versions.get(component, {}).get(version)
            if created.tag in here:
                at = VersionTag(created.tag, "commit" if created.tag == created.commit else "tag")
            elif (component, version) in strays:
                at = made_anew(self.writer, created, self.writer.versions[component][version])
            else:
                continue
            if stray := strays.get((component, version)):
                commit, file = stray
                self._set_apart(Created(component, version, "", commit, path=file.path), file.blob)
            ref = existing.ref if existing else self.names.ref(component, version, created.type)
            self.writer.set_ref(ref, at.id, existing.id if existing else None)
            self.version_tags[component, version] = at
        # Where the remote's own tag was moved on since, by another tool, ours catches up with the ledger afterwards.
        self.tags |= {pointer: moved.tag for pointer, moved in last.items() if not moved.tag or moved.tag in here}

    def _strays(self, received: Mapping[Pointer, Created]) -> dict[Pointer, tuple[str, ComponentFile]]:
        """The versions' tags here that are of another file than what was received under their name: commit and file."""
        tags = {
            version: tag
            for version, created in received.items()
            if (tag := self.repository.tags.versions.get(version[0], {}).get(version[1])) and tag.id != created.tag
        }
        commits = commits_of(self.repository.git, (tag.id for tag in tags.values()))
        ends = {version: commits[tag.id] for version, tag in tags.items() if tag.id in commits}
        wanted = ((component, commit) for (component, _), commit in ends.items())
        files = locate(self.repository.git, wanted, self.repository.types)
        return {
            (component, version): (commit, file)
            for (component, version), commit in ends.items()
            if (file := files.get((component, commit))) and file.blob != self.writer.versions[component][version]
        }

    def _set_apart(self, made: Created, blob: str) -> str:
        """Give a version that the remote has another file for a name of its own; the name."""
        name = clash_name(made.version, made.commit)
        if (made.component, name) in self.version_tags:
            return name
        self.notes.append(
            f"{made.name} was made from two different files; the remote's keeps the name, yours is {name}"
        )
        if name not in self.repository.tags.versions.get(made.component, {}):
            own = replace(made, version=name, tag=self.repository.git.none)
            at = made_anew(self.writer, own, blob, said=f"made as {made.version}")
            self.writer.set_ref(self.names.ref(made.component, name, made.type), at.id, None)
            self.version_tags[made.component, name] = at
        return name

    def version_tag(self, component: str, version: str) -> VersionTag | None:
        """The tag that a version has in the end."""
        if found := self.version_tags.get((component, version)):
            return found
        if version in self.repository.tags.versions.get(component, {}):
            return existing_or_restored(self.writer, self.lookup, component, version)
        return None

    def replay(self, made: LedgerEntry) -> LedgerEntry | None:
        """One of our entries on top of theirs; None where it says nothing new there."""
        sources: dict[Pointer, str] = {}
        changes: list[LedgerChange] = []
        summary = made.summary
        for change in made.changes:
            if isinstance(change, Created):
                created = self._created(change)
                if created:
                    sources[created.component, created.version] = self.repository.state.versions[change.component][
                        change.version
                    ]
                    changes.append(created)
                    summary = summary.replace(str(change), str(created))
                continue
            if isinstance(change, Withdrawn):
                if withdrawn := self._withdrawn(change):
                    changes.append(withdrawn)
                    summary = summary.replace(str(change), str(withdrawn))
                continue
            live = self.writer.pointers.get(change.component, {}).get(change.environment)
            intended = self._intended(made, change, live)
            moved = self._moved(intended, live) if intended else None
            if moved:
                changes.append(moved)
                summary = summary.replace(str(change), str(moved))
        if not changes:
            return None
        author = (made.actor, made.authored or made.at)
        return self.writer.add(summary, changes, sources, reason=made.reason, author=author)

    def _created(self, change: Created) -> Created | None:
        theirs = self.writer.versions.get(change.component, {}).get(change.version)
        ours = self.repository.state.versions.get(change.component, {}).get(change.version)
        if ours is None or theirs == ours:
            return None
        if theirs is None:
            return change
        name = self._set_apart(change, ours)
        self.renamed[change.component, change.version] = name
        at = self.version_tag(change.component, name)
        if at is None or name in self.writer.versions.get(change.component, {}):
            return None
        return replace(change, version=name, tag=at.id)

    def _intended(self, made: LedgerEntry, change: Moved, live: str | None) -> Moved | None:
        """What a move of ours means after theirs; None where it is to be left out."""
        pointer = (change.component, change.environment)
        if pointer in self.yielding:
            self.notes.append(f"{change.name}: it stays at {live or NONE}; your {change.after or 'removal'} is dropped")
            return None
        if pointer not in self.again or not made.summary.startswith("rollback:"):
            return change
        if live != change.before:
            gone, now = change.before or NONE, live or NONE
            self.notes.append(f"{change.name}: your rollback from {gone} is dropped, since {now} is live now")
            return None
        git, past = self.repository.git, made.parent
        before = read_entries(git, past) if past else ()
        if change.after != last_good(move.version for move in moves_of(before, *pointer)):
            return change  # Somebody has named the version.
        entries = [*read_entries(git, self.theirs), *self.writer.entries]
        good = last_good(move.version for move in moves_of(entries, *pointer))
        return replace(change, after=good) if good else None

    def _withdrawn(self, change: Withdrawn) -> Withdrawn | None:
        version = self.renamed.get((change.component, change.version), change.version)
        if version not in self.writer.versions.get(change.component, {}):
            return None
        passed_over = version in self.writer.withdrawn.get(change.component, {})
        return None if passed_over == change.withdrawn else replace(change, version=version)

    def _moved(self, change: Moved, live: str | None) -> Moved | None:
        pointer = (change.component, change.environment)
        after = self.renamed.get((change.component, change.after or ""), change.after)
        received = self.moves.get(pointer, [])
        # One of theirs may have come here by a fetch of tags, and been adopted as a stranger's.
        if live == after or any(change.tag and change.tag == moved.tag for moved, _ in received):
            return None
        if received and received[-1][0].after != after:
            theirs, actor = received[-1]
            self.notes.append(
                f"{change.name}: {name_of(actor)} had set {theirs.after or 'none'} meanwhile; "
                f"your {after or 'removal'} comes after it"
            )
        tag, version_tag = change.tag, change.version_tag
        at = self.version_tag(change.component, after) if after else None
        if after and at and (at.id != version_tag or tag not in self.ours):
            ref = self.names.ref(*pointer)
            tag = new_pointer_tag(self.writer, ref, change.component, after, change.environment, at)
            version_tag = at.id
        before = self.tags.pop(pointer, change.tag_before)
        if at or tag is None or tag in self.ours:
            self.tags[pointer] = tag
        return replace(change, before=live, after=after, tag_before=before, tag=tag, version_tag=version_tag)


def merge(
    lock: RepositoryLock,
    repository: Repository,
    apart: Divergence,
    there: Mapping[str, str],
    seen: str,
    *,
    disputed: Collection[Pointer] = (),
    keep: str | None = None,
) -> MergeResult:
    """Make the remote's ledger with this repository's own entries replayed on top, and let the tags follow, in one
    transaction. `there` are the refs of the remote; the ref `seen` keeps what its ledger was. Of the pointers that are
    `disputed` those moves stay that `keep` says, `theirs` or `ours`."""
    git = repository.git
    theirs, ours = apart.theirs, apart.ours
    tags = git.check(moved.tag for entry in ours for moved, _, _ in entry.moves if moved.tag)
    state = read_state(git, theirs)
    names = all_tags(repository, there, {*state.versions, *state.pointers})
    writer = LedgerWriter(git, read_last_entry(git, theirs), state)
    tagged = [(name, version) for name, found in repository.tags.versions.items() for version in found]
    lookup = look_up_versions(repository, tagged)
    yielding, again = (disputed, ()) if keep == "theirs" else ((), disputed)
    merging = _Replay(repository, writer, theirs, lookup, names, apart.received, tags, yielding, again)
    merging.follow()
    replayed = [(made, merging.replay(made)) for made in ours]
    # What another tool has moved here stays where it is, told, until it is adopted or moved on.
    received = {moved.tag for moves in merging.moves.values() for moved, _ in moves}
    foreign = {found.pointer for found in repository.drift.unrecorded_moves if found.tag.id not in received}
    for pointer, tag in merging.tags.items():
        if pointer not in foreign:
            ref = names.ref(*pointer)
            writer.set_ref(ref, tag, repository.refs.get(ref))
    writer.set_ref(seen, theirs, git.ref(seen))
    writer.before = repository.tip
    writer.commit(lock)
    lock.notes += [*told_ahead(merging.received), *merging.notes]
    dropped = tuple(made for made, entry in replayed if entry is None)
    return MergeResult(merging.received, tuple(entry for _, entry in replayed if entry), dropped)


def clash_name(version: str, commit: str) -> str:
    """A name of its own for a version that another file was made with elsewhere. It is a pre-release, and so never
    `stable`: `v1.1.0` becomes `v1.1.0-clash.g0123456789`."""
    core, plus, build = version.partition("+")
    return f"{core}{'.' if '-' in core else '-'}clash.g{commit[:10]}{plus}{build}"
