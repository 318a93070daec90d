"""Tag objects, and the headers that tags and commits share.

Rules:

- a tag may point at another tag. `commits_of` follows any number of them, one git process for each step and not for
  each tag;
- a date in git is seconds since 1970. One that lies in the future was written by a wrong clock, and counts as now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from edgit.git.process import Git

_PERSON = re.compile(r"(?P<who>.*) (?P<at>-?\d+) (?P<zone>[+-]\d+)$")
_NAME_AND_ADDRESS = re.compile(r"(?P<name>[^<]*)<(?P<address>.*)", re.DOTALL)
#: Who made a move whose tag does not say it.
UNKNOWN = "unknown <>"
#: What git does not allow in a name or an address.
_FORBIDDEN = str.maketrans("", "", "<>\n\0")


@dataclass(frozen=True, slots=True)
class AnnotatedTag:
    """An annotated tag: what it points at, who set it and when (seconds), and its message."""

    target: str
    target_kind: str
    name: str
    tagger: str | None
    at: int | None
    message: str


def read_person(line: str) -> tuple[str | None, int | None]:
    """Who and when (seconds) from `Ada <ada@example.com> 1731422700 +0000`."""
    found = _PERSON.fullmatch(line)
    return (found["who"], max(0, int(found["at"]))) if found else (None, None)


def clean_person(text: str) -> str:
    """A person as git writes one, `Ada <ada@example.com>`, whatever a tag said."""
    found = _NAME_AND_ADDRESS.fullmatch(text)
    name, address = (found["name"], found["address"]) if found else (text, "")
    return f"{name.translate(_FORBIDDEN).strip() or 'unknown'} <{address.translate(_FORBIDDEN).strip()}>"


def name_of(actor: str) -> str:
    """A person without the address."""
    return actor.rpartition(" <")[0] or actor


def read_headers(body: bytes) -> tuple[dict[str, str], str]:
    """The first header of each name, and the message, of a tag or a commit."""
    head, _, message = body.decode(errors="replace").partition("\n\n")
    headers: dict[str, str] = {}
    for line in head.split("\n"):
        name, _, value = line.partition(" ")
        headers.setdefault(name, value)
    return headers, message


def read_tag_object(body: bytes) -> AnnotatedTag:
    """An annotated tag from its text."""
    headers, message = read_headers(body)
    tagger, at = read_person(headers.get("tagger", ""))
    return AnnotatedTag(
        headers.get("object", ""), headers.get("type", ""), headers.get("tag", ""), tagger, at, message.strip()
    )


def commits_of(git: Git, tags: Iterable[str]) -> dict[str, str]:
    """Tag object → the commit that it ends in; tags that end in none are left out."""
    ends: dict[str, str] = {}
    steps = {id: id for id in tags}
    while steps:
        objects = git.read(dict.fromkeys(steps.values()))
        onward = {}
        for id, here in steps.items():
            found = objects.get(here)
            if found is None:
                continue
            if found.kind == "commit":
                ends[id] = here
            elif found.kind == "tag":
                onward[id] = read_tag_object(found.body).target
        steps = onward
    return ends


def lightweight_tags(git: Git, tags: Iterable[str]) -> frozenset[str]:
    """Those of the ids that are a commit's own: tags without an object of their own."""
    ids = list(dict.fromkeys(tags))
    kinds = git.run("cat-file", "--batch-check=%(objecttype)", input="".join(f"{id}\n" for id in ids).encode()).decode()
    return frozenset(id for id, kind in zip(ids, kinds.splitlines(), strict=True) if kind == "commit")


def not_in_the_future(at: int, now: int) -> int:
    """A date of git's, at most now."""
    return max(0, min(at, now))


def read_dates(
    git: Git, tags: Sequence[str], now: int, commits: Mapping[str, str] = MappingProxyType({})
) -> dict[str, tuple[str | None, int | None]]:
    """Tag object → who set it and when. A tag that does not say takes it from its commit, where `commits` has it."""
    objects = git.read([*tags, *(commits[tag] for tag in tags if tag in commits)])
    dates: dict[str, tuple[str | None, int | None]] = {}
    for tag in tags:
        found = objects.get(tag)
        if found is None:
            continue
        if found.kind == "tag":
            opened = read_tag_object(found.body)
            actor, at = opened.tagger, opened.at
        else:
            actor, at = _committer(found.body)
        if at is None and tag in commits and commits[tag] in objects:
            actor, at = _committer(objects[commits[tag]].body)
        dates[tag] = (actor, None if at is None else not_in_the_future(at, now))
    return dates


def _committer(commit: bytes) -> tuple[str | None, int | None]:
    return read_person(read_headers(commit)[0].get("committer", ""))
