"""Tags that are not where the ledger says follow it, and that is told: the ledger is the truth."""

from __future__ import annotations

from edgit.components.tags import PREFIX, read_name, tag_name
from edgit.errors import EdgitError
from edgit.git.objects import Object
from edgit.git.tags import read_tag_object
from edgit.ledger.writer import LedgerWriter, Transacts
from edgit.repository.drift import StaleTag
from edgit.repository.reading import Repository
from edgit.repository.version_tags import VersionLookup, existing_or_restored, look_up_versions, new_pointer_tag


def follow_ledger(transaction: Transacts, repository: Repository) -> list[str]:
    """Let every stale tag follow the ledger, all or none; what there is to tell about it."""
    stale = repository.drift.stale_tags
    if not stale:
        return []
    writer = LedgerWriter(repository.git, None, repository.state)
    objects = repository.git.read(each.expected for each in stale if each.expected)
    lookup = look_up_versions(repository, [(each.component, each.version) for each in stale if each.version])
    told = [_follow(writer, lookup, each, objects.get(each.expected or "")) for each in stale]
    writer.commit(transaction)
    return told


def _follow(writer: LedgerWriter, lookup: VersionLookup, stale: StaleTag, expected: Object | None) -> str:
    """Let one tag be what the ledger says. Where its object is gone it is made anew, and so is the version's tag, from
    the file that the ledger keeps."""
    name = tag_name(stale.component, stale.environment)
    if stale.version is None:
        writer.set_ref(stale.ref, None, stale.found)
        return f"{name} follows the ledger: removed"
    try:
        version_tag = existing_or_restored(writer, lookup, stale.component, stale.version)
    except EdgitError as error:
        return f"{name} lacks its tag, which cannot be made anew: {error.detail}"
    ref = stale.ref if stale.found else (_made_for(expected, stale) or stale.ref)
    new = stale.expected
    if expected is None:
        new = new_pointer_tag(writer, ref, stale.component, stale.version, stale.environment, version_tag)
    writer.set_ref(ref, new, stale.found)
    return f"{name} follows the ledger: {stale.version}"


def _made_for(tag: Object | None, stale: StaleTag) -> str | None:
    """The ref that a tag was made for, where that is one of this pointer's names."""
    if tag is None or tag.kind != "tag":
        return None
    ref = PREFIX + read_tag_object(tag.body).name
    named = read_name(ref)
    return ref if named and named.may_be(stale.component, stale.environment) else None
