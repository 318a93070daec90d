"""Where the file of a component lies, today and at any commit.

Rules:

- today's files are those of the work tree that git does not ignore; a bare repository's are those of `HEAD`;
- a link is no file of its own, and neither is a submodule: what git keeps of them is where they lead to;
- at a commit the registry of that commit counts, then where the file lies today, then what discovery finds there;
- git is asked as often for a thousand commits as for one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edgit.components.discovery import FOLDERS, Component, discover
from edgit.components.registry import REGISTRY, read_registry
from edgit.errors import EdgitError
from edgit.git.objects import TreeEntry
from edgit.git.process import Git


class ComponentFile(NamedTuple):
    """A component's file at a commit; `blob` is its object's id."""

    path: str
    type: str | None
    blob: str


class Files:
    """The files of a repository's components. What was looked for once is kept."""

    def __init__(self, git: Git) -> None:
        self._git = git
        #: (component, commit) → the component's file there, as far as it was looked for.
        self.located: dict[tuple[str, str], ComponentFile] = {}

    @functools.cached_property
    def components(self) -> dict[str, Component]:
        """The components among the files of today. Raises `EdgitError` where the registry cannot be read."""
        git = self._git
        if git.bare:
            head = git.commit_of("HEAD")
            return self._discovered(head) if head else {}
        command = ["ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard", "--", *FOLDERS]
        listed = git.run(*command).decode(errors="surrogateescape").split("\0")
        registry = git.root / REGISTRY
        registered = read_registry(registry.read_bytes()) if registry.is_file() else {}
        # `S` is a file that a sparse checkout leaves out of the work tree.
        found = (line.split(" ", 1) for line in listed if line)
        return discover({path for mark, path in found if mark == "S" or _is_file(git.root / path)}, registered)

    @functools.cached_property
    def today(self) -> Mapping[str, Component]:
        """The same as far as it can be told: a registry that was spoilt a minute ago must keep nobody from rolling
        back."""
        try:
            return self.components
        except EdgitError:
            return {}

    def locate(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Look for the files of (component, commit)."""
        missing = [pair for pair in dict.fromkeys(wanted) if pair not in self.located]
        if not missing:
            return
        registries = self._registries(dict.fromkeys(commit for _, commit in missing))
        # A file has mostly lain where it lies today, or moved with all the others into components/ or out of it: that
        # is one question for all of them.
        guesses = {
            (name, commit): registries.get(commit, {}).get(name) or self.today[name]
            for name, commit in missing
            if name in registries.get(commit, {}) or name in self.today
        }
        self._look_for(guesses)
        self._look_for({pair: _elsewhere(guess) for pair, guess in guesses.items() if pair not in self.located})
        rest: dict[str, list[str]] = {}
        for name, commit in missing:
            if (name, commit) not in self.located:
                rest.setdefault(commit, []).append(name)
        for commit, files in self._files(list(rest)):
            there = discover(files, registries.get(commit, {}))
            for name in rest[commit]:
                if name in there and there[name].path in files:
                    path = there[name].path
                    self.located[name, commit] = ComponentFile(path, there[name].type, files[path])

    def _look_for(self, guesses: Mapping[tuple[str, str], Component]) -> None:
        ids = self._git.check(f"{commit}:{component.path}" for (_, commit), component in guesses.items())
        for (name, commit), component in guesses.items():
            if blob := ids.get(f"{commit}:{component.path}"):
                self.located[name, commit] = ComponentFile(component.path, component.type, blob)

    def _discovered(self, commit: str) -> dict[str, Component]:
        registered = self._registries([commit]).get(commit, {})
        return next(discover(files, registered) for _, files in self._files([commit]))

    def _registries(self, commits: Iterable[str]) -> dict[str, dict[str, Component]]:
        """Commit → what its registry names. One that cannot be read names nothing: the past cannot be mended."""
        blobs = self._git.check(f"{commit}:{REGISTRY}" for commit in commits)
        read: dict[str, dict[str, Component]] = {}
        for id, object in self._git.read(blobs.values()).items():
            try:
                read[id] = read_registry(object.body)
            except EdgitError:
                read[id] = {}
        return {name.partition(":")[0]: read[id] for name, id in blobs.items() if id in read}

    def _files(self, commits: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Each commit with its files in the folders of components: path → blob. Read a level of folders at a time, and
        each folder once, in however many commits it stands."""
        tops = {commit: f"{commit}^{{tree}}" for commit in commits}
        roots = self._git.check(tops.values())
        trees: dict[str, dict[str, TreeEntry]] = {}
        wanted = set(roots.values())
        level = 0
        while wanted:
            trees |= {id: self._git.tree(object.body) for id, object in self._git.read(wanted).items()}
            below = [
                entry.id
                for id in wanted
                for name, entry in trees.get(id, {}).items()
                if entry.is_tree and (level or name in FOLDERS)
            ]
            wanted = set(below) - trees.keys()
            level += 1
        files: dict[str, dict[str, str]] = {}

        def flat(id: str) -> dict[str, str]:
            if id not in files:
                here: dict[str, str] = {}
                files[id] = here
                for name, entry in trees.get(id, {}).items():
                    if entry.is_tree:
                        here |= {f"{name}/{path}": blob for path, blob in flat(entry.id).items()}
                    elif entry.is_file:
                        here[name] = entry.id
            return files[id]

        for commit, top in tops.items():
            root = trees.get(roots.get(top, ""), {})
            inside = {name: entry.id for name, entry in root.items() if name in FOLDERS and entry.is_tree}
            yield commit, {f"{name}/{path}": blob for name, id in inside.items() for path, blob in flat(id).items()}


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _elsewhere(component: Component) -> Component:
    """The same file in the other place that a component may have: below components/ or not."""
    inside = component.path.startswith("components/")
    path = component.path.removeprefix("components/") if inside else f"components/{component.path}"
    return replace(component, path=path)
