"""Whether every reference of every ensemble leads to a version, and what in it is probably a slip.

Rules:

- the same choice is made that the edge makes, for one environment, from what git says;
- a version that is written out must exist, and its file must be there;
- every ensemble is looked at to its end; an ensemble that cannot be read is a finding like any other;
- what loads, and is close to something that is known, is a finding too (`slip`). A name that nothing in the ensemble
  has, and that is close to none, is a `warning`: a caller may send it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from resolver.ensemble import Slip, format_path, load_ensemble, read_yaml
from resolver.errors import InvalidEnsemble, NotFound, listed, nearest
from resolver.reference import Reference
from resolver.snapshot import Request, Resolver

#: The kind of a finding that may be no fault.
WARNING = "warning"
#: The kinds that say nothing of where a reference leads.
APART = ("invalid", "slip", WARNING)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a reference, and where; lines and columns from 1. One of the kind WARNING may be right."""

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
class KnownComponents:
    """What git says of the components; `reachable` tells whether a version's file can be read."""

    resolver: Resolver
    versions: Mapping[str, tuple[str, ...]]
    reachable: Callable[[str, str], bool]


def check(ensembles: Iterable[tuple[str, str]], known: KnownComponents, environment: str) -> tuple[list[Finding], int]:
    """What is wrong in these (file, text), and how many references were looked at."""
    findings: list[Finding] = []
    count = 0
    for file, text in ensembles:
        try:
            ensemble = load_ensemble(text, file)
        except InvalidEnsemble as error:
            findings.append(Finding(file, error.line, error.column, "invalid", None, error.detail))
            continue
        findings += _slips(file, ensemble.slips, known)
        source = read_yaml(text, file)
        places = {format_path(path): place for path, place in source.places.items()}
        for unit in ensemble.units:
            for site in unit.sites:
                reference = site.found.reference
                if not site.found.certain and known.resolver.known(reference) not in known.versions:
                    continue
                count += 1
                line, column = source.lines.position(places[site.path].index)
                findings += [
                    Finding(file, line, column, kind, str(reference), detail)
                    for kind, detail in _faults(reference, known, environment)
                ]
    findings.sort(key=lambda found: (found.file, found.line or 0, found.column or 0))
    return findings, count


def _slips(file: str, slips: Iterable[Slip], known: KnownComponents) -> Iterator[Finding]:
    for slip in slips:
        # An agent that is a component of its own is meant as it is written.
        if slip.kind != "agent" or slip.written not in known.versions:
            yield Finding(file, slip.line, slip.column, "slip" if slip.sure else WARNING, None, slip.detail)


def _faults(reference: Reference, known: KnownComponents, environment: str) -> Iterator[tuple[str, str]]:
    try:
        name, selector = known.resolver.component(reference), reference.selector
    except NotFound as error:
        yield "type", f"`{reference}`: {error.detail}"
        return
    versions = known.versions.get(name)
    if versions is None:
        close = nearest(name, known.versions)
        yield (
            "dangling",
            f"`{reference}`: unknown component `{name}`." + (close or f" There are {listed(known.versions)}"),
        )
        return
    if selector is not None and selector.kind == "version":
        version = selector.text
        if version not in versions:
            yield "dangling", f"`{reference}`: {name} has no {version}; it has {listed(versions)}"
            return
    else:
        try:
            version = known.resolver.choose(reference, Request(environment=environment)).version
        except NotFound as error:
            kind = "out of range" if selector is not None and selector.kind == "range" else "dangling"
            yield kind, f"`{reference}`: {error.detail}"
            return
    if not known.reachable(name, version):
        yield "unreachable", f"`{reference}`: {name} {version} has no file in git any more"
