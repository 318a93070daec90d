"""References: their forms, their round trip, and what is none however much it looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidReference
from resolver.reference import (
    FIELDS,
    SCHEMES,
    TYPES,
    Reference,
    Selector,
    find_reference,
    is_environment,
    is_name,
    parse_reference,
)

FORMS = [
    ("my-prompt", Reference("my-prompt")),
    ("my-prompt@v1.0.0", Reference("my-prompt", Selector("version", "v1.0.0"))),
    ("my-prompt@1.0.0", Reference("my-prompt", Selector("version", "v1.0.0"))),
    ("prompts/extraction@staging", Reference("extraction", Selector("environment", "staging"), directory="prompts")),
    ("prompt://extraction", Reference("extraction", scheme="prompt")),
    (
        "prompt://company-analysis@v2.0.0",
        Reference("company-analysis", Selector("version", "v2.0.0"), scheme="prompt"),
    ),
    ("template://components/header", Reference("components/header", scheme="template")),
    ("templates/components/header", Reference("components/header", directory="templates")),
    ("my-prompt@latest", Reference("my-prompt", Selector("latest", "latest"))),
    ("my-prompt@stable", Reference("my-prompt", Selector("stable", "stable"))),
    ("my-prompt@^1.2.0", Reference("my-prompt", Selector("range", "^1.2.0"))),
    ("my-prompt@~1.2", Reference("my-prompt", Selector("range", "~1.2"))),
    ("my-prompt@1.x", Reference("my-prompt", Selector("range", "1.x"))),
    ("my-prompt@>=1 <2", Reference("my-prompt", Selector("range", ">=1 <2"))),
    ("schemas/invoice@v1", Reference("invoice", Selector("range", "v1"), directory="schemas")),
    ("my-prompt@prod-us-west", Reference("my-prompt", Selector("environment", "prod-us-west"))),
    ("agent.v2/größe", Reference("agent.v2/größe")),
]


@pytest.mark.parametrize(("text", "reference"), FORMS)
def test_forms(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert find_reference("component", text, direct=True) is not None


def test_two_spellings_name_one_component() -> None:
    spellings = ("extraction", "prompts/extraction", "prompt://extraction", "prompt://prompts/extraction")
    assert {parse_reference(text).name for text in spellings} == {"extraction"}
    assert [parse_reference(text).type for text in spellings] == [None, "prompt", "prompt", "prompt"]


names = st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}", fullmatch=True), min_size=1, max_size=3).map(
    "/".join
)
selectors = st.sampled_from(
    ["", "@v1.2.3", "@1.2.3-rc.1+b", "@^1", "@~1.2", "@>=1 <2", "@1.x", "@*", "@latest", "@stable", "@prod", "@prod-eu"]
)


@given(st.sampled_from(["", *(f"{scheme}://" for scheme in SCHEMES)]), st.sampled_from(["", *TYPES]), names, selectors)
def test_round_trip(scheme: str, directory: str, name: str, selector: str) -> None:
    text = f"{scheme}{directory}{'/' if directory else ''}{name}{selector}"
    try:
        reference = parse_reference(text)
    except InvalidReference as error:
        assert "two types" in error.detail or "component name" in error.detail
        return
    assert parse_reference(str(reference)) == reference
    assert str(parse_reference(str(reference))) == str(reference)
    assert reference.scheme == (scheme.removesuffix("://") or None)
    if directory:
        assert (reference.name, reference.type) == (name, TYPES[directory])
    assert str(reference) == text or reference.selector == Selector("version", "v" + selector[1:])


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidReference as error:
        assert error.text == text
        assert error.offset is not None
        assert 0 <= error.offset <= len(text)
    else:
        assert parse_reference(str(reference)) == reference


TRAPS = [
    "hello@example.com",
    "first.last@mail.example.org",
    "@cf/meta/llama-3.1-8b-instruct",
    "https://unpkg.com/htmx.org@1.9.10",
    "http://localhost:8787/x",
    "text/plain",
    "application/json",
    "application/ld+json; charset=utf-8",
    "image/svg+xml",
    "users/1/posts",
    "2024/01/15",
    "v1/7",
    "42",
    "1/" * 5000 + "x",
    "multipart/form-data; boundary=x",
    "ftp://host/x@v1.0.0",
    "hello@example.com\nbye",
    "my-prompt@v1.0.0\nand more",
    "prompt://x\r\ny",
]


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("text", TRAPS)
def test_traps_are_plain_text_everywhere(text: str, field: str, direct: bool) -> None:
    assert find_reference(field, text, direct=direct) is None


@pytest.mark.parametrize("field", sorted(FIELDS - {"component"}))
@pytest.mark.parametrize(
    "text",
    [
        "Summarise the mail, then answer it.",
        "SELECT * FROM users WHERE id = 1",
        "{{input.text}}",
        "${input.question}",
        "Hello!",
        "ask bob@home about it",
        "bob@home is away",
        "",
        "<p>x</p>",
        "SELECT name@v1 FROM x",
        "Reply to @alice by noon",
        "Mail me: bob@example.com",
        "Hello {{input.name}}",
        "a/b?c",
        "$ref",
    ],
)
def test_prose_is_plain_text_where_prose_is_usual(text: str, field: str) -> None:
    assert find_reference(field, text, direct=True) is None


def test_other_fields_carry_no_reference_but_a_scheme_always_is_one() -> None:
    assert find_reference("description", "my-prompt@v1.0.0", direct=True) is None
    found = find_reference("anything", "config://rules@prod", direct=False)
    assert found is not None
    assert found.certain
    assert find_reference(None, "docs://guide", direct=False) is not None


@pytest.mark.parametrize(
    ("field", "text", "certain"),
    [
        ("component", "my-prompt", True),
        ("prompt", "my-prompt", False),
        ("prompt", "prompts/my-prompt", True),
        ("prompt", "my-prompt@prod", True),
        ("agent", "analyzer", False),
        ("agent", "analyzer@v1.0.0", True),
        ("query", "team/search", False),
    ],
)
def test_a_bare_word_is_certain_only_where_nothing_else_is_meant(field: str, text: str, certain: bool) -> None:
    found = find_reference(field, text, direct=True)
    assert found is not None
    assert found.certain is certain


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("my-prompt@", 10, "nothing stands behind"),
        ("my-prompt@v1..0", 10, "v1.2.3"),
        ("my-prompt@v01.2.3", 10, "v1.2.3"),
        ("my-prompt@V1.0.0", 10, "v1.2.3"),
        ("my-prompt@@v1.0.0", 10, "neither a version"),
        ("my-prompt@^^1", 10, "range"),
        ("prompts/", 8, "component name"),
        ("prompts/a//b", 9, "component name"),
        ("my-prompt@${input.version}", 10, "cannot hold an expression"),
        ("promt://x@v1.0.0", 0, "unknown scheme"),
        ("PROMPT://x@v1.0.0", 0, "unknown scheme"),
        ("{{input.prompt}}@v1.0.0", 0, "cannot hold an expression"),
        ("my-prompt@1.2.3.4", 10, "range"),
        ("my-prompt@1.x.3", 10, "range"),
        ("my-prompt@1" + "    1" * 12 + " !", 10, "range"),
        ("my-prompt@prod#1", 10, "neither a version"),
        ("prompt://my-prompt@", 19, "nothing stands behind"),
        ("prompt://prompts/a@v1..0", 19, "v1.2.3"),
        ("prompt://", 9, "component name"),
        ("prompt://configs/x", 9, "two types"),
        ("prompt://a b", 10, "component name"),
    ],
)
def test_a_malformed_reference_is_an_error_with_a_caret(text: str, offset: int, says: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        find_reference("component", text, direct=True)
    error = caught.value
    assert says in str(error)
    assert error.offset == offset
    assert error.caret == f"{text}\n{' ' * offset}^"


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("my-prompt@", 10),
        ("my-prompt@v1..0", 10),
        ("my-prompt@1.2.3.4", 10),
        ("my-prompt@${input.version}", 10),
        ("prompts/", 8),
        ("promt://x@v1.0.0", 0),
        ("prompt://", 9),
    ],
)
def test_a_slip_is_an_error_in_every_field(field: str, direct: bool, text: str, offset: int) -> None:
    with pytest.raises(InvalidReference) as caught:
        find_reference(field, text, direct=direct)
    assert (caught.value.text, caught.value.offset) == (text, offset)


def test_a_component_must_be_a_reference() -> None:
    with pytest.raises(InvalidReference):
        find_reference("component", "Left rear wheel", direct=True)
    assert find_reference("component", "Left rear wheel", direct=False) is None


@pytest.mark.parametrize("text", ["a", "my-prompt", "A_b.c-1", "components/header", "größe/日本", "1", "x" * 256])
def test_names(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize(
    "text", ["", "/", "/a", "a/", "a//b", "a b", "-a", ".a", "a/../b", "a/.b", "a@b", "a:b", "a\n", "ü" * 129, "\ud800"]
)
def test_what_is_no_name(text: str) -> None:
    assert not is_name(text)


def test_a_long_name_is_refused() -> None:
    with pytest.raises(InvalidReference, match="256"):
        parse_reference("x" * 257)


@pytest.mark.parametrize(
    ("text", "known"),
    [("prod", True), ("prod-eu_2", True), *((text, False) for text in ("latest", "v1", "1st", "x", "a/b", "a.b", ""))],
)
def test_environments(text: str, known: bool) -> None:
    assert is_environment(text) is known
