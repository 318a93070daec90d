"""Which requests a canary takes: percentages, buckets, and the table that an operator tunes in KV.

Rules:

- the bucket of a request is the first 8 bytes of SHA-256(salt + "\\n" + key) as a big-endian unsigned integer; the
  request is in the canary when bucket < percentage × 2^64 / 100, computed exactly in integers;
- the salt is component, pointer's environment and canary's version, joined by newlines: raising the percentage only
  adds users, a new canary draws new ones, two components draw independently. With a group the salt is the group and
  the request's environment, and several components move together;
- 0 is nobody and 100 is everybody, exactly. A percentage that is not there, or was never valid, is 0;
- a percentage may be for one canary version. For any other it is 0: the next canary does not begin with what the one
  before had come to;
- a percentage is read whole or rejected whole, never half-parsed;
- the most specific entry of the table decides, and the component goes before the environment:
  `my-prompt@prod-eu`, then `my-prompt`, then `*@prod-eu`, then `*`. So an entry for all components never changes the
  percentage of one that has an entry of its own. An entry that says a type too is for a component of that type; of
  two the one that is the component's key decides.

`tests/vectors/rollout.json` publishes the vectors that any other language can repeat. `Canary.takes` is the only place
where the formula stands.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import sha256

import msgspec

from resolver.directories import DIRECTORIES
from resolver.errors import InvalidPercentage, InvalidReference
from resolver.reference import environment_fault, parse_reference

#: One more than the highest bucket.
BUCKETS = 2**64

# The longest texts that are read: enough for any percentage, too short to make exact arithmetic slow.
_TEXT = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,30})?)\s*%?\s*", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,31})(?:\.[0-9]{1,32})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Percentage:
    """0 to 100. `threshold` is how many of the 2^64 buckets lie below it, `version` the only canary that it is for.

    `bound` says the same in bytes: a digest is in the canary when it sorts before it. Bytes sort like the
    big-endian numbers that they begin with. Of equal beginnings the longer one, the digest, comes last.
    """

    value: Decimal
    threshold: int
    bound: bytes = field(repr=False)
    version: str | None = None

    def of(self, version: str) -> Percentage:
        """The same percentage, for this canary version alone."""
        return replace(self, version=version)

    def __str__(self) -> str:
        return format(self.value, "f")


def _percentage(value: Decimal, written: str) -> Percentage:
    if not 0 <= value <= 100:
        raise InvalidPercentage(f"`{written[:40]}` lies outside 0 to 100")
    numerator, denominator = value.as_integer_ratio()
    # A bucket is an integer, so "below the exact bound" and "below the bound rounded up" are the same buckets.
    return _below(abs(value), -(-numerator * BUCKETS // (denominator * 100)))


def _below(value: Decimal, threshold: int) -> Percentage:
    # 2^64 needs a ninth byte; every digest, which has 32, sorts before 33 of the highest.
    bound = threshold.to_bytes(8, "big") if threshold < BUCKETS else b"\xff" * 33
    return Percentage(value, threshold, bound)


def parse_percentage(text: str) -> Percentage:
    """A percentage from text: `10`, `12.5`, `10%`, `10 %`. Raises `InvalidPercentage`."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise InvalidPercentage(f"`{text[:40]}` is not a percentage: a number from 0 to 100, with or without `%`")
    return _percentage(Decimal(found[1]), text)


def parse_json_percentage(number: str) -> Percentage:
    """A percentage from a JSON number as it was written, so that 0.1 means 0.1 exactly. Raises `InvalidPercentage`."""
    if _JSON_NUMBER.fullmatch(number) is None:
        raise InvalidPercentage(f"`{number[:40]}` is not a number from 0 to 100")
    return _percentage(Decimal(number), number)


NOBODY = _below(Decimal(0), 0)


@dataclass(frozen=True, slots=True)
class RolloutTable:
    """The percentages in force, by entries as `parse_entry` gives them."""

    entries: Mapping[str, Percentage] = field(default_factory=dict)
    #: Whether any entry is for a single pointer. Most tables have none, and then none is looked for.
    _of_pointers: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_of_pointers", any("@" in name for name in self.entries))

    def entry(self, component: str, environment: str, type: str | None = None) -> str | None:
        """The entry that decides for this pointer of a component of that type; None where none does."""
        entries = self.entries
        if not self._of_pointers and component in entries:
            return component
        directories = [DIRECTORIES[type]] if type else DIRECTORIES.values()
        names = (component, *(f"{directory}/{component}" for directory in directories))
        wanted = (*(f"{name}@{environment}" for name in names), *names, f"*@{environment}", "*")
        return next((name for name in wanted if name in entries), None)

    def percentage(
        self, component: str, environment: str, type: str | None = None, canary: str | None = None
    ) -> Percentage:
        """The percentage of this pointer's canary; nobody where no entry decides, or one that is for another version.

        An entry that is for one version is nobody's where `canary` does not say which version is meant.
        """
        name = self.entry(component, environment, type)
        found = NOBODY if name is None else self.entries[name]
        return found if found.version in (None, canary) else NOBODY


@functools.lru_cache(maxsize=4096)
def parse_entry(text: str) -> str:
    """An entry of the table, as it is looked up: `*`, `*@prod-eu`, `my-prompt`, `prompts/my-prompt@prod-eu`.

    Raises `InvalidReference` for a text that could never match a pointer.
    """
    component, at, environment = text.partition("@")
    if component != "*":
        reference = parse_reference(text)
        component, environment = reference.typed, str(reference.selector or "")
    if not at:
        return component
    if fault := environment_fault(environment):
        raise InvalidReference(fault, text=text, offset=text.index("@") + 1)
    if environment.endswith("-canary"):
        detail = f"a percentage belongs to the pointer beside the canary, `{environment.removesuffix('-canary')}`"
        raise InvalidReference(detail, text=text, offset=text.index("@") + 1)
    return f"{component}@{environment}"


def meant_entry(text: str) -> str | None:
    """The entry that a wrong text probably meant; None where nobody can tell."""
    component, _, environment = (part.strip() for part in text.partition("@"))
    for guess in (f"{component}@{environment.removesuffix('-canary')}", component):
        try:
            return parse_entry(guess)
        except InvalidReference:
            continue
    return None


def salt(component: str, environment: str, canary: str) -> str:
    """What a draw depends on besides the key; `environment` is that of the pointer (`prod-eu`)."""
    return f"{component}\n{environment}\n{canary}"


def group_salt(group: str, environment: str) -> str:
    """The same for all components of a group; `environment` is the request's."""
    return f"{group}\n{environment}"


# `gc=False`: it holds no object that could refer back to it.
class Canary(msgspec.Struct, frozen=True, gc=False):
    """Who faces a canary: `prefix` is what is hashed before a key, `bound` what the digest must sort before."""

    prefix: bytes
    bound: bytes

    @classmethod
    def of(cls, salt: str, percentage: Percentage) -> Canary:
        """The canary that this share of all keys faces."""
        return cls(_utf8(f"{salt}\n"), percentage.bound)

    def takes(self, key: str) -> bool:
        """Whether the request with this key runs the canary."""
        try:
            return sha256(self.prefix + key.encode()).digest() < self.bound
        except UnicodeEncodeError:
            return sha256(self.prefix + _utf8(key)).digest() < self.bound


def _utf8(text: str) -> bytes:
    # A lone surrogate has no UTF-8; JavaScript's TextEncoder writes U+FFFD for it, and so do we.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
