"""Completion: what the shell is told. A repository that cannot be read completes to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from edgit.commands.context import open_git
from edgit.errors import EdgitError
from edgit.git.process import Git
from edgit.repository.catalog import read_catalog, versions_of
from edgit.repository.reading import read_live, read_repository


def complete_component(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of components."""
    return _completed(incomplete, lambda git: sorted(_names(git)))


def complete_version(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Versions of the component named before, the highest first."""
    return _completed(incomplete, lambda git: versions_of(read_repository(git), _component_before(ctx)))


def complete_reference(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of components; behind `NAME@` its versions, the highest first."""
    name, at, _ = incomplete.partition("@")
    if not at:
        return _completed(incomplete, lambda git: sorted(_names(git)))
    return _completed(incomplete, lambda git: [f"{name}@{each}" for each in versions_of(read_repository(git), name)])


def complete_pairs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """A component, or a version of the component just named."""
    words: tuple[str, ...] = ctx.params.get("pairs") or ()
    if len(words) % 2:
        return _completed(incomplete, lambda git: versions_of(read_repository(git), words[-1]))
    return _completed(incomplete, lambda git: sorted(_names(git) - set(words)))


def complete_versioned(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """A component, then `@` and one of its versions."""

    def words(git: Git) -> Iterable[str]:
        name, at, _ = incomplete.partition("@")
        if at:
            return [f"{name}@{version}" for version in versions_of(read_repository(git), name)]
        return sorted(f"{name}@" for name in _names(git))

    return _completed(incomplete, words)


def complete_environment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Environments in use; behind `--from` those of the component named before."""
    name = _component_before(ctx) if "--from" in param.opts else ""

    def environments(git: Git) -> list[str]:
        pointers = read_live(git).pointers
        chosen = [pointers[name]] if name in pointers else pointers.values()
        return sorted({environment for found in chosen for environment in found})

    return _completed(incomplete, environments)


def complete_kv(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The KVs that can be named."""
    return [target for target in ("local", "cloudflare") if target.startswith(incomplete)]


def _names(git: Git) -> set[str]:
    return read_catalog(read_repository(git)).names


def _component_before(ctx: click.Context) -> str:
    """The component that the words so far name; behind an option they are not given out as parameters yet."""
    words = [ctx.params.get("component"), *(ctx.params.get("components") or ()), *ctx.args]
    return next((word.partition("@")[0] for word in words if word), "")


def _completed(incomplete: str, words: Callable[[Git], Iterable[str]]) -> list[str]:
    try:
        return [word for word in words(open_git()) if word.startswith(incomplete)]
    except (EdgitError, OSError):
        return []
