"""References: their forms, their round trip, and what is none however much it looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.directories import DIRECTORIES, TYPES
from resolver.errors import InvalidReference
from resolver.reference import (
    FIELDS,
    LONGEST_NAME,
    SCHEMES,
    Found,
    Reference,
    Selector,
    environment_fault,
    find_reference,
    is_environment,
    is_name,
    is_region,
    parse_name,
    parse_reference,
    parse_selector,
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


#: Look-alikes, and what a `component:` of an agent makes of them: an error, or the name of a component.
TRAPS = {
    "hello@example.com": "neither a version",
    "first.last@mail.example.org": "neither a version",
    "me@163.com": "1.2.3",
    "my-prompt@prod.eu": "neither a version",
    "@cf/meta/llama-3.1-8b-instruct": "component name",
    "https://unpkg.com/htmx.org@1.9.10": "unknown scheme `https://`",
    "https://example.com/x@v1": "unknown scheme `https://`",
    "http://localhost:8787/x": "unknown scheme `http://`",
    "ftp://host/x@v1.0.0": "unknown scheme `ftp://`",
    "application/ld+json; charset=utf-8": "component name",
    "image/svg+xml": "component name",
    "multipart/form-data; boundary=x": "component name",
    "1/" * 5000 + "x": "at most 256 bytes",
    "é" * 200: "at most 256 bytes",
    "a" * 300 + "?": "is not a component name",
    "my-prompt@v1.0.0\nand more": "on one line",
    "prompt://x\r\ny": "on one line",
    "a\nb": "on one line",
    "\n": "`component` is empty",
    " ": "`component` is empty",
    "": "`component` is empty",
}


@pytest.mark.parametrize("field", sorted(FIELDS.keys() - {"component"}))
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("text", TRAPS)
def test_look_alikes_are_plain_text(text: str, field: str, direct: bool) -> None:
    assert find_reference(field, text, direct=direct) is None


@pytest.mark.parametrize(("text", "says"), TRAPS.items())
def test_a_component_holds_no_look_alike(text: str, says: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        find_reference("component", text, direct=True)
    assert says in caught.value.detail
    assert caught.value.text == text.strip() or "one line" in says


@pytest.mark.parametrize(
    "text", ["text/plain", "application/json", "message/welcome", "model/x", "users/1/posts", "42"]
)
def test_a_path_is_a_reference_wherever_a_word_is_one(text: str) -> None:
    assert find_reference("component", text, direct=True) == Found(Reference(text), certain=True)
    assert find_reference("prompt", text, direct=True) == Found(Reference(text, wanted="prompt"), certain=False)


def test_a_type_makes_a_path_with_a_number_a_reference() -> None:
    expected = Found(Reference("2024/summary", directory="prompts"), certain=True)
    assert find_reference("component", "prompts/2024/summary", direct=True) == expected
    assert find_reference("prompt", "prompts/2024/summary", direct=False) == expected


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("my-prompt@v1.0.0.beta", 10),
        ("my-prompt@1.0.com", 10),
        ("my-prompt@v1.0.0 ", 0),
        ("my-prompt@prod ", 0),
        (" my-prompt@v1.0.0", 0),
        ("my-prompt@v1.0.0\n", 0),
        ("prompts/my-prompt\n", 0),
        (" template://header", 0),
    ],
)
def test_what_is_nearly_a_reference_is_an_error_in_every_field(
    field: str, direct: bool, text: str, offset: int
) -> None:
    with pytest.raises(InvalidReference) as caught:
        find_reference(field, text, direct=direct)
    assert (caught.value.text, caught.value.offset) == (text, offset)


@pytest.mark.parametrize("text", ["my-prompt ", " my-prompt", "my-prompt\n"])
def test_white_space_about_a_bare_word_makes_it_text_but_in_a_component(text: str) -> None:
    assert find_reference("prompt", text, direct=True) is None
    assert find_reference("component", text, direct=False) is None
    with pytest.raises(InvalidReference, match="white space stands around the reference"):
        find_reference("component", text, direct=True)


@pytest.mark.parametrize("text", ["hello@example.com", "my-prompt@prod.eu", "https://example.com/x@v1"])
def test_a_nested_component_holds_no_look_alike_either(text: str) -> None:
    with pytest.raises(InvalidReference):
        find_reference("component", text, direct=False)


@pytest.mark.parametrize("field", sorted(FIELDS.keys() - {"component"}))
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
        "prompts/ holds the texts",
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
        # Written like an e-mail address, but a range.
        ("prompt", "my-prompt@^1.0.0-rc.beta", True),
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
        ("my-prompt@ v1.0.0", 10, "white space"),
        ("my-prompt@\u2003prod", 10, "white space"),
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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("latest", "`latest` cannot name an environment: it always means the newest version"),
        ("stable", "`stable` cannot name an environment: it always means the newest version without a pre-release"),
        ("v1", "`v1` cannot name an environment: it reads as a version or a range"),
        ("x", "`x` cannot name an environment: it reads as a version or a range"),
        ("a.b", "`a.b` cannot name an environment: an environment is a letter, then letters, digits, `-` and `_`"),
        ("1st", "`1st` cannot name an environment: an environment is a letter, then letters, digits, `-` and `_`"),
        ("prod", ""),
    ],
)
def test_why_a_text_names_no_environment(text: str, says: str) -> None:
    assert environment_fault(text) == says


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("eu", True),
        ("us-west", True),
        ("1", True),
        ("canaries", True),
        ("mycanary", True),
        ("canary", False),
        ("eu-canary", False),
        ("-eu", False),
        ("", False),
        ("e" * 65, False),
    ],
)
def test_a_region_is_never_a_canary(text: str, known: bool) -> None:
    assert is_region(text) is known


@pytest.mark.parametrize("text", ["my-prompt", "prompts/my-prompt", "prompt://my-prompt", "prompt://prompts/my-prompt"])
def test_a_name_may_say_its_type(text: str) -> None:
    assert parse_name(text).name == "my-prompt"


@pytest.mark.parametrize(("text", "offset"), [("my-prompt@v1.0.0", 9), ("prompts/", 8), ("a b", 1), ("", 0), ("a ", 1)])
def test_what_is_no_name_of_a_component(text: str, offset: int) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_name(text)
    assert caught.value.offset == offset


@pytest.mark.parametrize("selector", ["||", "|| 1.x", "1.x ||", ">=1\t<2", "^1\u00a0|| ^2", "^1.2.3+b"])
def test_a_range_of_npm_is_one_in_a_reference(selector: str) -> None:
    assert parse_reference(f"my-prompt@{selector}").selector == Selector("range", selector)
    found = find_reference("prompt", f"my-prompt@{selector}", direct=True)
    assert found is not None
    assert str(found.reference) == f"my-prompt@{selector}"


@pytest.mark.parametrize("selector", [">=1\n<2", "^1\r\n|| ^2", ">=1\u2028<2", "*\v|| 1"])
def test_a_reference_stands_on_one_line(selector: str) -> None:
    with pytest.raises(InvalidReference, match="stands on one line"):
        parse_reference(f"my-prompt@{selector}")


@pytest.mark.parametrize(
    ("kind", "directory"),
    [("template", "templates"), ("prompt", "prompts"), ("query", "queries"), ("config", "configs"),
     ("script", "scripts"), ("schema", "schemas"), ("docs", "docs"), ("agent", "agents"), ("ensemble", "ensembles")],
)  # fmt: skip
def test_a_reference_says_its_type_by_its_directory_or_by_its_scheme(kind: str, directory: str) -> None:
    reference = parse_reference(f"{directory}/a@prod")
    assert (reference.name, reference.type, DIRECTORIES[kind]) == ("a", kind, directory)
    if kind in ("agent", "ensemble"):
        with pytest.raises(InvalidReference, match="unknown scheme"):
            parse_reference(f"{kind}://a")
    else:
        reference = parse_reference(f"{kind}://{directory}/a@prod")
        assert (reference.name, reference.type, str(reference)) == ("a", kind, f"{kind}://{directory}/a@prod")


@pytest.mark.parametrize(
    ("field", "type"),
    [("component", None), ("agent", "agent"), ("evaluator", "agent"), ("prompt", "prompt"), ("schema", "schema"),
     ("template", "template"), ("layout", "template"), ("query", "query"), ("script", "script"), ("config", "config")],
)  # fmt: skip
def test_the_fields_that_carry_a_reference_and_the_type_that_each_asks_for(field: str, type: str | None) -> None:
    found = find_reference(field, "my-prompt@prod", direct=True)
    assert found is not None
    assert (str(found.reference), found.reference.type, found.certain) == ("my-prompt@prod", type, True)
    assert find_reference(f"{field}s", "my-prompt@prod", direct=True) is None


@pytest.mark.parametrize("field", ["component", "agent", "prompt", "template"])
def test_a_type_that_is_written_goes_before_that_of_the_field(field: str) -> None:
    for text in ("schemas/answer@prod", "schema://answer@prod"):
        found = find_reference(field, text, direct=True)
        assert found is not None
        assert (found.reference.type, found.reference.typed) == ("schema", "schemas/answer")


@pytest.mark.parametrize("text", ["scripts/x", "script://x", "script://scripts/x"])
def test_a_script_without_a_version_may_be_one_that_conductor_bundles(text: str) -> None:
    """Conductor takes scripts from its own bundle; 7 of its 53 ensembles became a 404 as a whole."""
    for field in ("script", "prompt"):
        found = find_reference(field, text, direct=False)
        assert found is not None
        assert not found.certain
        pinned = find_reference(field, f"{text}@v1.0.0", direct=False)
        assert pinned is not None
        assert pinned.certain


@pytest.mark.parametrize("placeholder", ["{{ input.x }}", "${ input.x }", "{{input.x}}", "${input.x}"])
def test_a_placeholder_is_text_but_behind_a_name_and_its_at(placeholder: str) -> None:
    for text in (f"prompts/{placeholder}", f"{placeholder}@prod", f"a {placeholder}@prod"):
        assert find_reference("prompt", text, direct=True) is None
    with pytest.raises(InvalidReference, match="cannot hold an expression"):
        find_reference("prompt", f"my-prompt@{placeholder}", direct=True)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("my-prompt@>=1\n<2", 13),
        ("prompt://a@prod\t", 15),
        ("a@^1\ufeff", 4),
        ("a@ prod ", 2),
        ("prompts/a@\ufeffprod", 10),
    ],
)
def test_the_place_of_what_is_wrong_in_a_selector(text: str, offset: int) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert (caught.value.text, caught.value.offset) == (text, offset)


def test_the_longest_name() -> None:
    for name in ("a" * LONGEST_NAME, "é" * (LONGEST_NAME // 2)):
        assert parse_reference(name).name == name
        for longer in (f"{name}a", f"{name}é"):
            with pytest.raises(InvalidReference) as caught:
                parse_reference(longer)
            assert "at most" in caught.value.detail


@pytest.mark.parametrize("text", ["my-prompt\rprod", "my-prompt@prod\rx", "template://a\rb", "template://a\nb"])
def test_a_text_of_several_lines_is_a_reference_nowhere(text: str) -> None:
    assert find_reference("prompt", text, direct=True) is None
    with pytest.raises(InvalidReference, match="a reference stands on one line") as caught:
        find_reference("component", text, direct=True)
    assert caught.value.offset == 0


def test_only_a_selector_that_is_an_environment_has_one() -> None:
    texts = ["prod", "latest", "stable", "^1", "v1.0.0"]
    assert [parse_selector(text).environment for text in texts] == ["prod", None, None, None, None]


def test_a_name_is_its_code_points() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert parse_reference(f"{composed}@prod").name == composed
    # A combining mark is no letter: such a name is refused, and never another component's.
    with pytest.raises(InvalidReference, match="is not a component name") as caught:
        parse_reference(f"{decomposed}@prod")
    assert caught.value.offset == 4


@pytest.mark.parametrize(
    "text",
    [
        "my-prompt@v1.0.0 ",
        "my-prompt@ ^1",
        "my-prompt@latest\n",
        "my-prompt@prod\t",
        "my-prompt@^1\ufeff",
        "a@\ufeff||",
    ],
)
def test_white_space_makes_no_selector(text: str) -> None:
    with pytest.raises(InvalidReference, match="white space stands around the selector"):
        parse_reference(text)
