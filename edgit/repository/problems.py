"""What is in a repository and cannot be used as it stands, for a person to read: nothing is dropped in silence."""

from __future__ import annotations

from edgit.components.discovery import Component
from edgit.components.files import locate, read_files_if_possible, read_unusable_files
from edgit.components.keys import by_key
from edgit.components.registry import REGISTRY
from edgit.components.tags import Tag, unread
from edgit.git.tags import commits_of
from edgit.ledger.entries import Created
from edgit.repository.reading import Repository, read_past
from edgit.repository.records import locate_tagged
from resolver.errors import listed


def unclear_tags(repository: Repository) -> list[tuple[str, str, str]]:
    """Environments' tags that mean no version, with why: component, environment, problem."""
    return [
        (*each.pointer, each.meaning.problem)
        for each in sorted(repository.environment_tags, key=lambda each: each.pointer)
        if each.counts and each.meaning.problem
    ]


def read_problems(repository: Repository) -> list[str]:
    """A sentence for each problem; `unclear_tags` are told apart from these."""
    return [
        *(f"the tag {name} is not read: {why}" for name, why in unread(repository.refs)),
        *_duplicates(repository),
        *(
            f"the tag {tag.name} is at no commit with a file of {name}, and is left out; "
            f"if the file lay elsewhere, name that in {REGISTRY}"
            for name, tags in read_versions_without_file(repository).items()
            for tag in tags
        ),
        *(problem for _, problem in read_naming_problems(repository)),
        *(f"{path}: {why}" for path, why in read_unusable_files(repository.git)),
    ]


def read_naming_problems(repository: Repository) -> list[tuple[Component, str]]:
    """Files that claim one type and name, and files whose name is another one than they are tagged under."""
    components = by_key(read_files_if_possible(repository.git), repository.types)
    found = [
        (
            component,
            f"`{key}` is the name of several files: {listed([component.path, *component.others])}; the first counts, "
            f"unless {REGISTRY} names another",
        )
        for key, component in sorted(components.items())
        if component.others
    ]
    unversioned = {c.path: key for key, c in components.items() if c.said and key not in repository.types}
    if not unversioned:
        return found
    for (tagged, version), path in sorted(read_last_paths(repository).items()):
        key = unversioned.get(path)
        if key is not None and tagged not in components:
            problem = f"{path} says that its name is `{key}`, and it is tagged as `{tagged}`, which is read as before"
            found.append((components[key], f"{problem}; next: edgit tag create {key} {version}"))
    return found


def read_last_paths(repository: Repository) -> dict[tuple[str, str], str]:
    """(component, its last version) → the file that this was made from, as far as it is on record."""
    last = {
        change.component: change
        for entry in read_past(repository)
        for change in entry.changes
        if isinstance(change, Created)
    }
    return {(name, change.version): change.path for name, change in last.items() if change.path}


def read_versions_without_file(repository: Repository) -> dict[str, list[Tag]]:
    """The tags of versions whose file is not found where they point."""
    unrecorded = repository.unrecorded_versions()
    if repository.tip:
        commits = commits_of(repository.git, (tag.id for tags in unrecorded.values() for tag in tags.values()))
        there = set(locate_tagged(repository.git, unrecorded, repository.types, commits))
    else:
        there = {(name, version) for name, versions in repository.state.versions.items() for version in versions}
    left = {name: [tag for v, tag in tags.items() if (name, v) not in there] for name, tags in unrecorded.items()}
    return {name: tags for name, tags in sorted(left.items()) if tags}


def _duplicates(repository: Repository) -> list[str]:
    """Several tags for one thing that do not say the same."""
    tags = repository.tags
    meanings = {(each.pointer, each.tag.ref): each.meaning.version for each in repository.environment_tags}
    files = _read_duplicate_files(repository)
    found: list[str] = []
    for (name, slot), others in sorted(tags.duplicates.items()):
        if counts := tags.environments.get(name, {}).get(slot):
            version = meanings[(name, slot), counts.ref]
            found += [
                f"the tag {tag.name} says {said}, and {counts.name}, which was set later, {version or 'nothing'}; "
                "the latter counts"
                for tag in others
                if (said := meanings[(name, slot), tag.ref]) not in (None, version)
            ]
        else:
            counts = tags.versions[name][slot]
            found += [
                f"the tags {tag.name} and {counts.name} are two different files; the latter counts"
                for tag in others
                if files.get((name, tag.id)) not in (None, files.get((name, counts.id)))
            ]
    return found


def _read_duplicate_files(repository: Repository) -> dict[tuple[str, str], str]:
    """(component, tag object) → the file there, of all versions that have several tags."""
    several = [
        (name, tag.id)
        for (name, version), others in repository.tags.duplicates.items()
        if (counts := repository.tags.versions.get(name, {}).get(version))
        for tag in (counts, *others)
    ]
    commits = commits_of(repository.git, (id for _, id in several))
    ends = {(name, id): commits[id] for name, id in several if id in commits}
    located = locate(repository.git, ((name, commit) for (name, _), commit in ends.items()), repository.types)
    return {(name, id): located[name, commit].blob for (name, id), commit in ends.items() if (name, commit) in located}
