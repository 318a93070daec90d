"""Versions and ranges: the specification's order, npm's ranges, and nothing read by half."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidVersion
from resolver.version import canonical, compare, highest, is_prerelease, is_version, parse_range, precedence

#: The chain of semver.org, section 11, with a few links more.
ASCENDING = [
    "0.9.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.9.0",
    "1.10.0",
    "2.0.0",
    "2.1.0",
    "2.1.1",
    "10.0.0",
]


@st.composite
def versions(draw: st.DrawFn) -> str:
    number = st.integers(0, 12)
    main = ".".join(str(draw(number)) for _ in range(3))
    part = st.one_of(number.map(str), st.from_regex(r"[A-Za-z-][0-9A-Za-z-]{0,3}", fullmatch=True))
    pre = draw(st.lists(part, max_size=3))
    build = draw(st.lists(st.from_regex(r"[0-9A-Za-z-]{1,3}", fullmatch=True), max_size=2))
    return (
        draw(st.sampled_from(["", "v"]))
        + main
        + ("-" if pre else "")
        + ".".join(pre)
        + "+" * bool(build)
        + ".".join(build)
    )


def test_the_specifications_chain() -> None:
    for low, high in itertools.pairwise(ASCENDING):
        assert compare(low, high) < 0 < compare(high, low)
    assert sorted(sorted(ASCENDING), key=precedence) == ASCENDING


def test_build_metadata_is_kept() -> None:
    assert canonical("1.0.0+b.7") == "v1.0.0+b.7"


#: Equal in precedence, as npm's `compareBuild` orders them; that `01` is below `1` is ours, to npm they are equal.
BUILDS = [
    "v1.10.0", "v1.10.0+01", "v1.10.0+1", "v1.10.0+1.2", "v1.10.0+1.10", "v1.10.0+1.a", "v1.10.0+2", "v1.10.0+20",
    "v1.10.0+100", "v1.10.0+-", "v1.10.0+1a", "v1.10.0+B", "v1.10.0+b", "v1.10.0+b.1", "v1.10.0+b10", "v1.10.0+b2",
]  # fmt: skip


def test_of_versions_equal_in_precedence_the_build_metadata_decides() -> None:
    for low, high in itertools.combinations(BUILDS, 2):
        assert compare(low, high) < 0 < compare(high, low), (low, high)
        for listed in ([low, high], [high, low]):
            assert highest(listed) == highest(listed, stable=True) == parse_range("^1").highest(listed) == high
    assert compare("v1.10.0-rc.1+9", "v1.10.0") < 0 < compare("v1.10.1", "v1.10.0+9")


@given(st.lists(st.sampled_from([*BUILDS, *map(canonical, ASCENDING)]), max_size=8), st.randoms())
def test_which_is_the_highest_does_not_depend_on_how_they_are_listed(listed: list[str], random: Random) -> None:
    mixed = list(listed)
    random.shuffle(mixed)
    assert sorted(mixed, key=precedence) == sorted(listed, key=precedence)
    assert [highest(mixed), highest(mixed, stable=True)] == [highest(listed), highest(listed, stable=True)]
    for text in ("*", "^1.10.0", "1.10.0-0 || 2.x"):
        assert parse_range(text).highest(mixed) == parse_range(text).highest(listed)
    assert highest(listed) == next(iter(sorted(listed, key=precedence, reverse=True)), None)


@given(versions(), versions(), versions())
def test_the_order_is_total(a: str, b: str, c: str) -> None:
    assert compare(a, b) == -compare(b, a)
    assert (compare(a, b) == 0) == (canonical(a) == canonical(b))
    if compare(a, b) <= 0 and compare(b, c) <= 0:
        assert compare(a, c) <= 0


def rank(text: str) -> tuple[object, ...]:
    """Section 11 of semver.org once more, word for word."""
    main, _, pre = text.removeprefix("v").partition("+")[0].partition("-")
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".") if part]
    return (*map(int, main.split(".")), not pre, parts)


@given(st.lists(versions(), max_size=8))
def test_order_and_highest_are_the_specifications(texts: list[str]) -> None:
    ordered = sorted(texts, key=precedence)
    assert [rank(text) for text in ordered] == sorted(rank(text) for text in texts)
    top = highest(texts)
    assert (top is None) if not texts else (top in texts and rank(top) == max(map(rank, texts)))
    top = highest(texts, stable=True)
    stable = [text for text in texts if not is_prerelease(text)]
    assert (top is None) if not stable else (top in stable and rank(top) == max(map(rank, stable)))


@given(versions())
def test_a_version_is_written_with_its_v(text: str) -> None:
    assert is_version(text)
    assert canonical(text) == "v" + text.removeprefix("v")
    assert canonical(canonical(text)) == canonical(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "v", "1", "1.2", "v1.2.3.4", "01.2.3", "1.02.3", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2.3-a..b", "V1.2.3",
        "1.2.3\n", " 1.2.3", "1.2.3 ", "１.2.3", "1.2.x", "latest", "=1.2.3", "1.2.3-é", "9" * 300 + ".0.0",
        "1.0.0-" + "a" * 251, "1.2.3+é", "1.2.3-a_b", "1.2.３", "v v1.2.3", "vv1.2.3", "-1.2.3", "1.2.3\x00",
    ],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    assert not is_version(text)
    with pytest.raises(InvalidVersion, match="is not a version"):
        canonical(text)


def test_the_longest_version() -> None:
    assert is_version("1.0.0-" + "a" * 250)


def test_highest() -> None:
    assert highest(["v1.9.0", "v1.10.0", "v2.0.0-rc.1"]) == "v2.0.0-rc.1"
    assert highest(["v1.9.0", "v1.10.0", "v2.0.0-rc.1"], stable=True) == "v1.10.0"
    assert highest([]) is None
    assert highest(["v1.0.0-a"], stable=True) is None
    assert is_prerelease("v1.0.0-a")
    assert not is_prerelease("v1.0.0+a-b")


VERSIONS = [
    "0.0.3", "0.1.2", "0.2.0", "1.0.0", "1.2.2", "1.2.3-beta.2", "1.2.3", "1.2.4-beta", "1.2.4", "1.3.0", "1.10.0",
    "2.0.0-rc.1", "2.0.0", "3.0.0",
]  # fmt: skip


RELEASES = "0.0.3 0.1.2 0.2.0 1.0.0 1.2.2 1.2.3 1.2.4 1.3.0 1.10.0 2.0.0 3.0.0"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("^1.2.3", "1.2.3 1.2.4 1.3.0 1.10.0"),
        ("^0.1.2", "0.1.2"),
        ("^0.0.3", "0.0.3"),
        ("~1.2", "1.2.2 1.2.3 1.2.4"),
        ("~1.2.3-beta.1", "1.2.3-beta.2 1.2.3 1.2.4"),
        ("1.x", "1.0.0 1.2.2 1.2.3 1.2.4 1.3.0 1.10.0"),
        ("v1", "1.0.0 1.2.2 1.2.3 1.2.4 1.3.0 1.10.0"),
        ("1.2.*", "1.2.2 1.2.3 1.2.4"),
        (">=1 <2", "1.0.0 1.2.2 1.2.3 1.2.4 1.3.0 1.10.0"),
        (">= 1.3  < 3", "1.3.0 1.10.0 2.0.0"),
        ("1.2.3 - 1.3", "1.2.3 1.2.4 1.3.0"),
        ("<0.2 || >=3", "0.0.3 0.1.2 3.0.0"),
        (">=2.0.0-rc.0 <2.0.0", "2.0.0-rc.1"),
        ("=v1.0.0", "1.0.0"),
        (">9", ""),
        (">1.2.3 <= 1.3", "1.2.4 1.3.0"),
        (">1", "2.0.0 3.0.0"),
        ("~ 1.2.3", "1.2.3 1.2.4"),
        ("^1.2.3-beta.1", "1.2.3-beta.2 1.2.3 1.2.4 1.3.0 1.10.0"),
        ("~0.1 || 3.x.x", "0.1.2 3.0.0"),
        ("^2.0.0-rc.1 || vX", "0.0.3 0.1.2 0.2.0 1.0.0 1.2.2 1.2.3 1.2.4 1.3.0 1.10.0 2.0.0 3.0.0"),
        ("*", "0.0.3 0.1.2 0.2.0 1.0.0 1.2.2 1.2.3 1.2.4 1.3.0 1.10.0 2.0.0 3.0.0"),
        ("1.2.3-beta.2 || *", "0.0.3 0.1.2 0.2.0 1.0.0 1.2.2 1.2.3 1.2.4 1.3.0 1.10.0 2.0.0 3.0.0"),
        # An alternative of nothing is `*`, and so is nothing at all.
        *((text, RELEASES) for text in ("", " ", "||", " || ", "|| ||", "1.x || ", "|| 1.x", "1.2.3-beta.2 ||")),
        # White space is what JavaScript takes for it, and as much of it as there is.
        ("<\t0.2.0", "0.0.3 0.1.2"),
        ("^3\n", "3.0.0"),
        ("\ufeff^3\u00a0", "3.0.0"),
        (">=1.3 \t\r\n <1.10", "1.3.0"),
        ("1.3\u2028-\u30001.10", "1.3.0 1.10.0"),
        ("\t0.1\t||\t3\t", "0.1.2 3.0.0"),
        ("^\u00a01.3", "1.3.0 1.10.0"),
        # Build metadata in a range says nothing.
        ("=1.2.3+b", "1.2.3"),
        ("^1.2.3+b.7 <1.3+001", "1.2.3 1.2.4"),
        ("2.x+b || 3.*.x+b", "2.0.0 3.0.0"),
        ("1.2.4-beta+b - 1.2.4+b", "1.2.4-beta 1.2.4"),
        ("*+b", RELEASES),
    ],
)
def test_ranges(text: str, found: str) -> None:
    assert [v for v in VERSIONS if parse_range(text).matches(v)] == found.split()


def test_highest_of_a_range_is_by_precedence() -> None:
    assert parse_range("1.x").highest(["v1.9.0", "v1.10.0", "v1.2.0"]) == "v1.10.0"
    assert parse_range("^9").highest(["v1.0.0"]) is None


@pytest.mark.parametrize(
    "text",
    [
        "|",
        "1 | 2",
        "1 ||| 2",
        "|| latest",
        "latest",
        "1.2.3.4",
        ">1 <",
        "^^1",
        "a.b.c",
        "1.2.3 - ",
        "^01.2",
        ">=1,<2",
        "^1\x1c",
        "^1\x85",
        "+b",
        "^+b",
        "1+",
        "1+b+b",
        "1 +b",
        "1 - 2 - 3",
        "~",
        "1..2",
        "x" * 300,
        "1.x.3",
        "x.1",
        "*.*.1",
        "1.x-rc.1",
        "1.2.x-rc.1",
        "> =1",
        "1 -2",
        "^1.2.3.4",
        "^１",
        "^1\u200b",
        # Exponentially many ways to read the spaces would never end.
        "1" + "    1" * 50 + " !",
        "1 - 1 ||" * 30 + "!",
    ],
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(InvalidVersion, match="is not a version range"):
        parse_range(text)


def test_numbers_of_any_size_are_read_or_refused_and_never_crash() -> None:
    for text in ("^" + "9" * 17, "9" * 250, ">=1." + "0" * 200):
        with pytest.raises(InvalidVersion):
            parse_range(text)
