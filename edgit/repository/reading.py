"""What a repository says: its components, its tags, its ledger, and where tags and ledger differ.

Rules:

- this module reads; nothing here changes a ref or a file;
- a command loads the world once and decides on it. What is read lazily (the ledger's past) is read once;
- a repository without a ledger is read as if its tags had begun one: `World.genesis` is that entry, not yet written;
- what tags, files or the registry say that cannot be used is in `World.doubts`, for a person to read, never dropped in
  silence;
- git is asked as often for a thousand components as for one.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from edgit.components.discovery import Component
from edgit.components.files import ComponentFile, Files
from edgit.components.meaning import TagMeaning, read_meaning, told_version
from edgit.components.registry import REGISTRY
from edgit.components.tags import PREFIX, ComponentTags, Tag, read_name, read_tags, tag_ref, unread
from edgit.components.versions import by_precedence
from edgit.errors import EdgitError
from edgit.git.objects import Object, read_headers, read_person, read_tag_object
from edgit.git.process import Git
from edgit.ledger.entries import LEDGER, Created, LedgerChange, LedgerEntry, LedgerState, Moved, instant, seconds
from edgit.ledger.history import fold
from edgit.ledger.reading import _entry, damaged, read_state
from resolver.errors import listed, nearest
from resolver.version import is_prerelease


@dataclass(frozen=True, slots=True)
class UnrecordedMove:
    """A pointer whose tag says something else than the ledger: another tool moved it."""

    component: str
    environment: str
    recorded: str | None
    tag: Tag
    meaning: TagMeaning


@dataclass(frozen=True, slots=True)
class StaleTag:
    """A pointer whose tag has not followed the ledger yet; `tag` is the object it must name (None: none)."""

    component: str
    environment: str
    ref: str
    found: str | None
    tag: str | None
    version: str | None


class Ledger:
    """The commits of the ledger below one of them."""

    def __init__(self, git: Git, tip: str) -> None:
        self._git = git
        self.tip = tip

    @functools.cached_property
    def last(self) -> LedgerEntry:
        """The newest entry."""
        for entry in self._entries("-1", self.tip):
            return entry
        raise damaged(self._git, self.tip, "it is no commit")

    @functools.cached_property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """All entries, oldest first."""
        return tuple(self._entries("--reverse", self.tip))

    def since(self, ancestor: str | None) -> tuple[LedgerEntry, ...]:
        """The entries after one of them, oldest first."""
        return self.entries if ancestor is None else tuple(self._entries("--reverse", f"{ancestor}..{self.tip}"))

    @functools.cached_property
    def last_moves(self) -> dict[tuple[str, str], Moved]:
        """(component, environment) → its last move."""
        return {(moved.component, moved.environment): moved for entry in self.entries for moved, _, _ in entry.moves}

    @functools.cached_property
    def made(self) -> dict[tuple[str, str], Created]:
        """(component, version) → how the version came to be."""
        return {
            (created.component, created.version): created for entry in self.entries for created, _, _ in entry.creations
        }

    @functools.cached_property
    def known_tags(self) -> dict[tuple[str, str], set[str]]:
        """(component, environment) → the object ids of every tag that it has had."""
        found: dict[tuple[str, str], set[str]] = {}
        for entry in self.entries:
            for moved, _, _ in entry.moves:
                ids = found.setdefault((moved.component, moved.environment), set())
                ids.update(id for id in (moved.tag_before, moved.tag) if id)
        return found

    def _entries(self, *which: str) -> Iterator[LedgerEntry]:
        layout = "--format=%H%n%P%n%ct%n%at%n%an <%ae>%n%B"
        command = ["-c", "i18n.logOutputEncoding=UTF-8", "log", "-z", "--first-parent", "--no-show-signature", layout]
        done = self._git.attempt(*command, *which)
        if done.returncode:
            raise damaged(self._git, self.tip, done.stderr.decode(errors="replace").strip())
        for record in done.stdout.decode(errors="replace").split("\0"):
            if record:
                yield _entry(self._git, record)

    def state(self) -> LedgerState:
        """What is live and what exists at the tip."""
        return read_state(self._git, self.tip)

    def at(self, moment: datetime) -> dict[str, dict[str, str]]:
        """Component → environment → version at an instant."""
        command = ["rev-list", "-1", "--first-parent", f"--min-age={seconds(moment)}", self.tip]
        commit = self._git.text(*command)
        if commit:
            return {name: dict(found) for name, found in read_state(self._git, commit, "components").pointers.items()}
        # Before the ledger began: what was found then, by the dates of the tags.
        first = self._git.text("rev-list", "--max-parents=0", "--first-parent", self.tip)
        return fold(self._entries("-1", first), until=moment)


class Repository:
    """The repository as a command finds it."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self._now = int(time.time())
        self.refs = git.refs("refs/tags", LEDGER)
        tip = self.refs.get(LEDGER)
        self.ledger = Ledger(git, tip) if tip else None

    @functools.cached_property
    def tags(self) -> ComponentTags:
        """The tags of components; of an environment's several tags the one that was set last, the rest as rivals."""
        read = read_tags(self.refs)
        environments = {name: dict(found) for name, found in read.environments.items()}
        rivals = dict(read.rivals)
        several = {
            (name, slot): (environments[name][slot], *others)
            for (name, slot), others in rivals.items()
            if slot in environments.get(name, {})
        }
        if not several:
            return read
        set_at = self._dates([tag.id for forms in several.values() for tag in forms])
        for (name, slot), forms in several.items():
            # What the ledger knows to be over does not count, whatever its clock said.
            fresh = [tag for tag in forms if not self._is_over(name, slot, tag)] or forms
            last = max(fresh, key=lambda tag: set_at.get(tag.id, (None, None))[1] or instant(0))
            environments[name][slot] = last
            rivals[name, slot] = tuple(tag for tag in forms if tag is not last)
        return ComponentTags(read.versions, environments, rivals)

    def _is_over(self, component: str, environment: str, tag: Tag) -> bool:
        if self.ledger is None or tag.id not in self.ledger.known_tags.get((component, environment), ()):
            return False
        return tag.id != self.ledger.last_moves[component, environment].tag

    @functools.cached_property
    def _set(self) -> list[tuple[str, str, Tag]]:
        """Every tag of an environment, rivals and all: component, environment, tag."""
        found = [(name, slot, tag) for name, tags in self.tags.environments.items() for slot, tag in tags.items()]
        others = ((name, slot, tag) for (name, slot), tags in self.tags.rivals.items() for tag in tags)
        return found + [(name, slot, tag) for name, slot, tag in others if slot in self.tags.environments.get(name, {})]

    @functools.cached_property
    def state(self) -> LedgerState:
        """What is live and what exists: the ledger's word, or the tags' where there is no ledger."""
        if self.ledger:
            return self.ledger.state()
        if self.genesis is None:
            return LedgerState()
        files: dict[str, dict[str, str]] = {}
        for created in self.genesis.changes:
            if isinstance(created, Created):
                blob = self.located[created.component, created.commit].blob
                files.setdefault(created.component, {})[created.version] = blob
        return LedgerState(fold([self.genesis]), files)

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """The whole past, oldest first."""
        if self.ledger:
            return self.ledger.entries
        return (self.genesis,) if self.genesis else ()

    def at(self, moment: datetime) -> dict[str, dict[str, str]]:
        """Component → environment → version at an instant."""
        return self.ledger.at(moment) if self.ledger else fold(self.entries, until=moment)

    # Components

    @functools.cached_property
    def files(self) -> Files:
        """Which file is which component, today and at a commit."""
        return Files(self.git)

    @property
    def components(self) -> Mapping[str, Component]:
        """The components among the files of today. Raises `EdgitError` where the registry cannot be read."""
        return self.files.components

    @property
    def located(self) -> Mapping[tuple[str, str], ComponentFile]:
        """(component, commit) → the component's file there, as far as it was looked for."""
        return self.files.located

    def file_at(self, component: str, commit: str) -> ComponentFile | None:
        """The component's file at a commit."""
        return self.files_at([(component, commit)]).get((component, commit))

    def files_at(self, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], ComponentFile]:
        """(component, commit) → the component's file there; those that have none are left out."""
        self.files.locate(wanted)
        return self.files.located

    @functools.cached_property
    def names(self) -> set[str]:
        """Every component that has a file, a tag or a place in the ledger."""
        return {*self.components, *self.tags.components(), *self.state.pointers, *self.state.versions}

    def known(self, component: str) -> str:
        """The component's name. Raises `EdgitError` that says which there are."""
        # What has a tag or a place in the ledger is known, however the files or the registry are today.
        known = (self.tags.versions, self.tags.environments, self.state.pointers, self.state.versions)
        if any(component in names for names in known) or component in self.names:
            return component
        raise EdgitError(
            f"unknown component `{component}`.{nearest(component, self.names)}"
            if nearest(component, self.names)
            else f"unknown component `{component}`; there are {listed(self.names)}",
            hint="a component is a file such as components/prompts/<name>.md; .edgit/components.json names others",
        )

    def type(self, component: str) -> str | None:
        """The component's type, from its file, else from a tag that states it."""
        if component in self.files.today:
            return self.files.today[component].type
        tags = [*self.tags.versions.get(component, {}).values(), *self.tags.environments.get(component, {}).values()]
        return next((tag.type for tag in tags if tag.type), None)

    def versions(self, component: str) -> list[str]:
        """Its versions, highest first: those with a tag and those that the ledger keeps."""
        found = {*self.tags.versions.get(component, {}), *self.state.versions.get(component, {})}
        return sorted(found, key=self._order.__getitem__, reverse=True)

    @functools.cached_property
    def _order(self) -> dict[str, int]:
        return by_precedence(
            v for kind in (self.tags.versions, self.state.versions) for found in kind.values() for v in found
        )

    def environments(self, component: str) -> dict[str, str]:
        """What is live of a component, by environment."""
        return dict(sorted(self.state.pointers.get(component, {}).items()))

    def version_tag(self, component: str, version: str) -> Tag:
        """The tag of a version. Raises `EdgitError` that says which versions there are."""
        self.known(component)
        tag = self.tags.versions.get(component, {}).get(version)
        if tag:
            return tag
        if version in self.state.versions.get(component, {}):
            raise EdgitError(
                f"the tag of {component} {version} is gone; the ledger still has its file"
                if self.ledger
                else f"the tag of {component} {version} is gone; a tag that pointed at it still has its file",
                hint=f"next: {'' if self.ledger else 'edgit adopt, then '}edgit tag restore {component} {version}",
            )
        there = self.versions(component)
        raise EdgitError(
            f"{component} has no version {version}; it has {', '.join(there[:12]) or 'none'}",
            hint=f"next: edgit tag create {component} {version}, or choose one of: edgit tag list {component}",
        )

    def trace_of(self, component: str, version: str) -> Tag | None:
        """The tag of a version, or what an environment's tag still tells of it."""
        kinds = (self.tags.versions, self.lost_versions)
        return next((tags[version] for kind in kinds if version in (tags := kind.get(component, {}))), None)

    # Tags

    @functools.cached_property
    def _objects(self) -> dict[str, Object]:
        """The objects that environments' tags lead to, down to the commits."""
        found: dict[str, Object] = {}
        wanted = {tag.id for _, _, tag in self._set}
        known = {tag.id for tags in self.tags.versions.values() for tag in tags.values()}
        while wanted:
            read = self.git.read(wanted)
            found |= read
            opened = (read_tag_object(object.body) for object in read.values() if object.kind == "tag")
            # A version's own tag needs no look: its name has said already what it is.
            onward = {tag.target for tag in opened if not (tag.target_kind == "tag" and tag.target in known)}
            wanted = onward - found.keys()
        return found

    @functools.cached_property
    def _commits(self) -> dict[str, str]:
        """Version tag → commit, of the versions that an environment's tag at a commit itself may mean."""
        named: list[tuple[str, str, str | None]] = []  # component, target, the version tag that its message names
        for name, _, tag in self._set:
            found = self._objects.get(tag.id)
            opened = read_tag_object(found.body) if found and found.kind == "tag" else None
            if opened is None:
                named.append((name, tag.id, None))
            elif opened.target_kind == "commit":
                told = self.tags.versions.get(name, {}).get(told_version(opened.message) or "")
                named.append((name, opened.target, told.id if told else None))
            elif opened.target not in self._objects:
                continue  # A version's own tag.
            else:
                named.append((name, "", None))  # A tag of a tag: whatever it ends in.
        # The version that it names is one question. Where it names none, or wrongly, all of them are.
        commits = self.commits_of(id for _, _, id in named if id)
        doubtful = {name for name, target, id in named if id is None or commits.get(id) != target}
        rest = {tag.id for name in doubtful for tag in self.tags.versions.get(name, {}).values()}
        return commits | self.commits_of(rest - set(commits))

    @functools.cached_property
    def lightweight(self) -> frozenset[str]:
        """The ids of version tags that are a commit's own."""
        ids = {tag.id for tags in self.tags.versions.values() for tag in tags.values()}
        lines = self.git.run(
            "cat-file", "--batch-check=%(objecttype)", input="".join(f"{id}\n" for id in ids).encode()
        ).decode()
        return frozenset(id for id, kind in zip(ids, lines.splitlines(), strict=True) if kind == "commit")

    def _annotated(self, id: str) -> bool:
        return id not in self.lightweight

    def commits_of(self, tags: Iterable[str]) -> dict[str, str]:
        """Tag object → the commit that it ends in."""
        ends: dict[str, str] = {}
        ways = {id: id for id in tags}
        while ways:
            objects = self.git.read(dict.fromkeys(ways.values()))
            onward = {}
            for id, here in ways.items():
                found = objects.get(here)
                if found is None:
                    continue
                if found.kind == "commit":
                    ends[id] = here
                elif found.kind == "tag":
                    onward[id] = read_tag_object(found.body).target
            ways = onward
        return ends

    def meaning(self, component: str, environment: str) -> TagMeaning:
        """What an environment's tag says."""
        return self._meaning(component, self.tags.environments[component][environment])

    def _meaning(self, component: str, tag: Tag) -> TagMeaning:
        return read_meaning(component, tag, self.tags.versions.get(component, {}), self._commits, self._objects)

    @functools.cached_property
    def differences(self) -> tuple[tuple[UnrecordedMove, ...], tuple[StaleTag, ...]]:
        """Where tags and ledger differ: tags that others moved, and tags that have not followed the ledger."""
        if self.ledger is None:
            return (), ()
        foreign: list[UnrecordedMove] = []
        behind: list[tuple[str, str, Tag | None, Moved | None]] = []
        for component in sorted({*self.state.pointers, *self.tags.environments}):
            recorded = self.state.pointers.get(component, {})
            tagged = self.tags.environments.get(component, {})
            for environment in sorted({*recorded, *tagged}):
                tag = tagged.get(environment)
                said = self.meaning(component, environment) if tag else None
                if said is not None and said.version == recorded.get(environment) and said.version is not None:
                    continue
                moved = self.ledger.last_moves.get((component, environment))
                if tag is None or (moved and moved.tag != tag.id and self._is_old(component, environment, tag)):
                    behind.append((component, environment, tag, moved))
                elif said is not None and (moved is None or moved.tag != tag.id):
                    foreign.append(UnrecordedMove(component, environment, recorded.get(environment), tag, said))
        made = self.git.read(moved.tag for *_, moved in behind if moved and moved.tag)
        return tuple(foreign), tuple(self._behind(*found, made) for found in behind)

    def _is_old(self, component: str, environment: str, tag: Tag) -> bool:
        """Whether a tag is one that this pointer has had before, made for it and for one moment: such a one is back
        since a command was cut short, or a fetch brought it from where the moves are not yet, and no new move."""
        if self._unfinished.get(tag.ref) == tag.id:
            return True
        found = self._objects.get(tag.id)
        if self.ledger is None or found is None or found.kind != "tag":
            return False
        named = read_name(PREFIX + read_tag_object(found.body).name)
        own = named is not None and (named.component, named.slot) == (component, environment)
        return own and tag.id in self.ledger.known_tags.get((component, environment), ())

    @functools.cached_property
    def _unfinished(self) -> dict[str, str | None]:
        """Ref → where a command that was cut short, or is at work now, moves it from: what `Desk` has written down."""
        try:
            return {ref: old for ref, _, old in json.loads((self.git.folder / "edgit/pending.json").read_bytes())}
        except (OSError, ValueError, TypeError):
            return {}

    def _behind(
        self, component: str, environment: str, tag: Tag | None, moved: Moved | None, made: Mapping[str, Object]
    ) -> StaleTag:
        wanted = (moved.tag if moved else None) or ""
        ref, found = (tag.ref, tag.id) if tag else (tag_ref(component, environment), None)
        if wanted in made and made[wanted].kind == "tag":
            # The name that the ledger's own tag stands under, and none of its rivals.
            name = PREFIX + read_tag_object(made[wanted].body).name
            slot = read_name(name)
            if slot and (slot.component, slot.slot) == (component, environment):
                ref, found = name, self.refs.get(name)
        return StaleTag(component, environment, ref, found, wanted or None, self.state.version(component, environment))

    # What is not in the ledger yet

    @functools.cached_property
    def untold_versions(self) -> dict[str, dict[str, Tag]]:
        """The versions that have a tag and are not in the ledger."""
        recorded = self.state.versions if self.ledger else {}
        untold = {
            name: {version: tag for version, tag in tags.items() if version not in recorded.get(name, {})}
            for name, tags in self.tags.versions.items()
        }
        return {name: tags for name, tags in untold.items() if tags}

    def creations(self, wanted: Mapping[str, Mapping[str, Tag]], *, dated: bool) -> list[Created]:
        """The changes that tell of these versions; those whose file is not to be found are left out."""
        commits = self.commits_of(tag.id for tags in wanted.values() for tag in tags.values())
        self.files.locate(
            (name, commits[tag.id]) for name, tags in wanted.items() for tag in tags.values() if tag.id in commits
        )
        dates = self._dates([tag.id for tags in wanted.values() for tag in tags.values()] if dated else [], commits)
        places = by_precedence(version for tags in wanted.values() for version in tags)
        found = []
        for name, tags in sorted(wanted.items()):
            for version in sorted(tags, key=places.__getitem__):
                tag = tags[version]
                commit = commits.get(tag.id)
                file = self.located.get((name, commit)) if commit else None
                if commit and file:
                    actor, at = dates.get(tag.id, (None, None))
                    type = tag.type or file.type
                    found.append(Created(name, version, tag.id, commit, type, file.path, at, actor))
        return found

    def _dates(
        self, tags: Sequence[str], commits: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, tuple[str | None, datetime | None]]:
        objects = self.git.read([*tags, *(commits[tag] for tag in tags if tag in commits)])
        dates: dict[str, tuple[str | None, datetime | None]] = {}
        for tag in tags:
            found = objects.get(tag)
            if found is None:
                continue
            if found.kind == "tag":
                opened = read_tag_object(found.body)
                actor, at = opened.tagger, opened.at
            else:
                actor, at = read_person(read_headers(found.body)[0].get("committer", ""))
            if at is None and tag in commits and commits[tag] in objects:
                actor, at = read_person(read_headers(objects[commits[tag]].body)[0].get("committer", ""))
            dates[tag] = (actor, self.past(at))
        return dates

    @functools.cached_property
    def genesis(self) -> LedgerEntry | None:
        """The first entry of a ledger, from what the tags still say; None where they say nothing, or it has begun."""
        if self.ledger or not self.tags.components():
            return None
        wanted = {name: dict(tags) for name, tags in self.tags.versions.items()}
        for name, versions in self.lost_versions.items():
            wanted[name] = {**versions, **wanted.get(name, {})}
        changes: list[LedgerChange] = [*self.creations(wanted, dated=True), *self._found_moves()]
        if not changes:
            return None
        latest = max((change.at for change in changes if change.at), default=instant(0))
        return LedgerEntry(
            "",
            None,
            1,
            latest,
            "",
            f"Begin the ledger from {len(changes)} tags",
            tuple(changes),
        )

    def _found_moves(self) -> list[Moved]:
        """What the tags tell of moves, oldest first: of a pointer that stands under several names, one for each."""
        told = [(self._meaning(name, tag), name, slot, tag) for name, slot, tag in self._set]
        moves = [
            Moved(name, slot, None, said.version, None, tag.id, said.version_tag, self.past(said.at), said.actor)
            for said, name, slot, tag in told
            if said.version is not None
        ]
        # The one that counts stands last: it was set last, as far as dates tell.
        counts = {tags[slot].id for tags in self.tags.environments.values() for slot in tags}
        # A tag without a tagger that points at a version's: no commit was asked, and the version's date is the nearest.
        undated = self._dates([moved.version_tag for moved in moves if moved.at is None and moved.version_tag])
        moves = [m if m.at else replace(m, at=undated.get(m.version_tag or "", (None, None))[1]) for m in moves]
        moves.sort(key=lambda m: (m.at or instant(0), m.tag in counts, m.component, m.environment))
        found: list[Moved] = []
        live: dict[tuple[str, str], str | None] = {}
        for moved in moves:
            before = live.get((moved.component, moved.environment))
            if before != moved.after:
                found.append(replace(moved, before=before))
            live[moved.component, moved.environment] = moved.after
        return found

    def past(self, at: int | None) -> datetime | None:
        """The instant of a date in git; one that lies in the future was written by a clock that was wrong."""
        return None if at is None else instant(max(0, min(at, self._now)))

    @functools.cached_property
    def lost_versions(self) -> dict[str, dict[str, Tag]]:
        """Versions without a tag of their own that an environment's tag still tells of, with what is left of it."""
        found: dict[str, dict[str, Tag]] = {}
        for name, _, tag in self._set:
            said = self._meaning(name, tag)
            if said.version and said.version_tag and said.version not in self.tags.versions.get(name, {}):
                found.setdefault(name, {})[said.version] = Tag(tag_ref(name, said.version), said.version_tag, tag.type)
        return found

    @property
    def doubts(self) -> list[str]:
        """What is in the repository and cannot be used as it stands, `unclear` apart: a sentence each, for a person."""
        found = [f"the tag {name} is not read: {why}" for name, why in unread(self.refs)]
        for (name, slot), others in sorted(self.tags.rivals.items()):
            if slot in self.tags.environments.get(name, {}):
                counts = self.tags.environments[name][slot]
                version = self._meaning(name, counts).version
                found += [
                    f"the tag {tag.name} says {said}, and {counts.name}, which was set later, {version or 'nothing'}; "
                    "the latter counts"
                    for tag in others
                    if (said := self._meaning(name, tag).version) not in (None, version)
                ]
            else:
                counts = self.tags.versions[name][slot]
                commits = self.commits_of([counts.id, *(tag.id for tag in others)])
                files = self.files_at((name, commit) for commit in commits.values())
                blobs = {id: files[name, commit].blob for id, commit in commits.items() if (name, commit) in files}
                found += [
                    f"the tags {tag.name} and {counts.name} are two different files; the latter counts"
                    for tag in others
                    if blobs.get(tag.id) not in (None, blobs.get(counts.id))
                ]
        for name, tags in self.fileless.items():
            found += [
                f"the tag {tag.name} is at no commit with a file of {name}, and is left out; "
                f"if the file lay elsewhere, name that in {REGISTRY}"
                for tag in tags
            ]
        return found + [
            f"`{name}` is the name of several files: {listed([component.path, *component.others])}; the first counts, "
            f"unless {REGISTRY} names another"
            for name, component in sorted(self.files.today.items())
            if component.others
        ]

    @property
    def fileless(self) -> dict[str, list[Tag]]:
        """The tags of versions whose file is not found where they point."""
        untold = self.untold_versions
        if self.ledger:
            there = {(created.component, created.version) for created in self.creations(untold, dated=False)}
        else:
            there = {(name, version) for name, versions in self.state.versions.items() for version in versions}
        left = {name: [tag for v, tag in tags.items() if (name, v) not in there] for name, tags in untold.items()}
        return {name: tags for name, tags in sorted(left.items()) if tags}

    @property
    def unclear(self) -> list[tuple[str, str, str]]:
        """Environments' tags that mean no version, with why."""
        return [
            (component, environment, said.problem)
            for component, tags in sorted(self.tags.environments.items())
            for environment in sorted(tags)
            if (said := self.meaning(component, environment)).problem
        ]


def published_pointers(state: LedgerState) -> dict[str, dict[str, str]]:
    """The version map of a state: its pointers, with `latest` and `stable`."""
    places = by_precedence(version for versions in state.versions.values() for version in versions)
    releases = {version: place for version, place in places.items() if not is_prerelease(version)}
    found: dict[str, dict[str, str]] = {}
    for name in sorted({*state.pointers, *state.versions}):
        found[name] = dict(sorted(state.pointers.get(name, {}).items()))
        versions = state.versions.get(name, {})
        if versions:
            found[name]["latest"] = max(versions, key=places.__getitem__)
        if stable := [version for version in versions if version in releases]:
            found[name]["stable"] = max(stable, key=releases.__getitem__)
    return found


def open_world(start: Path) -> Repository:
    """The world of the repository that a folder lies in."""
    return Repository(Git.open(start))
