"""References to components: `[scheme://][type/]name[@selector]`.

Rules:

- the name is the path without the scheme and without a leading type directory, so `prompts/extraction` and
  `prompt://extraction` both name `extraction`, and `template://components/header` names `components/header`;
- the selector is an exact version, a range, an environment, `latest` or `stable`; without one the environment of the
  request is meant. What begins with a digit, or with `v` and a digit, is a version or a range, and an error if it
  cannot be read as one; an environment begins with a letter and holds letters, digits, `-` and `_`;
- a range is what npm reads as one, also with `||`. Only the empty range is an error, `my-prompt@`, since something was
  probably forgotten there;
- there is no white space around a reference or its selector, and it is on one line;
- `str(reference)` is the reference again, its version written with a `v`;
- two components of different types may have one name. A type is asked for by the scheme, by the directory, or else by
  the field that the reference stands in. How it is found says `resolver/snapshot.py`;
- a string of an ensemble is a reference only where `find_reference` says so. Everything else is plain text.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, replace
from typing import Literal

from resolver import version
from resolver.directories import DIRECTORIES, TYPES
from resolver.errors import InvalidReference, InvalidVersion, listed

#: What a component of each type is written in. JSON is YAML too.
MEDIA_TYPES = {
    "prompt": "text/markdown",
    "template": "text/html",
    "query": "application/sql",
    "config": "application/yaml",
    "script": "text/javascript",
    "schema": "application/schema+json",
    "docs": "text/markdown",
    "agent": "application/yaml",
    "ensemble": "application/yaml",
}
#: How the files of components end, which is no part of their names.
EXTENSIONS = frozenset(
    {"md", "txt", "yaml", "yml", "json", "sql", "ts", "js", "mjs", "html", "hbs", "liquid", "mjml", "py", "prompt"}
)
#: The types that have a URI scheme of their own.
SCHEMES = ("template", "prompt", "query", "config", "script", "schema", "docs")
#: The scheme that says no type: `kv://templates/x@v1.0.0`, as Conductor's html and email agents write it.
_ANY_TYPE = "kv"
#: The fields of an agent or step that carry a reference, and the type that each asks for; `component` takes any.
FIELDS: dict[str, str | None] = {
    "component": None,
    "agent": "agent",
    "evaluator": "agent",
    "prompt": "prompt",
    "schema": "schema",
    "template": "template",
    "layout": "template",
    "query": "query",
    "script": "script",
    "config": "config",
}

#: Longest name, in bytes of UTF-8: a KV key holds 512, and the version and a prefix go along with it.
LONGEST_NAME = 256

Kind = Literal["version", "range", "environment", "latest", "stable"]

_SEGMENT = r"\w[\w.-]*"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_ENVIRONMENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RANGE_LIKE = re.compile(r"[\^~<>=*].*|\|\|.*|[xX]|[xX]\..*|[vV]?[0-9].*", re.DOTALL)
_KNOWN_SCHEME = re.compile(rf"(?:{'|'.join((*SCHEMES, _ANY_TYPE))})://")
_ANY_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

#: White space for JavaScript, and so within a range, but not for Python.
_BOM = "\ufeff"

#: Plain text that looks like a reference, unless a version, even a bad one, comes after its `@`.
_EMAIL = re.compile(r"[^@\s/]+@(?![vV]?[0-9]+\.[0-9])[^@\s/]+\.[A-Za-z]{2,}")


@dataclass(frozen=True, slots=True)
class Selector:
    """What a reference picks: `text` is a canonical version, a range, an environment, `latest` or `stable`."""

    kind: Kind
    text: str
    #: The text where it is an environment. Every request asks this, so it is found out once.
    environment: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "environment", self.text if self.kind == "environment" else None)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Reference:
    """A component and which version of it; `scheme` and `directory` are kept as they were written.

    `wanted` is the type that the field asks for which the reference stands in.
    """

    name: str
    selector: Selector | None = None
    scheme: str | None = None
    directory: str | None = None
    wanted: str | None = None
    #: The type that is asked for, in the singular: the one that is written, else the field's. None: any.
    type: str | None = field(init=False, repr=False, compare=False)
    #: The reference as text; every answer has it.
    _written: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scheme = f"{self.scheme}://" if self.scheme else ""
        directory = f"{self.directory}/" if self.directory else ""
        selector = f"@{self.selector}" if self.selector else ""
        object.__setattr__(self, "_written", f"{scheme}{directory}{self.name}{selector}")
        by_scheme = None if self.scheme == _ANY_TYPE else self.scheme
        written = by_scheme or (TYPES[self.directory] if self.directory else None)
        object.__setattr__(self, "type", written or self.wanted)

    @property
    def typed(self) -> str:
        """The key of a component that shares its name with one of another type: `schemas/answer`."""
        return self.name if self.type is None else f"{DIRECTORIES[self.type]}/{self.name}"

    def __str__(self) -> str:
        return self._written


def is_name(text: str) -> bool:
    """Whether `text` can name a component."""
    return _NAME.fullmatch(text) is not None and len(text.encode()) <= LONGEST_NAME


def is_environment(text: str) -> bool:
    """Whether `text` can name an environment in a reference, a request or a command."""
    return (
        _ENVIRONMENT.fullmatch(text) is not None
        and _RANGE_LIKE.fullmatch(text) is None
        and text not in ("latest", "stable")
    )


def environment_fault(text: str) -> str:
    """Why `text` cannot name an environment; the empty string where it can."""
    if is_environment(text):
        return ""
    why = "an environment is a letter, then letters, digits, `-` and `_`"
    if text in ("latest", "stable"):
        why = "it always means the newest version" + (" without a pre-release" if text == "stable" else "")
    elif _ENVIRONMENT.fullmatch(text):
        why = "it reads as a version or a range"
    return f"`{text[:80]}` cannot name an environment: {why}"


def is_region(text: str) -> bool:
    """Whether `text` can name a region, the part behind the `-` of `prod-eu`.

    `canary` cannot, nor can a name that ends in `-canary`: it would choose the canary, whatever the percentage is.
    """
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text) is not None and not f"-{text}".endswith("-canary")


def _is_blank(character: str) -> bool:
    return character.isspace() or character == _BOM


def parse_selector(text: str) -> Selector:
    """What stands behind the `@`. Raises `InvalidReference`, its offset within `text`."""
    if text and (_is_blank(text[0]) or _is_blank(text[-1])):
        offset = 0 if _is_blank(text[0]) else len(text.rstrip().rstrip(_BOM))
        raise InvalidReference("white space stands around the selector; take it away", text=text, offset=offset)
    if len(lines := text.splitlines()) > 1:
        raise InvalidReference("a reference stands on one line", text=text, offset=len(lines[0]))
    if text in ("latest", "stable"):
        return Selector("latest" if text == "latest" else "stable", text)
    if version.is_version(text):
        return Selector("version", version.canonical(text))
    if _RANGE_LIKE.fullmatch(text):
        try:
            version.parse_range(text)
        except InvalidVersion as error:
            raise InvalidReference(f"{error.detail}; a version is written v1.2.3", text=text, offset=0) from None
        return Selector("range", text)
    if is_environment(text):
        return Selector("environment", text)
    if not text:
        raise InvalidReference("nothing stands behind the `@`: name a version or an environment", text=text, offset=0)
    raise InvalidReference(
        f"`{text[:80]}` is neither a version (v1.2.3), a range (^1.2.0), an environment (prod), `latest` nor `stable`",
        text=text,
        offset=0,
    )


def parse_reference(text: str) -> Reference:
    """A reference from its text. Raises `InvalidReference` with the place in `text`."""
    if "${" in text or "{{" in text:
        raise InvalidReference(
            "a reference is fixed when the ensemble is loaded and cannot hold an expression; "
            "write one agent for each version, each with a `condition`",
            text=text,
            offset=min(place for place in (text.find("${"), text.find("{{")) if place >= 0),
        )
    scheme = None
    start = 0
    if found := _ANY_SCHEME.match(text):
        scheme, start = found[1], found.end()
        if scheme not in SCHEMES and scheme != _ANY_TYPE:
            raise InvalidReference(f"unknown scheme `{scheme}://`; there are {listed(SCHEMES)}", text=text, offset=0)
    path, at, selected = text[start:].partition("@")
    head, slash, rest = path.partition("/")
    directory = head if slash and head in TYPES else None
    name = rest if directory else path
    name_start = start + (len(head) + 1 if directory else 0)
    if not is_name(name):
        wrong = _NAME.match(name)
        raise InvalidReference(
            f"`{name[:80]}` is not a component name: letters, digits, `-`, `_`, `.` and `/` between the parts"
            if _NAME.fullmatch(name) is None
            else f"a component name has at most {LONGEST_NAME} bytes",
            text=text,
            offset=name_start + (wrong.end() if wrong else 0),
        )
    if scheme in SCHEMES and directory and TYPES[directory] != scheme:
        raise InvalidReference(
            f"`{scheme}://` and `{directory}/` state two types; keep one of them", text=text, offset=start
        )
    selector = None
    if at:
        try:
            selector = parse_selector(selected)
        except InvalidReference as error:
            raise error.located(text=text, offset=start + len(path) + 1 + (error.offset or 0)) from None
    return Reference(name, selector, scheme, directory)


def asking_for(reference: Reference, type: str | None) -> Reference:
    """The same reference, in a field that asks for this type."""
    return replace(reference, wanted=type) if reference.type is None and type is not None else reference


def renamed(reference: Reference, name: str) -> Reference:
    """The same reference to another component."""
    return replace(reference, name=name)


def parse_name(text: str) -> Reference:
    """The component that `text` names, with or without its type: `my-prompt`, `prompts/my-prompt`.

    Raises `InvalidReference`, also for a reference that selects a version.
    """
    reference = parse_reference(text)
    if reference.selector is not None:
        detail = f"a component's name stands here, without a version: `{reference.name}`"
        raise InvalidReference(detail, text=text, offset=text.index("@"))
    return reference


@dataclass(frozen=True, slots=True)
class Found:
    """A reference that stands in an ensemble. One that is not `certain` could be plain text as well (a bare word in
    `prompt:`, a built-in agent): it is a reference if the version map knows the name, and text otherwise."""

    reference: Reference
    certain: bool


def find_reference(field: str | None, value: str, *, direct: bool) -> Found | None:
    """The reference in a string of an agent or step, or None where it is plain text.

    `field` is the key that the string stands under; `direct` says that it is a field of the agent or step itself and
    not of something nested in it. Raises `InvalidReference` for a string that is meant as a reference and is none.
    """
    text = value.strip()
    one_line = "\n" not in text and "\r" not in text
    must = direct and field == "component"
    if must:
        if not text:
            raise InvalidReference("`component` is empty; name a component, or take the line out", text=text, offset=0)
        if not one_line:
            raise InvalidReference("a reference stands on one line", text=value, offset=0)
    elif not one_line or not (_KNOWN_SCHEME.match(text) or (field in FIELDS and _is_meant(field, text))):
        return None
    reference = parse_reference(text)
    bare = reference.selector is None and reference.scheme is None and reference.directory is None
    if text != value:
        if bare and not must:
            return None
        raise InvalidReference("white space stands around the reference; take it away", text=value, offset=0)
    # Conductor bundles scripts, so that one without a version is probably of the bundle.
    bundled = reference.selector is None and (field == "script" or reference.type == "script")
    return Found(asking_for(reference, FIELDS.get(field or "")), certain=must or not (bare or bundled))


def _is_meant(field: str, text: str) -> bool:
    """Whether a text in a field that may hold prose as well (a prompt, a query) is written as a reference."""
    # Text that only looks like a reference is allowed elsewhere, but not in a `component`.
    if field != "component" and _is_plain(text):
        return False
    if _ANY_SCHEME.match(text):
        return True
    path, at, selected = text.partition("@")
    if "${" in text or "{{" in text:
        # `prompt: "{{input.text}}"` is text; `prompt: my-prompt@${input.version}` is an attempt at a reference.
        return bool(at) and is_name(path)
    if re.search(r"\s", path) or (at and re.search(r"\s", selected) and not _RANGE_LIKE.fullmatch(selected)):
        return False
    if at:
        return is_name(path)
    # Without an `@`, `prompts/` and `prompts/a//b` still say what was meant; `Hello!` and `a/b?c` do not.
    return is_name(text) or (text.partition("/")[0] in TYPES and "/" in text)


def _is_plain(text: str) -> bool:
    """The look-alikes: a URL, an e-mail address."""
    if scheme := _ANY_SCHEME.match(text):
        # A slip in a scheme that we know (`promt://`, `PROMPT://`) is an error, told by `parse_reference`; any other
        # URL is text.
        return not difflib.get_close_matches(scheme[1].lower(), SCHEMES, n=1, cutoff=0.8)
    if _EMAIL.fullmatch(text):
        try:
            parse_selector(text.partition("@")[2])
        except InvalidReference:
            return True
    return False
