"""What serves a version: every pointer that names it, and how many requests that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resolver.rollout import RolloutTable

#: The pointers that follow the versions.
DERIVED = ("latest", "stable")
_CANARY = "-canary"


@dataclass(frozen=True, slots=True)
class Serving:
    """A pointer that serves a version, and to how many requests, in words."""

    component: str
    pointer: str
    version: str
    share: str

    @property
    def derived(self) -> bool:
        """Whether it follows the versions, so that only a withdrawal takes the version out of it."""
        return self.pointer.split(" ")[0] in DERIVED

    def __str__(self) -> str:
        return f"{self.component} {self.pointer}: {self.version}, {self.share}"


def still_serving(
    pointers: Mapping[str, str], component: str, version: str, table: RolloutTable | None, type: str | None
) -> Iterator[Serving]:
    """What serves a version of a component, whose `pointers` hold `latest` and `stable` too. Without a `table` it is
    not known how many requests a canary takes; one that takes none serves nobody."""
    there = sorted(pointer for pointer, live in pointers.items() if live == version)
    if derived := [pointer for pointer in there if pointer in DERIVED]:
        share = " and ".join(f"{component}@{pointer}" for pointer in derived)
        yield Serving(component, " and ".join(derived), version, f"every reference {share}")
    for pointer in there:
        stable = pointer.removesuffix(_CANARY)
        if pointer in DERIVED:
            continue
        if stable == pointer:
            share = f"all requests of {pointer}"
        elif table is None:
            share = f"a canary of {stable}; which share it takes is in KV: edgit canary get {component}"
        else:
            percentage = table.percentage(component, stable, type, version)
            if not percentage.threshold:
                continue
            share = f"{percentage} % of the requests of {stable}"
        yield Serving(component, pointer, version, share)
