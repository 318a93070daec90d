"""Where the file of a component lies, today and at any commit.

Rules:

- today's files are those of the work tree that git does not ignore; a bare repository's are those of `HEAD`;
- a link is no file of its own, and neither is a submodule: what git keeps of them is where they lead to;
- at a commit the registry of that commit counts, then where the file lies today, then what discovery finds there, then
  the path alone: so files were called before they said their names, and what is tagged so is read so;
- git is asked as often for a thousand commits as for one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edgit.components.discovery import FOLDERS, Component, call, discover, read_path, says_name, unusable_name
from edgit.components.keys import pick
from edgit.components.registry import REGISTRY, read_registry
from edgit.errors import EdgitError
from edgit.git.objects import Object, TreeEntry
from edgit.git.process import Git


class ComponentFile(NamedTuple):
    """A component's file at a commit; `blob` is its object's id."""

    path: str
    type: str | None
    blob: str


def read_files(git: Git) -> tuple[Component, ...]:
    """The components among the files of today. Raises `EdgitError` where the registry cannot be read."""
    if git.bare:
        head = git.commit_of("HEAD")
        if head is None:
            return ()
        files = _read_files(git, [head])
        registered = _read_registries(git, [head]).get(head, {})
        return discover(files[head], registered, functools.partial(_texts, _read_saying(git, files), files[head]))
    command = ["ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard", "--", *FOLDERS]
    listed = git.run(*command).decode(errors="surrogateescape").split("\0")
    registry = git.root / REGISTRY
    registered = read_registry(registry.read_bytes()) if registry.is_file() else {}
    # `S` is a file that a sparse checkout leaves out of the work tree.
    found = (line.split(" ", 1) for line in listed if line)
    there = {path for mark, path in found if mark == "S" or _is_file(git.root / path)}
    return discover(there, registered, lambda paths: _texts_of_today(git, paths))


def read_unusable_files(git: Git) -> list[tuple[str, str]]:
    """The files of today that lie where components do and are none, each with why; none in a bare repository."""
    if git.bare:
        return []
    command = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *FOLDERS]
    listed = sorted(filter(None, git.run(*command).decode(errors="surrogateescape").split("\0")))
    registered = {found.path for found in read_files_if_possible(git)}
    found: list[tuple[str, str]] = []
    for path in dict.fromkeys(listed):
        if path in registered:
            continue
        if (git.root / path).is_symlink():
            if read_path(path) and (git.root / path).is_file():
                found.append((path, f"it is a link; put a file there, or name the one it leads to in {REGISTRY}"))
        elif (name := unusable_name(path)) is not None:
            said = f"the name `{name}` cannot be a git tag; rename it, or name it in {REGISTRY}"
            found.append((path.encode(errors="backslashreplace").decode(), said))
    return found


def read_files_if_possible(git: Git) -> tuple[Component, ...]:
    """The same, and none where the registry cannot be read: that must keep nobody from rolling back."""
    try:
        return read_files(git)
    except EdgitError:
        return ()


def _texts_of_today(git: Git, paths: Iterable[str]) -> dict[str, str]:
    """What is in the work tree, else, of a file that a sparse checkout leaves out, in the index."""
    found: dict[str, bytes] = {}
    left = []
    for path in paths:
        try:
            found[path] = (git.root / path).read_bytes()
        except OSError:
            left.append(path)
    found |= {name.removeprefix(":"): object.body for name, object in git.read(f":{path}" for path in left).items()}
    return _decoded(found)


def _read_saying(git: Git, files: Mapping[str, Mapping[str, str]]) -> dict[str, Object]:
    """Of the files of commits those that say their names, by blob."""
    return git.read(blob for found in files.values() for path, blob in found.items() if says_name(path))


def _texts(read: Mapping[str, Object], files: Mapping[str, str], paths: Iterable[str]) -> dict[str, str]:
    """The texts of a commit's files, path → blob."""
    return _decoded({path: read[files[path]].body for path in paths if files[path] in read})


def _decoded(found: Mapping[str, bytes]) -> dict[str, str]:
    texts = {}
    for path, data in found.items():
        with suppress(UnicodeDecodeError):
            texts[path] = data.decode()
    return texts


def locate(
    git: Git, wanted: Iterable[tuple[str, str]], known: Mapping[str, str | None]
) -> dict[tuple[str, str], ComponentFile]:
    """(component, commit) → the component's file there; those that have none are left out. `known` are the keys that
    there are, with their types."""
    missing = list(dict.fromkeys(wanted))
    if not missing:
        return {}
    files = read_files_if_possible(git)
    today = {key: found for key in {key for key, _ in missing} if (found := pick(files, key, known))}
    registries = _read_registries(git, dict.fromkeys(commit for _, commit in missing))
    # A file has mostly lain where it lies today, or moved with all the others into components/ or out of it: that is
    # one question for all of them.
    guesses = {
        (key, commit): registered or today[key]
        for key, commit in missing
        if (registered := pick(list(registries.get(commit, {}).values()), key, known)) or key in today
    }
    located = _check_guesses(git, guesses)
    located |= _check_guesses(git, {pair: _elsewhere(guess) for pair, guess in guesses.items() if pair not in located})
    return located | _search(git, [pair for pair in missing if pair not in located], registries, known)


def _check_guesses(git: Git, guesses: Mapping[tuple[str, str], Component]) -> dict[tuple[str, str], ComponentFile]:
    """Those of the guesses that are right."""
    ids = git.check(f"{commit}:{component.path}" for (_, commit), component in guesses.items())
    right = {
        (key, commit): ComponentFile(component.path, component.type, blob)
        for (key, commit), component in guesses.items()
        if (blob := ids.get(f"{commit}:{component.path}"))
    }
    # A file that says its name today may have said another one then.
    saying = {pair: file for pair, file in right.items() if guesses[pair].said}
    read = git.read(file.blob for file in saying.values())
    for pair, file in saying.items():
        then = call(guesses[pair], _decoded({file.path: read[file.blob].body}).get(file.path))
        if then.name != guesses[pair].name:
            del right[pair]
    return right


def _search(
    git: Git,
    wanted: Sequence[tuple[str, str]],
    registries: Mapping[str, Mapping[str, Component]],
    known: Mapping[str, str | None],
) -> dict[tuple[str, str], ComponentFile]:
    """What discovery finds among all files of the commits, else what the paths alone say."""
    keys: dict[str, list[str]] = {}
    for key, commit in wanted:
        keys.setdefault(commit, []).append(key)
    located: dict[tuple[str, str], ComponentFile] = {}
    found_files = _read_files(git, list(keys))
    saying = _read_saying(git, found_files)
    for commit, files in found_files.items():
        there = discover(files, registries.get(commit, {}), functools.partial(_texts, saying, files))
        registered = {component.path for component in registries.get(commit, {}).values()}
        by_path = [found for path in sorted(files) if path not in registered and (found := read_path(path))]
        for key in keys[commit]:
            found = pick(there, key, known) or pick(by_path, key, known)
            if found and found.path in files:
                located[key, commit] = ComponentFile(found.path, found.type, files[found.path])
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
