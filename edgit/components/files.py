"""Where the file of a component lies, today and at any commit.

Rules:

- today's files are those of the work tree that git does not ignore; a bare repository's are those of `HEAD`;
- a link is no file of its own, and neither is a submodule: what git keeps of them is where they lead to;
- at a commit the registry of that commit counts, then where the file lies today, then what discovery finds there;
- git is asked as often for a thousand commits as for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def read_components(git: Git) -> dict[str, Component]:
    """The components among the files of today. Raises `EdgitError` where the registry cannot be read."""
    if git.bare:
        head = git.commit_of("HEAD")
        if head is None:
            return {}
        registered = _read_registries(git, [head]).get(head, {})
        return discover(_read_files(git, [head])[head], registered)
    command = ["ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard", "--", *FOLDERS]
    listed = git.run(*command).decode(errors="surrogateescape").split("\0")
    registry = git.root / REGISTRY
    registered = read_registry(registry.read_bytes()) if registry.is_file() else {}
    # `S` is a file that a sparse checkout leaves out of the work tree.
    found = (line.split(" ", 1) for line in listed if line)
    return discover({path for mark, path in found if mark == "S" or _is_file(git.root / path)}, registered)


def read_components_if_possible(git: Git) -> dict[str, Component]:
    """The same, and none where the registry cannot be read: that must keep nobody from rolling back."""
    try:
        return read_components(git)
    except EdgitError:
        return {}


def locate(git: Git, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], ComponentFile]:
    """(component, commit) → the component's file there; those that have none are left out."""
    missing = list(dict.fromkeys(wanted))
    if not missing:
        return {}
    today = read_components_if_possible(git)
    registries = _read_registries(git, dict.fromkeys(commit for _, commit in missing))
    # A file has mostly lain where it lies today, or moved with all the others into components/ or out of it: that is
    # one question for all of them.
    guesses = {
        (name, commit): registries.get(commit, {}).get(name) or today[name]
        for name, commit in missing
        if name in registries.get(commit, {}) or name in today
    }
    located = _check_guesses(git, guesses)
    located |= _check_guesses(git, {pair: _elsewhere(guess) for pair, guess in guesses.items() if pair not in located})
    return located | _search(git, [pair for pair in missing if pair not in located], registries)


def _check_guesses(git: Git, guesses: Mapping[tuple[str, str], Component]) -> dict[tuple[str, str], ComponentFile]:
    """Those of the guesses that are right."""
    ids = git.check(f"{commit}:{component.path}" for (_, commit), component in guesses.items())
    return {
        (name, commit): ComponentFile(component.path, component.type, blob)
        for (name, commit), component in guesses.items()
        if (blob := ids.get(f"{commit}:{component.path}"))
    }


def _search(
    git: Git, wanted: Sequence[tuple[str, str]], registries: Mapping[str, Mapping[str, Component]]
) -> dict[tuple[str, str], ComponentFile]:
    """What discovery finds among all files of the commits."""
    names: dict[str, list[str]] = {}
    for name, commit in wanted:
        names.setdefault(commit, []).append(name)
    located: dict[tuple[str, str], ComponentFile] = {}
    for commit, files in _read_files(git, list(names)).items():
        there = discover(files, registries.get(commit, {}))
        for name in names[commit]:
            if name in there and there[name].path in files:
                path = there[name].path
                located[name, commit] = ComponentFile(path, there[name].type, files[path])
    return located


def _read_registries(git: Git, commits: Iterable[str]) -> dict[str, dict[str, Component]]:
    """Commit → what its registry names. One that cannot be read names nothing: the past cannot be mended."""
    blobs = git.check(f"{commit}:{REGISTRY}" for commit in commits)
    read: dict[str, dict[str, Component]] = {}
    for id, object in git.read(blobs.values()).items():
        try:
            read[id] = read_registry(object.body)
        except EdgitError:
            read[id] = {}
    return {name.partition(":")[0]: read[id] for name, id in blobs.items() if id in read}


def _read_files(git: Git, commits: Sequence[str]) -> dict[str, dict[str, str]]:
    """Commit → its files in the folders of components: path → blob."""
    tops = {commit: f"{commit}^{{tree}}" for commit in commits}
    roots = git.check(tops.values())
    trees = _read_trees(git, roots.values())
    flat: dict[str, dict[str, str]] = {}
    files: dict[str, dict[str, str]] = {}
    for commit, top in tops.items():
        root = trees.get(roots.get(top, ""), {})
        inside = {name: entry.id for name, entry in root.items() if name in FOLDERS and entry.is_tree}
        files[commit] = {
            f"{name}/{path}": blob for name, id in inside.items() for path, blob in _flatten(trees, id, flat).items()
        }
    return files


def _read_trees(git: Git, roots: Iterable[str]) -> dict[str, dict[str, TreeEntry]]:
    """The folders of components below these roots. They are read a level at a time, and each folder once, in however
    many commits it stands."""
    trees: dict[str, dict[str, TreeEntry]] = {}
    wanted = set(roots)
    top = True
    while wanted:
        trees |= {id: git.tree(object.body) for id, object in git.read(wanted).items()}
        below = {
            entry.id
            for id in wanted
            for name, entry in trees.get(id, {}).items()
            if entry.is_tree and (not top or name in FOLDERS)
        }
        wanted = below - trees.keys()
        top = False
    return trees


def _flatten(trees: Mapping[str, Mapping[str, TreeEntry]], id: str, flat: dict[str, dict[str, str]]) -> dict[str, str]:
    """All files below a folder: path → blob. `flat` keeps what was flattened before."""
    if id not in flat:
        here: dict[str, str] = {}
        flat[id] = here
        for name, entry in trees.get(id, {}).items():
            if entry.is_tree:
                here |= {f"{name}/{path}": blob for path, blob in _flatten(trees, entry.id, flat).items()}
            elif entry.is_file:
                here[name] = entry.id
    return flat[id]


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _elsewhere(component: Component) -> Component:
    """The same file in the other place that a component may have: below components/ or not."""
    inside = component.path.startswith("components/")
    path = component.path.removeprefix("components/") if inside else f"components/{component.path}"
    return replace(component, path=path)
