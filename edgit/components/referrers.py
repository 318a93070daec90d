"""Where ensembles refer to a component.

Rules:

- the same choice is made that `edgit check` and the edge make, for one environment;
- an ensemble that cannot be read refers to nothing here; `edgit check` tells it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgit.components.check import KnownComponents
from resolver.ensemble import format_path, load_ensemble, read_yaml
from resolver.errors import InvalidEnsemble, NotFound
from resolver.snapshot import Request


@dataclass(frozen=True, slots=True)
class Referrer:
    """A reference in an ensemble, and the version that it leads to in the environment; None where to none."""

    file: str
    line: int
    column: int
    reference: str
    version: str | None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.reference}"


def find_referrers(
    ensembles: Iterable[tuple[str, str]], known: KnownComponents, component: str, environment: str
) -> Iterator[Referrer]:
    """The references to a component in these (file, text)."""
    for file, text in ensembles:
        try:
            ensemble = load_ensemble(text, file)
        except InvalidEnsemble:
            continue
        source = read_yaml(text, file)
        places = {format_path(path): place for path, place in source.places.items()}
        for site in dict.fromkeys(site for unit in ensemble.units for site in unit.sites):
            reference = site.found.reference
            try:
                if known.resolver.component(reference) != component:
                    continue
                version = known.resolver.choose(reference, Request(environment=environment)).version
            except NotFound:
                version = None
            line, column = source.lines.position(places[site.path].index)
            yield Referrer(file, line, column, str(reference), version)
