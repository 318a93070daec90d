"""What a repository says: its components, its tags, its ledger, and where tags and ledger differ.

Rules:

- this module reads; nothing here changes a ref or a file;
- a command loads the world once and decides on it. What is read lazily (the ledger's past) is read once;
- a repository without a ledger is read as if its tags had begun one: `World.genesis` is that entry, not yet written.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from edgit.components import FOLDERS, REGISTRY, Component, discover, read_registry
from edgit.errors import EdgitError
from edgit.git import Git, Object
from edgit.ledger import (
    LEDGER,
    Change,
    Created,
    Entry,
    Moved,
    State,
    fold,
    instant,
    read_message,
    seconds,
)
from edgit.tags import (
    PREFIX,
    Meaning,
    Tag,
    Tagged,
    meaning,
    read_headers,
    read_person,
    read_tag_object,
    read_tags,
    told_version,
)
from resolver.errors import listed, nearest
from resolver.version import highest, precedence


class File(NamedTuple):
    """A component's file at a commit; `blob` is its object's id."""

    path: str
    type: str | None
    blob: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A pointer whose tag says something else than the ledger: another tool moved it."""

    component: str
    environment: str
    recorded: str | None
    tag: Tag
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class Behind:
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
    def last(self) -> Entry:
        """The newest entry."""
        return next(iter(self._entries("-1", self.tip)))

    @functools.cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first."""
        return tuple(self._entries("--reverse", self.tip))

    def since(self, ancestor: str | None) -> tuple[Entry, ...]:
        """The entries after one of them, oldest first."""
        return self.entries if ancestor is None else tuple(self._entries("--reverse", f"{ancestor}..{self.tip}"))

    def touching(self, component: str, environment: str) -> Moved | None:
        """The last move of one pointer."""
        path = f"components/{component}/{environment}"
        for entry in self._entries("-1", self.tip, "--", path):
            for moved, _, _ in entry.moves:
                if (moved.component, moved.environment) == (component, environment):
                    return moved
        return None

    def _entries(self, *which: str) -> Iterator[Entry]:
        layout = "--format=%H%n%P%n%ct%n%at%n%an <%ae>%n%B"
        command = ["-c", "i18n.logOutputEncoding=UTF-8", "log", "-z", "--first-parent", "--no-show-signature", layout]
        for record in self._git.run(*command, *which).decode(errors="replace").split("\0"):
            if record:
                yield _entry(record)

    def state(self) -> State:
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


def _entry(record: str) -> Entry:
    id, parent, committed, authored, actor, message = record.split("\n", 5)
    try:
        summary, reason, changes, generation = read_message(message)
    except (ValueError, KeyError, IndexError) as error:
        raise EdgitError(
            f"{LEDGER} holds a commit that is no entry of the ledger, {id[:10]}: {error}",
            hint=f"look at it: git show {id[:10]}; the ledger at the remote: git fetch origin {LEDGER}",
        ) from None
    return Entry(
        id,
        parent.split(" ")[0] or None,
        generation,
        instant(int(committed)),
        actor,
        summary,
        changes,
        reason,
        instant(int(authored)),
    )


def read_state(git: Git, commit: str, *folders: str) -> State:
    """The state that a ledger commit holds."""
    listed_ = git.run("ls-tree", "-r", "-z", "--full-tree", commit, *folders).decode(errors="surrogateescape")
    pointers: dict[str, dict[str, str]] = {}
    versions: dict[str, dict[str, str]] = {}
    for line in listed_.split("\0"):
        if not line:
            continue
        blob, path = line.split(" ", 2)[2].split("\t", 1)
        folder, _, rest = path.partition("/")
        component, _, slot = rest.rpartition("/")
        kind = pointers if folder == "components" else versions
        kind.setdefault(component, {})[slot] = blob
    # Few versions are live, however many pointers there are: each value is read once.
    values = git.read(dict.fromkeys(blob for found in pointers.values() for blob in found.values()))
    live = {blob: object.body.decode(errors="replace").strip() for blob, object in values.items()}
    return State(
        {name: {env: live[blob] for env, blob in found.items()} for name, found in pointers.items()},
        versions,
    )


class World:
    """The repository as a command finds it."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self.refs = git.refs("refs/tags", LEDGER)
        self.tags: Tagged = read_tags({ref: id for ref, id in self.refs.items() if ref.startswith(PREFIX)})
        tip = self.refs.get(LEDGER)
        self.ledger = Ledger(git, tip) if tip else None

    @functools.cached_property
    def state(self) -> State:
        """What is live and what exists: the ledger's word, or the tags' where there is no ledger."""
        if self.ledger:
            return self.ledger.state()
        if self.genesis is None:
            return State()
        files: dict[str, dict[str, str]] = {}
        for created in self.genesis.changes:
            if isinstance(created, Created):
                blob = self.located[created.component, created.commit].blob
                files.setdefault(created.component, {})[created.version] = blob
        return State(fold([self.genesis]), files)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The whole past, oldest first."""
        if self.ledger:
            return self.ledger.entries
        return (self.genesis,) if self.genesis else ()

    def at(self, moment: datetime) -> dict[str, dict[str, str]]:
        """Component → environment → version at an instant."""
        return self.ledger.at(moment) if self.ledger else fold(self.entries, until=moment)

    # Components

    @functools.cached_property
    def components(self) -> dict[str, Component]:
        """The components among the files of the work tree, without those that git ignores."""
        if self.git.bare:
            return self._discovered("HEAD") if self.git.ref("HEAD") else {}
        command = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *FOLDERS]
        paths = self.git.run("-c", "core.quotePath=off", *command).decode(errors="surrogateescape").split("\0")
        registry = self.git.root / REGISTRY
        registered = read_registry(registry.read_bytes()) if registry.is_file() else {}
        here = {path for path in paths if path and (self.git.root / path).is_file()}
        return discover(here, registered)

    def _discovered(self, commit: str) -> dict[str, Component]:
        command = ["ls-tree", "-r", "-z", "--full-tree", "--name-only", commit, *FOLDERS]
        paths = self.git.run(*command).decode(errors="surrogateescape").split("\0")
        registry = self.git.read([f"{commit}:{REGISTRY}"]).get(f"{commit}:{REGISTRY}")
        registered = read_registry(registry.body, f"{commit[:10]}:{REGISTRY}") if registry else {}
        return discover((path for path in paths if path), registered)

    @functools.cached_property
    def names(self) -> set[str]:
        """Every component that has a file, a tag or a place in the ledger."""
        return {*self.components, *self.tags.components(), *self.state.pointers, *self.state.versions}

    def known(self, component: str) -> str:
        """The component's name. Raises `EdgitError` that says which there are."""
        if component in self.names:
            return component
        raise EdgitError(
            f"unknown component `{component}`.{nearest(component, self.names)}"
            if nearest(component, self.names)
            else f"unknown component `{component}`; there are {listed(self.names)}",
            hint="a component is a file such as components/prompts/<name>.md; .edgit/components.json names others",
        )

    def type(self, component: str) -> str | None:
        """The component's type, from its file, else from a tag that states it."""
        if component in self.components:
            return self.components[component].type
        tags = [*self.tags.versions.get(component, {}).values(), *self.tags.environments.get(component, {}).values()]
        return next((tag.type for tag in tags if tag.type), None)

    def versions(self, component: str) -> list[str]:
        """Its versions, highest first: those with a tag and those that the ledger keeps."""
        found = {*self.tags.versions.get(component, {}), *self.state.versions.get(component, {})}
        return sorted(found, key=precedence, reverse=True)

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
                f"the tag of {component} {version} is gone; the ledger still has its file",
                hint=f"next: edgit tag restore {component} {version}",
            )
        there = self.versions(component)
        raise EdgitError(
            f"{component} has no version {version}; it has {', '.join(there[:12]) or 'none'}",
            hint=f"next: edgit tag create {component} {version}, or choose one of: edgit tag list {component}",
        )

    # Tags

    @functools.cached_property
    def _objects(self) -> dict[str, Object]:
        """The objects that environments' tags lead to, down to the commits."""
        found: dict[str, Object] = {}
        wanted = {tag.id for tags in self.tags.environments.values() for tag in tags.values()}
        known = {tag.id for tags in self.tags.versions.values() for tag in tags.values()}
        while wanted:
            read = self.git.read(wanted)
            found |= read
            targets = {read_tag_object(o.body).target for o in read.values() if o.kind == "tag"}
            # A version's own tag needs no look: its name has said already what it is.
            wanted = {id for id in targets if id not in found and not (id in known and self._annotated(id))}
        return found

    @functools.cached_property
    def _commits(self) -> dict[str, str]:
        """Version tag → commit, of the versions that an environment's tag at a commit itself may mean."""
        named: list[tuple[str, str, str | None]] = []  # component, target, the version tag that its message names
        for name, tags in self.tags.environments.items():
            versions = self.tags.versions.get(name, {})
            for tag in tags.values():
                found = self._objects.get(tag.id)
                opened = read_tag_object(found.body) if found and found.kind == "tag" else None
                if opened is None:
                    named.append((name, tag.id, None))
                elif opened.target_kind == "commit":
                    told = versions.get(told_version(opened.message) or "")
                    named.append((name, opened.target, told.id if told else None))
        # The version that it names is one question. Where it names none, or wrongly, all of them are.
        commits = self.commits_of(id for _, _, id in named if id)
        doubtful = {name for name, target, id in named if id is None or commits.get(id) != target}
        rest = {tag.id for name in doubtful for tag in self.tags.versions.get(name, {}).values()}
        return commits | self.commits_of(rest - set(commits))

    @functools.cached_property
    def _commit_ids(self) -> frozenset[str]:
        """Version tags that are lightweight: the tag's object is the commit itself."""
        ids = {tag.id for tags in self.tags.versions.values() for tag in tags.values()}
        lines = self.git.run(
            "cat-file", "--batch-check=%(objecttype)", input="".join(f"{id}\n" for id in ids).encode()
        ).decode()
        return frozenset(id for id, kind in zip(ids, lines.splitlines(), strict=True) if kind == "commit")

    def _annotated(self, id: str) -> bool:
        return id not in self._commit_ids

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

    def meaning(self, component: str, environment: str) -> Meaning:
        """What an environment's tag says."""
        tag = self.tags.environments[component][environment]
        return meaning(component, tag, self.tags.versions.get(component, {}), self._commits, self._objects)

    @functools.cached_property
    def differences(self) -> tuple[tuple[Foreign, ...], tuple[Behind, ...]]:
        """Where tags and ledger differ: tags that others moved, and tags that have not followed the ledger."""
        if self.ledger is None:
            return (), ()
        foreign: list[Foreign] = []
        behind: list[Behind] = []
        for component in sorted({*self.state.pointers, *self.tags.environments}):
            recorded = self.state.pointers.get(component, {})
            tagged = self.tags.environments.get(component, {})
            for environment in sorted({*recorded, *tagged}):
                tag = tagged.get(environment)
                said = self.meaning(component, environment) if tag else None
                if said is not None and said.version == recorded.get(environment) and said.version is not None:
                    continue
                moved = self.ledger.touching(component, environment)
                if tag is None:
                    behind.append(self._behind(component, environment, None, moved))
                elif moved and moved.tag_before == tag.id and moved.tag != tag.id and self._is_tag(tag.id):
                    behind.append(self._behind(component, environment, tag, moved))
                elif said is not None and (moved is None or moved.tag != tag.id):
                    foreign.append(Foreign(component, environment, recorded.get(environment), tag, said))
        return tuple(foreign), tuple(behind)

    def _is_tag(self, id: str) -> bool:
        return id in self._objects and self._objects[id].kind == "tag"

    def _behind(self, component: str, environment: str, tag: Tag | None, moved: Moved | None) -> Behind:
        ref = tag.ref if tag else f"{PREFIX}components/{component}/{environment}"
        return Behind(
            component,
            environment,
            ref,
            tag.id if tag else None,
            moved.tag if moved else None,
            self.state.version(component, environment),
        )

    # What is not in the ledger yet

    @functools.cached_property
    def untold_versions(self) -> dict[str, dict[str, Tag]]:
        """The versions that have a tag and are not in the ledger."""
        recorded = self.ledger.state().versions if self.ledger else {}
        untold = {
            name: {version: tag for version, tag in tags.items() if version not in recorded.get(name, {})}
            for name, tags in self.tags.versions.items()
        }
        return {name: tags for name, tags in untold.items() if tags}

    def creations(self, wanted: Mapping[str, Mapping[str, Tag]], *, dated: bool) -> list[Created]:
        """The changes that tell of these versions; those whose file is not to be found are left out."""
        commits = self.commits_of(tag.id for tags in wanted.values() for tag in tags.values())
        self._locate(
            (name, commits[tag.id]) for name, tags in wanted.items() for tag in tags.values() if tag.id in commits
        )
        dates = self._dates([tag.id for tags in wanted.values() for tag in tags.values()] if dated else [], commits)
        found = []
        for name, tags in sorted(wanted.items()):
            for version in sorted(tags, key=precedence):
                tag = tags[version]
                commit = commits.get(tag.id)
                file = self.located.get((name, commit)) if commit else None
                if commit and file:
                    actor, at = dates.get(tag.id, (None, None))
                    type = tag.type or file.type
                    found.append(Created(name, version, tag.id, commit, type, file.path, at, actor))
        return found

    @functools.cached_property
    def located(self) -> dict[tuple[str, str], File]:
        """(component, commit) → the component's file there, as far as it was looked for."""
        return {}

    def file_at(self, component: str, commit: str) -> File | None:
        """The component's file at a commit."""
        self._locate([(component, commit)])
        return self.located.get((component, commit))

    def _locate(self, wanted: Iterable[tuple[str, str]]) -> None:
        missing = [pair for pair in dict.fromkeys(wanted) if pair not in self.located]
        # Where the file lies today it has mostly always lain: that is one question for all of them.
        guesses = {(name, commit): self.components[name] for name, commit in missing if name in self.components}
        ids = self.git.check(f"{commit}:{component.path}" for (_, commit), component in guesses.items())
        for (name, commit), component in guesses.items():
            blob = ids.get(f"{commit}:{component.path}")
            if blob:
                self.located[name, commit] = File(component.path, component.type, blob)
        by_commit: dict[str, list[str]] = {}
        for name, commit in missing:
            if (name, commit) not in self.located:
                by_commit.setdefault(commit, []).append(name)
        for commit, names in by_commit.items():
            there = self._discovered(commit)
            paths = {name: there[name] for name in names if name in there}
            ids = self.git.check(f"{commit}:{component.path}" for component in paths.values())
            for name, component in paths.items():
                blob = ids.get(f"{commit}:{component.path}")
                if blob:
                    self.located[name, commit] = File(component.path, component.type, blob)

    def _dates(self, tags: Sequence[str], commits: Mapping[str, str]) -> dict[str, tuple[str | None, datetime | None]]:
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
            dates[tag] = (actor, instant(at) if at is not None else None)
        return dates

    @functools.cached_property
    def genesis(self) -> Entry | None:
        """The first entry of a ledger, from what the tags still say; None where they say nothing, or it has begun."""
        if self.ledger or not self.tags.components():
            return None
        changes: list[Change] = [*self.creations(self.tags.versions, dated=True)]
        moves = []
        for component, tags in self.tags.environments.items():
            for environment, tag in tags.items():
                said = self.meaning(component, environment)
                if said.version is None:
                    continue
                at = instant(said.at) if said.at is not None else None
                moves.append(
                    Moved(component, environment, None, said.version, None, tag.id, said.version_tag, at, said.actor)
                )
        moves.sort(key=lambda m: (m.at is not None, m.at or instant(0), m.component, m.environment))
        changes += moves
        if not changes:
            return None
        latest = max((change.at for change in changes if change.at), default=instant(0))
        return Entry(
            "",
            None,
            1,
            latest,
            "",
            f"Begin the ledger from {len(changes)} tags",
            tuple(changes),
        )

    @property
    def unclear(self) -> list[tuple[str, str, str]]:
        """Environments' tags that mean no version, with why."""
        return [
            (component, environment, said.problem)
            for component, tags in sorted(self.tags.environments.items())
            for environment in sorted(tags)
            if (said := self.meaning(component, environment)).problem
        ]


def published_pointers(state: State) -> dict[str, dict[str, str]]:
    """The version map of a state: its pointers, with `latest` and `stable`."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted({*state.pointers, *state.versions}):
        pointers = dict(sorted(state.pointers.get(name, {}).items()))
        versions = state.versions.get(name, {})
        latest, stable = highest(versions), highest(versions, stable=True)
        if latest:
            pointers["latest"] = latest
        if stable:
            pointers["stable"] = stable
        found[name] = pointers
    return found


def open_world(start: Path) -> World:
    """The world of the repository that a folder lies in."""
    return World(Git.open(start))
