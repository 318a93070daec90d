"""Whether every reference of every ensemble leads to a version, and what in it is probably a slip.

Rules:

- the same choice is made that the edge makes, for one environment, from what git says;
- a version that is written out must exist, and its file must be there;
- what the content of a version refers to is followed, as the edge follows it for a run;
- every ensemble is looked at to its end; an ensemble that cannot be read is a finding like any other;
- what loads, and is close to something that is known, is a finding too (`slip`). A name that nothing in the ensemble
  has, and that is close to none, is a `warning`: a caller may send it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from resolver.ensemble import Site, Slip, format_path, load_ensemble, read_yaml
from resolver.ensemble.includes import DEEPEST, find_included
from resolver.errors import InvalidEnsemble, NotFound, listed, nearest
from resolver.reference import Reference
from resolver.snapshot import Choice, Pin, Request, Resolver

#: The kind of a finding that may be no fault.
WARNING = "warning"
#: Two files that are one component.
SAME_NAME = "same name"
#: A file that KV cannot hold.
UNPUBLISHABLE = "unpublishable"
#: The kinds that say nothing of where a reference leads.
APART = ("invalid", "slip", SAME_NAME, UNPUBLISHABLE, WARNING)


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
    """What git says of the components; `read` gives the contents of those versions whose files are there."""

    resolver: Resolver
    versions: Mapping[str, tuple[str, ...]]
    read: Callable[[Collection[Pin]], Mapping[Pin, str]]
    #: The versions that are withdrawn, with who withdrew each, when and why.
    withdrawn: Mapping[Pin, str] = field(default_factory=dict)


class _Asked(NamedTuple):
    """A reference, its place in an ensemble, and the contents on the way to it."""

    file: str
    line: int | None
    column: int | None
    reference: Reference
    chain: tuple[Pin, ...] = ()

    def finding(self, kind: str, detail: str) -> Finding:
        way = " → ".join(f"{name}@{version}" for name, version in self.chain)
        told = f"{detail}, in {way}" if way else detail
        return Finding(self.file, self.line, self.column, kind, str(self.reference), told)


def check(ensembles: Iterable[tuple[str, str]], known: KnownComponents, environment: str) -> tuple[list[Finding], int]:
    """What is wrong in these (file, text), and how many references were looked at."""
    findings: list[Finding] = []
    asked: list[_Asked] = []
    for file, text in ensembles:
        try:
            ensemble = load_ensemble(text, file)
        except InvalidEnsemble as error:
            findings.append(Finding(file, error.line, error.column, "invalid", None, error.detail))
            continue
        findings += _slips(file, ensemble.slips, known)
        source = read_yaml(text, file)
        places = {format_path(path): place for path, place in source.places.items()}
        for site in dict.fromkeys(site for unit in ensemble.units for site in unit.sites):
            if _is_meant(site, known):
                line, column = source.lines.position(places[site.path].index)
                asked.append(_Asked(file, line, column, site.found.reference))
    count = 0
    while asked:
        count += len(asked)
        asked, faults = _followed(asked, known, environment)
        findings += faults
    findings.sort(key=lambda found: (found.file, found.line or 0, found.column or 0))
    return findings, count


def _is_meant(site: Site, known: KnownComponents) -> bool:
    return site.found.certain or known.resolver.known(site.found.reference) in known.versions


def _followed(asked: Iterable[_Asked], known: KnownComponents, environment: str) -> tuple[list[_Asked], list[Finding]]:
    """What the contents of these references refer to, and what is wrong."""
    findings: list[Finding] = []
    chosen: list[tuple[_Asked, Choice]] = []
    for each in asked:
        choice = _choice(each.reference, known, environment)
        if isinstance(choice, Choice):
            chosen.append((each, choice))
        else:
            findings.append(each.finding(*choice))
    contents = known.read({(choice.component, choice.version) for _, choice in chosen})
    within: list[_Asked] = []
    for each, choice in chosen:
        pin = (choice.component, choice.version)
        chain = (*each.chain, pin)
        name = f"{pin[0]}@{pin[1]}"
        if why := known.withdrawn.get(pin):
            findings.append(each.finding(WARNING, f"`{each.reference}`: {pin[0]} {pin[1]} {why}"))
        if pin not in contents:
            findings.append(
                each.finding("unreachable", f"`{each.reference}`: {pin[0]} {pin[1]} has no file in git any more")
            )
        elif pin in each.chain:
            findings.append(each.finding("cycle", f"`{each.reference}`: {name} includes itself"))
        elif len(chain) > DEEPEST:
            findings.append(each.finding("cycle", f"`{each.reference}`: more than {DEEPEST} levels deep"))
        else:
            is_agent = choice.type == "agent" or each.reference.type == "agent"
            try:
                sites = find_included(contents[pin], name, is_agent)
            except InvalidEnsemble as error:
                findings.append(each.finding("invalid", f"`{each.reference}`: {name}: {error.detail}"))
                continue
            within += [
                each._replace(reference=site.found.reference, chain=chain) for site in sites if _is_meant(site, known)
            ]
    return within, findings


def _slips(file: str, slips: Iterable[Slip], known: KnownComponents) -> Iterator[Finding]:
    for slip in slips:
        # An agent that is a component of its own is meant as it is written.
        if slip.kind != "agent" or slip.written not in known.versions:
            yield Finding(file, slip.line, slip.column, "slip" if slip.sure else WARNING, None, slip.detail)


def _choice(reference: Reference, known: KnownComponents, environment: str) -> Choice | tuple[str, str]:
    """The version that a reference leads to; else what is wrong: of which kind, and how it is told."""
    try:
        name, selector = known.resolver.component(reference), reference.selector
    except NotFound as error:
        return "type", f"`{reference}`: {error.detail}"
    versions = known.versions.get(name)
    if versions is None:
        close = nearest(name, known.versions)
        there = close or f" There are {listed(known.versions)}"
        return "dangling", f"`{reference}`: unknown component `{name}`.{there}"
    if selector is not None and selector.kind == "version" and selector.text not in versions:
        return "dangling", f"`{reference}`: {name} has no {selector.text}; it has {listed(versions)}"
    try:
        return known.resolver.choose(reference, Request(environment=environment))
    except NotFound as error:
        kind = "out of range" if selector is not None and selector.kind == "range" else "dangling"
        return kind, f"`{reference}`: {error.detail}"
