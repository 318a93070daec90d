"""Whether every reference of every ensemble leads to a version: dangling, out of range, unreachable.

Rules:

- the same choice is made that the edge makes, for one environment, from what git says;
- a version that is written out must exist, and its file must be there;
- every ensemble is looked at to its end; an ensemble that cannot be read is a finding like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from resolver.documents import Snapshot
from resolver.ensemble import format_path, load_ensemble, read_yaml
from resolver.errors import InvalidEnsemble, NotFound, listed, nearest
from resolver.plan import Request, choose
from resolver.reference import Reference


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a reference, and where; lines and columns from 1."""

    file: str
    line: int | None
    column: int | None
    kind: str
    reference: str | None
    detail: str

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{where}: {self.kind}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Known:
    """What git says of the components; `reachable` tells whether a version's file can be read."""

    snapshot: Snapshot
    versions: Mapping[str, tuple[str, ...]]
    types: Mapping[str, str | None]
    reachable: Callable[[str, str], bool]


def check(ensembles: Iterable[tuple[str, str]], known: Known, environment: str) -> tuple[list[Finding], int]:
    """What is wrong in these (file, text), and how many references were looked at."""
    findings: list[Finding] = []
    count = 0
    for file, text in ensembles:
        try:
            ensemble = load_ensemble(text, file)
        except InvalidEnsemble as error:
            findings.append(Finding(file, error.line, error.column, "invalid", None, error.detail))
            continue
        source = read_yaml(text, file)
        places = {format_path(path): place for path, place in source.places.items()}
        for unit in ensemble.units:
            for site in unit.sites:
                reference = site.found.reference
                if not site.found.certain and reference.name not in known.versions:
                    continue
                count += 1
                line, column = source.lines.position(places[site.path].index)
                findings += [
                    Finding(file, line, column, kind, str(reference), detail)
                    for kind, detail in _faults(reference, known, environment)
                ]
    findings.sort(key=lambda found: (found.file, found.line or 0, found.column or 0))
    return findings, count


def _faults(reference: Reference, known: Known, environment: str) -> Iterator[tuple[str, str]]:
    name, selector = reference.name, reference.selector
    versions = known.versions.get(name)
    if versions is None:
        close = nearest(name, known.versions)
        yield (
            "dangling",
            f"`{reference}`: unknown component `{name}`." + (close or f" There are {listed(known.versions)}"),
        )
        return
    type = known.types.get(name)
    if reference.type and type and reference.type != type:
        yield "type", f"`{reference}` says {reference.type}, and {name} is a {type}"
    if selector is not None and selector.kind == "version":
        version = selector.text
        if version not in versions:
            yield "dangling", f"`{reference}`: {name} has no {version}; it has {listed(versions)}"
            return
    else:
        try:
            version = choose(reference, known.snapshot, Request(environment=environment)).version
        except NotFound as error:
            kind = "out of range" if selector is not None and selector.kind == "range" else "dangling"
            yield kind, f"`{reference}`: {error.detail}"
            return
    if not known.reachable(name, version):
        yield "unreachable", f"`{reference}`: {name} {version} has no file in git any more"
