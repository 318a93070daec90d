"""The ensemble as one run must run it: what contents refer to is resolved too, and all contents stand in their places.

Rules:

- a versioned agent's YAML may name components, and a text may include others: `{{> template://header@v1.0.0}}`. They
  are resolved from the same snapshot, for the same key;
- what includes itself is refused, and so is what goes deeper than `DEEPEST` or has more than `MOST_INCLUDED` parts;
- how the contents are put into the ensemble says `resolver/ensemble/expand.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from resolver.ensemble import Site, find_sites, read_yaml
from resolver.ensemble.expand import WITHIN, Placed, Verdict, expand
from resolver.errors import InvalidEnsemble, InvalidReference
from resolver.plan import AgentDecision, Plan, ResolvedReference, resolve_site
from resolver.reference import Reference, find_reference
from resolver.snapshot import Pin, Request, Resolver

#: How deep contents may include others, and how many parts one run may have.
DEEPEST = 8
MOST_INCLUDED = 256
#: Contents of which an isolate remembers what they refer to.
_MOST_READ = 512

#: `{{> template://header@v1.0.0}}`, with or without quotes, and with parameters behind it.
_PARTIAL = re.compile(r"""\{\{>\s*(["']?)([^}"'\s]+)\1[^}]*\}\}""")


class Desk(Protocol):
    """What a request can do with references; `worker/edge.py` has it."""

    async def prepared(self, references: Sequence[Reference], request: Request) -> tuple[Resolver, Request]:
        """The resolver and the request with all that these references need."""

    async def filled(
        self, resolved: Sequence[ResolvedReference], references: Mapping[str, Reference], request: Request
    ) -> tuple[ResolvedReference, ...]:
        """The same references with their contents."""


class Run(NamedTuple):
    """What a run is made of: the ensemble, and what its contents include."""

    ensemble: dict[str, Any]
    included: tuple[ResolvedReference, ...]


class _Part(NamedTuple):
    """A content, and the contents that it stands in, itself among them."""

    found: ResolvedReference
    chain: tuple[Pin, ...]


async def expanded(plan: Plan, agents: Iterable[AgentDecision], desk: Desk, request: Request) -> Run:
    """The ensemble of this run. The agents that may run have their contents.

    Raises `NotFound` for what does not exist, `InvalidEnsemble` for contents that include themselves or are no YAML.
    """
    agents = tuple(agents)
    parts = {
        found.path: _Part(found, (_pin(found),))
        for agent in agents
        if agent.selected is not False
        for found in agent.references
    }
    included = await _included(tuple(parts.values()), desk, request)
    contents = {found.path: found for found in (*(part.found for part in parts.values()), *included)}
    placed = {
        path: Placed(found.component, str(found.version), found.type, _with_partials(path, contents))
        for path, found in contents.items()
    }
    ensemble = expand(plan.raw, {agent.path: _verdict(agent) for agent in agents}, placed)
    return Run(ensemble, tuple(included))


async def _included(level: Sequence[_Part], desk: Desk, request: Request) -> list[ResolvedReference]:
    """What the contents of this level refer to, and what that refers to, to the end."""
    included: list[ResolvedReference] = []
    for _ in range(DEEPEST):
        sites = {f"{part.found.path}{WITHIN}{site.path}": (part, site) for part in level for site in _sites(part.found)}
        if not sites:
            return included
        if len(included) + len(sites) > MOST_INCLUDED:
            raise InvalidEnsemble(f"the contents include more than {MOST_INCLUDED} others")
        references = {path: site.found.reference for path, (_, site) in sites.items()}
        resolver, request = await desk.prepared(tuple(references.values()), request)
        resolved = []
        for path, (part, site) in sites.items():
            found = resolve_site(Site(path, site.found), resolver, request)
            if found is not None and _pin(found) in part.chain:
                way = " → ".join(f"{name}@{version}" for name, version in (*part.chain, _pin(found)))
                raise InvalidEnsemble(f"a content includes itself: {way}", field=path)
            if found is not None:
                resolved.append(found)
        filled = await desk.filled(resolved, references, request)
        included += filled
        level = [_Part(found, (*sites[found.path][0].chain, _pin(found))) for found in filled]
    raise InvalidEnsemble(f"contents include others more than {DEEPEST} levels deep", field=level[0].found.path)


def _sites(found: ResolvedReference) -> tuple[Site, ...]:
    is_agent = found.type == "agent" or found.path.endswith(".agent")
    return _sites_in(found.content or "", f"{found.component}@{found.version}", is_agent)


@functools.lru_cache(_MOST_READ)
def _sites_in(text: str, file: str, is_agent: bool) -> tuple[Site, ...]:
    """Where a content refers to others, each by its path in it: of an agent that of a field, else the partial's name.

    Raises `InvalidEnsemble` for an agent that is no YAML, and for a reference that is none.
    """
    if not is_agent:
        return tuple(_partials(text, file))
    source = read_yaml(text, file)
    return tuple(find_sites(source, ())) if isinstance(source.value, dict) else ()


def _partials(text: str, file: str) -> Iterator[Site]:
    for _, written in dict.fromkeys(_PARTIAL.findall(text)):
        try:
            found = find_reference(None, written, direct=False)
        except InvalidReference as error:
            raise InvalidEnsemble(f"{file}: `{written}`: {error.detail}") from None
        if found is not None:
            yield Site(written, found)


def _with_partials(path: str, contents: Mapping[str, ResolvedReference]) -> str:
    """A content, with the contents of what it includes in their places."""

    def part(match: re.Match[str]) -> str:
        inner = f"{path}{WITHIN}{match[2]}"
        return _with_partials(inner, contents) if inner in contents else match[0]

    return _PARTIAL.sub(part, contents[path].content or "")


def _pin(found: ResolvedReference) -> Pin:
    return found.component, str(found.version)


def _verdict(agent: AgentDecision) -> Verdict:
    if agent.selected is None:
        return "open" if agent.reason == "needs" else "during"
    return "run" if agent.selected else "absent"
