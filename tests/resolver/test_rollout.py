"""Who faces a canary: published vectors, and the laws that a draw must keep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.documents import decode_rollout
from resolver.ensemble import load_ensemble
from resolver.errors import InvalidDocument, InvalidPercentage, InvalidReference
from resolver.plan import compile_plan, key_text, resolve
from resolver.reference import parse_reference
from resolver.rollout import (
    BUCKETS,
    NOBODY,
    Canary,
    Percentage,
    RolloutTable,
    group_salt,
    meant_entry,
    parse_entry,
    parse_json_percentage,
    parse_percentage,
    salt,
)
from resolver.snapshot import Group, Request, Resolver, Snapshot

VECTORS = Path(__file__).parents[1] / "vectors"
KEYS = [f"user-{number}" for number in range(100_000)]
#: Critical values of chi-square at p = 0.001, for 99 degrees of freedom and for 1.
CRITICAL_99, CRITICAL_1 = 148.23, 10.83

percentages = st.integers(0, 20).flatmap(lambda n: st.decimals(0, 100, places=n)).map(lambda d: format(d, "f"))


def vectors() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / "rollout.json").read_text("utf-8"))
    assert len(found) > 50
    return found


def takes(share: Percentage, salt: str, key: str) -> bool:
    return Canary.of(salt, share).takes(key)


def runs_canary(vector: dict[str, Any]) -> bool:
    """Through `choose` or, for a group, through `resolve`, as every request goes."""
    table = RolloutTable({"*": parse_percentage(vector["percentage"])})
    *_, environment = parts = vector["salt"][:2]
    version = vector["salt"][2] if len(vector["salt"]) == 3 else "v7.7.7"
    names = ("one", "two") if len(vector["salt"]) == 2 else (parts[0],)
    pointers = {name: {environment: "v0.0.1", f"{environment}-canary": version} for name in names}
    snapshot, request = Snapshot(pointers, table), Request(environment=environment, key=vector["key"])
    if len(names) == 1:
        return Resolver(snapshot).choose(parse_reference(parts[0]), request).route == "canary"
    agents = "agents: [{name: a, component: one}, {name: b, component: two}]"
    text = f"ensemble: x\nrollout: {{group: {parts[0]}}}\n{agents}"
    found = {
        agent.references[0].route
        for agent in resolve(compile_plan(load_ensemble(text, "x")), Resolver(snapshot), request)
    }
    assert len(found) == 1, "both or neither"
    return found == {"canary"}


def test_the_vectors_hold_for_what_a_request_runs() -> None:
    for vector in vectors():
        assert runs_canary(vector) is vector["canary"], vector


def test_the_bucket_of_a_vector_is_where_its_canary_begins() -> None:
    for vector in vectors():
        salted, bucket = "\n".join(vector["salt"]), int(vector["bucket"])
        below, above = (Percentage(Decimal(0), at, at.to_bytes(8, "big")) for at in (bucket, bucket + 1))
        assert not takes(below, salted, vector["key"]), vector
        assert takes(above, salted, vector["key"]), vector


def test_node_repeats_the_vectors() -> None:
    run = subprocess.run(["node", str(VECTORS / "rollout.mjs")], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    count = len(vectors())
    assert run.stdout == f"{count} of {count} vectors repeated\n"


def test_a_wrong_vector_is_noticed_by_node(tmp_path: Path) -> None:
    wrong = vectors()
    wrong[-1]["canary"] = not wrong[-1]["canary"]
    (tmp_path / "rollout.json").write_text(json.dumps(wrong), "utf-8")
    (tmp_path / "rollout.mjs").write_bytes((VECTORS / "rollout.mjs").read_bytes())
    run = subprocess.run(["node", str(tmp_path / "rollout.mjs")], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.count("differs:") == 1


@given(percentages, percentages, st.text())
def test_raising_the_percentage_only_adds_users(one: str, other: str, key: str) -> None:
    low, high = sorted((parse_percentage(one), parse_percentage(other)), key=lambda p: p.value)
    if takes(low, "s", key):
        assert takes(high, "s", key)


@given(st.text())
def test_nobody_and_everybody_are_exact(key: str) -> None:
    assert not takes(parse_percentage("0"), "s", key)
    assert takes(parse_percentage("100"), "s", key)


@given(percentages, st.integers(-2, 2))
def test_the_bound_is_exact(text: str, near: int) -> None:
    exact = Fraction(text) * BUCKETS / 100
    place = min(max(int(exact) + near, 0), BUCKETS - 1)
    assert (place < parse_percentage(text).threshold) == (place < exact)


@given(percentages, st.integers(-2, 2), st.binary(min_size=24, max_size=24))
def test_the_bound_in_bytes_says_the_same(text: str, near: int, rest: bytes) -> None:
    percentage = parse_percentage(text)
    place = min(max(percentage.threshold + near, 0), BUCKETS - 1)
    assert (place.to_bytes(8, "big") + rest < percentage.bound) == (place < percentage.threshold)


@given(percentages, st.text(st.characters()), st.text(st.characters()))
def test_the_formula_is_the_published_one(text: str, salted: str, key: str) -> None:
    digest = sha256(f"{salted}\n{key}".encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()).digest()
    below = Fraction(int.from_bytes(digest[:8], "big")) < Fraction(text) * 2**64 / 100
    assert takes(parse_percentage(text), salted, key) is below


def test_the_smallest_and_the_largest_are_neither_nobody_nor_everybody() -> None:
    assert parse_percentage("0.0000001").threshold == 18446744074
    assert parse_percentage("99.9999999").threshold == BUCKETS - 18446744073
    assert parse_percentage("0." + "0" * 29 + "1").threshold == 1
    assert parse_percentage("99." + "9" * 17).threshold == BUCKETS - 1


def test_buckets_are_uniform() -> None:
    """Each of a hundred slices of the percentage adds its hundredth of the keys."""
    canaries = [Canary.of("my-prompt\nprod\nv1.1.0", parse_percentage(str(percent))) for percent in range(1, 101)]
    counts = [0] * 100
    for key in KEYS:
        low, high = 0, 99
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if canaries[middle].takes(key) else (middle + 1, high)
        counts[low] += 1
    expected = len(KEYS) / 100
    assert sum((count - expected) ** 2 / expected for count in counts) < CRITICAL_99


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (salt("my-prompt", "prod", "v1.1.0"), salt("extraction-prompt", "prod", "v1.1.0")),
        (salt("my-prompt", "prod", "v1.1.0"), salt("my-prompt", "prod", "v1.2.0")),
        (salt("my-prompt", "prod", "v1.1.0"), salt("my-prompt", "prod-eu", "v1.1.0")),
        (salt("my-prompt", "prod", "v1.1.0"), None),
    ],
)
def test_draws_are_independent(one: str, other: str | None) -> None:
    """Of each other, and (None) of the condition `user_id % 2 === 0`, by a 2 × 2 table."""
    ten = parse_percentage("10")
    table = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for number, key in enumerate(KEYS[:40_000]):
        second = number % 2 == 0 if other is None else takes(ten, other, key)
        table[takes(ten, one, key), second] += 1
    total = sum(table.values())
    chi = 0.0
    for (a, b), count in table.items():
        row = sum(n for (x, _), n in table.items() if x is a)
        column = sum(n for (_, y), n in table.items() if y is b)
        chi += (count - row * column / total) ** 2 / (row * column / total)
    assert chi < CRITICAL_1


def test_the_salts_of_two_groups_and_of_two_environments_differ() -> None:
    assert len({group_salt("g", "prod"), group_salt("g", "prod-eu"), group_salt("h", "prod")}) == 3


def test_every_process_answers_the_same() -> None:
    code = (
        "from resolver.rollout import Canary, parse_percentage\n"
        "canary = Canary.of('a\\nprod\\nv1.0.0', parse_percentage('50'))\n"
        "print([canary.takes(str(n)) for n in range(200)])"
    )
    here = Canary.of("a\nprod\nv1.0.0", parse_percentage("50"))
    answers = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        answers.add(run.stdout)
    assert answers == {f"{[here.takes(str(n)) for n in range(200)]}\n"}


def test_keys_are_text_numbers_or_absent() -> None:
    assert key_text(101) == key_text("101") == key_text(101.0) == "101"
    assert key_text(None) is key_text("") is None
    assert key_text(2**53 + 1) == "9007199254740992"
    assert key_text(1e21) == "1e+21"


def test_two_spellings_of_one_text_are_two_keys() -> None:
    """A key is its code points: nobody normalises it, so that any language draws the same."""
    composed, decomposed = "zo\u00eb", "zoe\u0308"
    assert [key_text(composed), key_text(decomposed)] == [composed, decomposed]
    snapshot = Snapshot({"a": {"prod": "v1.0.0", "prod-canary": "v1.1.0"}}, RolloutTable({"*": parse_percentage("50")}))
    requests = [Request(environment="prod", key=key) for key in (composed, decomposed)]
    found = [Resolver(snapshot).choose(parse_reference("a"), request).route for request in requests]
    assert found == ["canary", "pointer"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", "0"), ("10", "10"), ("10%", "10"), (" 12.5 % ", "12.5"), ("100", "100"), ("0.1", "0.1"), ("007", "7"),
     ("100.000", "100.000"), ("10\n", "10")],
)  # fmt: skip
def test_percentages_as_text(text: str, value: str) -> None:
    assert str(parse_percentage(text)) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "10abc", "abc10", "1e1", "-1", "+5", "100.1", "101", "1000", "10%%", "%", "% 10", "1,5", "1.", ".5",
      "0x10", "NaN", "inf", "１０", "1 0", "10\n10", "1" * 99],
)  # fmt: skip
def test_what_is_no_percentage_is_refused_whole(text: str) -> None:
    with pytest.raises(InvalidPercentage):
        parse_percentage(text)


def test_a_decimal_means_what_it_says() -> None:
    assert parse_json_percentage("0.1").threshold == -(-(2**64) // 1000)
    assert parse_json_percentage("1e1").threshold == parse_percentage("10").threshold
    assert parse_json_percentage("-0").threshold == 0
    for number in ("-1", "100.0001", "1e3", "1e-99999", "9" * 40):
        with pytest.raises(InvalidPercentage):
            parse_json_percentage(number)


@pytest.mark.parametrize(
    ("document", "percentage"),
    [("10", "10"), ('"10%"', "10"), ("10%", "10"), (" 10\n", "10"), ("0", "0"), ("0.1", "0.1"),
     ('{"*": "5 %"}', "5"), ("{}", "0")],
)  # fmt: skip
def test_the_document_in_all_its_forms(document: str, percentage: str) -> None:
    decoded = decode_rollout(document)
    assert (str(decoded.value.percentage("any", "prod")), decoded.problems) == (percentage, ())


@pytest.mark.parametrize(
    "document",
    ["", "null", "true", "[]", "[10]", '"ten"', "10 20", "{", "nobody", "-1", "1e400", "\x00", "10abc", '"1e1"',
     "100.1", "NaN", "10%%", "１０", "0x10", "+5", "1" * 5000, '{"a": 1', '{"a": 1}}', '{"a" 1}', '{"a": 1,}',
     '{"a": 1 "b": 2}', "{a: 1}", '{"a": [}]}', '{"a"}', "\ufeff", "\ufeff\ufeff10", "[" * 100_000],
)  # fmt: skip
def test_a_document_that_is_none(document: str) -> None:
    with pytest.raises(InvalidDocument):
        decode_rollout(document)


def test_nobody_is_none_of_the_buckets() -> None:
    assert (str(NOBODY), NOBODY.threshold, NOBODY.bound) == ("0", 0, bytes(8))


def test_a_table_of_pointers_alone() -> None:
    table = decode_rollout('{"a@prod": 30}').value
    assert [str(table.percentage("a", environment)) for environment in ("prod", "prod-eu")] == ["30", "0"]


def test_the_most_specific_entry_wins_and_zero_is_an_entry() -> None:
    table = decode_rollout('{"*": 10, "a": 25, "a@prod-eu": 0, "b@prod": 100}').value
    asked = [("a", "prod"), ("a", "prod-eu"), ("b", "prod"), ("b", "prod-eu"), ("c", "prod")]
    assert [str(table.percentage(*pointer)) for pointer in asked] == ["25", "0", "100", "10", "10"]


def test_a_percentage_of_one_version_is_nobodys_for_another() -> None:
    table = decode_rollout('{"*": 10, "a": {"percent": 25, "version": "1.2.0"}, "a@prod-eu": 5}').value
    asked = [("a", "prod", "v1.2.0"), ("a", "prod", "v1.3.0"), ("a", "prod-eu", "v1.3.0"), ("b", "prod", "v1.3.0")]
    found = [str(table.percentage(name, environment, canary=canary)) for name, environment, canary in asked]
    # It decides all the same: for another version it is 0, and never the percentage of all.
    assert found == ["25", "0", "5", "10"]
    assert table.percentage("a", "prod") == NOBODY


@pytest.mark.parametrize("version", ["v1.1.0", "v1.2.0"])
def test_what_is_served_asks_for_the_canarys_version(version: str) -> None:
    rollout = decode_rollout('{"*": 100, "a": {"percent": "100 %", "version": "v1.2.0"}}').value
    pointers = {"a": {"prod": "v1.0.0", "prod-canary": version}, "b": {"prod": "v1.0.0", "prod-canary": version}}
    resolver, request = Resolver(Snapshot(pointers, rollout)), Request(key="k")
    found = [resolver.choose(parse_reference(name), request).route for name in pointers]
    assert found == ["canary" if version == "v1.2.0" else "pointer", "canary"]
    # Nobody of a group faces a canary that its own percentage keeps from them.
    group = Group("g", (parse_reference("a"), parse_reference("b")))
    grouped = {resolver.choose(reference, request, group).route for reference in group.members}
    assert grouped == {"canary" if version == "v1.2.0" else "pointer"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [('{"percent": 10}', "this one has percent"), ("{}", "this one has none"),
     ('{"version": "v1.0.0"}', "this one has version"),
     ('{"percent": 10, "version": "v1.0.0", "ramp": []}', "this one has percent, ramp, version"),
     ('{"percent": 10, "percent": 10, "version": "v1.0.0"}', "each once"),
     ('{"percent": 10, "version": "v1.0.0", "\\ud83d": 1}', "each once"),
     ('{"percent": 10, "version": "latest"}', "`\"latest\"` is not a version"),
     ('{"percent": 10, "version": null}', "`null` is not a version"),
     ('{"percent": 101, "version": "v1.0.0"}', "outside 0 to 100"),
     ('{"percent": {"percent": 1, "version": "v1.0.0"}, "version": "v1.0.0"}', "is not a percentage"),
     ('{"percent": null, "version": "v1.0.0"}', "`null` is not a percentage")],
)  # fmt: skip
def test_an_object_that_is_no_percentage_spoils_only_itself(bad: str, said: str) -> None:
    before = decode_rollout('{"a": {"percent": 30, "version": "v1.2.0"}}').value
    decoded = decode_rollout(f'{{"*": 10, "a": {bad}, "b": {bad}}}', before)
    found = [str(decoded.value.percentage(name, "prod", canary="v1.2.0")) for name in ("a", "b", "c")]
    assert found == ["30", "0", "10"]
    assert str(decoded.value.percentage("a", "prod", canary="v1.0.0")) == "0"
    assert [problem.entry for problem in decoded.problems] == ["a", "b"]
    assert said in decoded.problems[0].detail


@pytest.mark.parametrize(
    "bad",
    ["null", "true", "[]", "[1]", '"x"', '""', "-5", "101", "100.1", '{"a": 1}', '"1e1"', "1e999", '"10abc"', '"-1"',
     '"NaN"', '"10%%"', '"１０"', '"0x10"', '"+5"', "1" * 5000, "[" * 200 + "]" * 200],
)  # fmt: skip
def test_a_bad_entry_keeps_its_last_value_and_never_falls_to_the_rest(bad: str) -> None:
    before = RolloutTable({"a": parse_percentage("30")})
    decoded = decode_rollout(f'{{"*": 10, "a": {bad}, "b": {bad}}}', before)
    found = [str(decoded.value.percentage(name, "prod")) for name in ("a", "b", "c")]
    assert found == ["30", "0", "10"]
    assert [problem.entry for problem in decoded.problems] == ["a", "b"]


@pytest.mark.parametrize(
    "bad",
    ["NaN", "Infinity", "-Infinity", "01", "+5", ".5", "5.", "undefined", "'5'", "ten", "",
     '"\\ud83d"', '"5\x01"', '"\\5"', "5 %", "[NaN]", '"5" "6"'],
)  # fmt: skip
def test_what_no_json_can_hold_spoils_its_own_entry_alone(bad: str) -> None:
    test_a_bad_entry_keeps_its_last_value_and_never_falls_to_the_rest(bad)


@pytest.mark.parametrize(
    ("written", "entry"),
    [('"my-prompt": 5, "my-prompt": 50', "my-prompt"), ('"my-prompt": 5, "my-prompt": 5', "my-prompt"),
     ('"my-prompt": 5, "my-prom\\u0070t": 50', "my-prompt"),
     ('"prompt://my-prompt": 5, "prompts/my-prompt": 50', "prompts/my-prompt"),
     ('"prompt://my-prompt": 1, "my-prompt": 2, "my-prompt": 3', "my-prompt"),
     ('"prompt://my-prompt@prod": 5, "prompts/my-prompt@prod": 50', "prompts/my-prompt@prod"),
     ('"*@prod": 5, "*@prod": 50', "*@prod"),
     ('"my-prompt": 5, "my-prompt": "lots"', "my-prompt")],
)  # fmt: skip
def test_an_entry_that_stands_twice_moves_nobody(written: str, entry: str) -> None:
    for before, stays in ((None, "0"), (RolloutTable({entry: parse_percentage("30")}), "30")):
        decoded = decode_rollout(f'{{"*": 10, {written}, "other": 7}}', before)
        assert str(decoded.value.percentage("my-prompt", "prod")) == stays
        assert str(decoded.value.percentage("other", "prod")) == "7"
        (problem,) = decoded.problems
        assert problem.entry == entry
        assert "times" in problem.detail
        assert problem.detail.endswith(f"{stays} % stays in force")


def test_all_that_stands_twice_moves_nobody() -> None:
    decoded = decode_rollout('{"*": 50, "*": 60}', decode_rollout("20").value)
    assert str(decoded.value.percentage("any", "prod")) == "20"
    assert [problem.entry for problem in decoded.problems] == ["*"]


@pytest.mark.parametrize(
    ("name", "entry"),
    [("*", "*"), ("*@prod-eu", "*@prod-eu"), ("my-prompt", "my-prompt"), ("my-prompt@prod-eu", "my-prompt@prod-eu"),
     ("prompts/my-prompt", "prompts/my-prompt"), ("prompt://my-prompt", "prompts/my-prompt"),
     ("docs/a/b@prod", "docs/a/b@prod"), ("template://templates/header@staging", "templates/header@staging"),
     ("teams/a", "teams/a")],
)  # fmt: skip
def test_a_name_may_say_its_type_in_the_table_too(name: str, entry: str) -> None:
    assert parse_entry(name) == entry
    decoded = decode_rollout(json.dumps({name: 30}))
    assert (list(decoded.value.entries), decoded.problems) == ([entry], ())


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # Of the component `answer`, whose type is not known, is a prompt, is a schema; and of `schemas/answer`.
        ({"answer": 5}, ("5", "5", "5", "0")),
        ({"prompts/answer": 5}, ("5", "5", "0", "0")),
        ({"schemas/answer": 5}, ("5", "0", "5", "5")),
        ({"answer": 5, "schemas/answer": 50}, ("5", "5", "5", "50")),
        ({"prompts/answer": 5, "answer@prod": 50}, ("50", "50", "50", "0")),
        ({"answer": 5, "prompt://answer@prod": 50}, ("50", "50", "5", "0")),
    ],
)
def test_an_entry_with_a_type_is_for_a_component_of_that_type(table: dict[str, int], expected: tuple[str, ...]) -> None:
    decoded = decode_rollout(json.dumps(table)).value
    asked = [("answer", None), ("answer", "prompt"), ("answer", "schema"), ("schemas/answer", "schema")]
    assert tuple(str(decoded.percentage(name, "prod", type)) for name, type in asked) == expected


@pytest.mark.parametrize(
    ("name", "meant", "says"),
    [(" my-prompt", "my-prompt", "not a component name"), ("my-prompt ", "my-prompt", "not a component name"),
     ("my-prompt@", "my-prompt", "nothing stands"), ("my-prompt @prod", "my-prompt@prod", "not a component name"),
     ("my-prompt@ prod", "my-prompt@prod", "white space"), ("my-prompt@prod\n", "my-prompt@prod", "white space"),
     ("my-prompt@latest", "my-prompt", "cannot name an environment"), ("my-prompt@v1.1.0", "my-prompt", "environment"),
     ("my-prompt@^1", "my-prompt", "cannot name an environment"), ("my-prompt@@prod", "my-prompt", "neither"),
     ("my-prompt@prod-canary", "my-prompt@prod", "beside the canary, `prod`"), ("*@prod-canary", "*@prod", "`prod`"),
     ("*@latest", "*", "newest"), ("*@", "*", "an environment is a letter"), ("* ", "*", "not a component name"),
     ("prompts/ my-prompt", None, "not a component name"), ("promt://my-prompt", None, "unknown scheme"),
     ("", None, "not a component name"), ("@prod", None, "not a component name"), ("**", None, "not a component name"),
     ("my prompt", None, "not a component name"), ("prompt://configs/x", None, "two types"),
     ("${input.x}", None, "expression"), ("cafe\u0301", None, "not a component name")],
)  # fmt: skip
def test_an_entry_that_could_never_count_is_told_and_moves_nobody(name: str, meant: str | None, says: str) -> None:
    with pytest.raises(InvalidReference):
        parse_entry(name)
    assert meant_entry(name) == meant
    for before, stays in ((None, "0"), (RolloutTable({meant or "x": parse_percentage("30")}), "30")):
        decoded = decode_rollout(json.dumps({"other": 7, name: 50}), before)
        assert {entry: str(p) for entry, p in decoded.value.entries.items()} == {"other": "7"} | (
            {meant: stays} if meant else {}
        )
        (problem,) = decoded.problems
        assert problem.entry == name
        assert says in problem.detail
        assert (f"write `{meant}`" in problem.detail) is (meant is not None)


def test_what_was_meant_gives_way_to_what_is_said() -> None:
    decoded = decode_rollout('{"my-prompt@": 50, "my-prompt": 5}', decode_rollout('{"my-prompt": 30}').value)
    assert str(decoded.value.percentage("my-prompt", "prod")) == "5"
    assert [problem.entry for problem in decoded.problems] == ["my-prompt@"]


@pytest.mark.parametrize("name", ["my-\\ud83dprompt", "my\\-prompt", "my-prompt\\udc00", "my-pr\\ompt"])
def test_a_name_that_is_no_text_of_json_is_told_and_moves_nobody(name: str) -> None:
    decoded = decode_rollout(f'{{"*": 10, "{name}": 50, "other": 7}}', decode_rollout('{"my-prompt": 30}').value)
    found = [str(decoded.value.percentage(component, "prod")) for component in ("my-prompt", "other", "more")]
    assert found == ["30", "7", "10"]
    (problem,) = decoded.problems
    assert problem.entry == "my-prompt"
    assert name in problem.detail
    assert str(problem).encode()


def test_a_byte_order_mark_is_no_part_of_the_table() -> None:
    for document in ("\ufeff10", "\ufeff 10 %", '\ufeff"10%"', '\ufeff{"*": 10}'):
        for source in (document, document.encode()):
            decoded = decode_rollout(source)
            assert (str(decoded.value.percentage("any", "prod")), decoded.problems) == ("10", ())


ENTRIES = ["a@prod", "a", "*@prod", "*"]


@pytest.mark.parametrize("there", [[name for n, name in enumerate(ENTRIES) if bits >> n & 1] for bits in range(16)])
def test_the_component_goes_before_the_environment(there: list[str]) -> None:
    table = decode_rollout(json.dumps({name: 10 + ENTRIES.index(name) for name in reversed(there)})).value
    for component, environment in (("a", "prod"), ("a", "dev"), ("b", "prod"), ("b", "dev")):
        fits = [name for name in ENTRIES if name in (f"{component}@{environment}", component, f"*@{environment}", "*")]
        deciding = next((name for name in fits if name in there), None)
        assert table.entry(component, environment) == deciding
        said = "0" if deciding is None else str(10 + ENTRIES.index(deciding))
        assert str(table.percentage(component, environment)) == said


def test_a_bad_rest_keeps_its_last_value_too() -> None:
    before = decode_rollout("10").value
    assert str(decode_rollout('{"*": "lots", "a": 0}', before).value.percentage("b", "prod")) == "10"
    assert str(decode_rollout('{"*": "lots", "a": 0}', before).value.percentage("a", "prod")) == "0"
