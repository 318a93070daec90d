"""Ensembles: both forms, every kind of nesting, and what is refused, each at its line and column."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.ensemble import DuringRun, Ensemble, Evaluated, Fixed, Unit, load_ensemble
from resolver.errors import InvalidEnsemble
from resolver.expression import Scope
from resolver.expression.javascript import to_text, truthy

FILE = "sample.yaml"


def loaded(text: str) -> Ensemble:
    return load_ensemble(dedent(text), FILE)


def refusal(text: str) -> InvalidEnsemble:
    with pytest.raises(InvalidEnsemble) as caught:
        loaded(text)
    assert caught.value.file == FILE
    return caught.value


def place(error: InvalidEnsemble) -> tuple[int | None, int | None]:
    return error.line, error.column


def flow(steps: str) -> Ensemble:
    """An ensemble of one step, given without the `- ` before it."""
    return loaded("name: sample\nflow:\n  - " + dedent(steps).strip().replace("\n", "\n    ") + "\n")


def way(unit: Unit) -> list[str]:
    """The conditions on the way to a unit, each as what decides it."""
    told = []
    for condition in unit.conditions:
        match condition:
            case Evaluated(expression=expression):
                told.append(expression.text)
            case Fixed(holds=holds):
                told.append(str(holds).lower())
            case DuringRun(text=text):
                told.append(text)
    return told


def units(ensemble: Ensemble) -> list[tuple[str, list[str]]]:
    return [(unit.name, way(unit)) for unit in ensemble.units]


def references(ensemble: Ensemble) -> dict[str, str]:
    """Path → reference; a `?` behind one that could be plain text as well."""
    return {
        site.path: f"{site.found.reference}{'' if site.found.certain else '?'}"
        for unit in ensemble.units
        for site in unit.sites
    }


# Forms


def test_the_short_form() -> None:
    ensemble = loaded(
        """
        ensemble: ab
        agents:
          - name: a
            operation: think
            component: my-prompt@v1.5.0
            condition: ${input.user_id % 2 === 0}
          - name: b
            when: true
        """
    )
    assert ensemble.name == "ab"
    assert units(ensemble) == [("a", ["${input.user_id % 2 === 0}"]), ("b", ["true"])]
    assert [(unit.path, unit.operation, unit.used) for unit in ensemble.units] == [
        ("agents[0]", "think", True),
        ("agents[1]", None, True),
    ]
    assert references(ensemble) == {"agents[0].component": "my-prompt@v1.5.0"}


def test_the_form_with_a_flow() -> None:
    ensemble = loaded(
        """
        name: two/forms
        agents:
          - name: known
            operation: code
            component: one@prod
            condition: ${input.inner}
          - name: unused
            component: two@prod
        flow:
          - agent: known
            when: ${input.outer}
            config: {prompt: three@prod}
          - agent: known
            id: again
            operation: think
          - agent: built-in
          - agent: elsewhere@v1.0.0
        """
    )
    assert ensemble.name == "two/forms"
    assert units(ensemble) == [
        ("known", ["${input.outer}", "${input.inner}"]),
        ("again", ["${input.inner}"]),
        ("built-in", []),
        ("elsewhere@v1.0.0", []),
        ("unused", []),
    ]
    assert [unit.operation for unit in ensemble.units] == ["code", "think", None, None, None]
    assert [unit.path for unit in ensemble.units] == ["flow[0]", "flow[1]", "flow[2]", "flow[3]", "agents[1]"]
    assert [unit.used for unit in ensemble.units] == [True, True, True, True, False]
    # A definition is no reference; it brings its own along.
    assert [[site.path for site in unit.sites] for unit in ensemble.units] == [
        ["flow[0].config.prompt", "agents[0].component"],
        ["agents[0].component"],
        ["flow[2].agent"],
        ["flow[3].agent"],
        ["agents[1].component"],
    ]
    assert references(ensemble)["flow[2].agent"] == "built-in?"
    assert references(ensemble)["flow[3].agent"] == "elsewhere@v1.0.0"


def test_unknown_fields_are_kept() -> None:
    ensemble = loaded(
        """
        name: sample
        trigger: [{type: http}]
        agents:
          - name: a
            config: {temperature: 0.5}
        flow:
          - agent: a
            retry: {attempts: 3}
        """
    )
    assert ensemble.raw["trigger"] == [{"type": "http"}]
    assert ensemble.raw["agents"][0]["config"] == {"temperature": 0.5}
    assert ensemble.raw["flow"][0]["retry"] == {"attempts": 3}


# Nesting: each kind by `type:` and by its key, and what both must give

NESTED = {
    "parallel": ("steps: [{agent: a}, {agent: b, when: x}]", [("a", []), ("b", ["x"])]),
    "branch": (
        "condition: ${input.x}\nthen: [{agent: a}]\nelse: [{agent: b}]",
        [("a", ["${input.x}"]), ("b", ["!(${input.x})"])],
    ),
    "branch by when": ("when: x\nthen: [{agent: a}]", [("a", ["x"])]),
    "branch of a boolean": ("condition: false\nthen: []\nelse: [{agent: b}]", [("b", ["true"])]),
    "foreach": ("items: ${input.items}\nstep: {agent: a, condition: x}", [("a", ["x"])]),
    "try": (
        "steps: [{agent: a}]\ncatch: [{agent: b}]\nfinally: [{agent: c}]",
        [("a", []), ("b", ["a step of the `try` fails"]), ("c", [])],
    ),
    "switch": (
        "value: ${input.x}\ncases: {1: [{agent: a}], true: [{agent: b}]}\ndefault: [{agent: c}]",
        [
            ("a", ['(${input.x} | string) === "1"']),
            ("b", ['(${input.x} | string) === "true"']),
            ("c", ['!["1", "true"].includes((${input.x} | string))']),
        ],
    ),
    "switch on a constant": ("value: 010\ncases: {10: [{agent: a}]}", [("a", ['(10 | string) === "10"'])]),
    "switch on a boolean": ("value: TRUE\ncases: {true: [{agent: a}]}", [("a", ['(true | string) === "true"'])]),
    "while": ("condition: x\nmaxIterations: 3\nsteps: [{agent: a}]", [("a", ["x"])]),
    "map-reduce": ("items: x\nmap: {agent: a}\nreduce: {agent: b}", [("a", []), ("b", [])]),
}


@pytest.mark.parametrize("case", NESTED)
def test_nesting_in_both_spellings(case: str) -> None:
    kind = case.partition(" ")[0]
    fields, expected = NESTED[case]
    by_type = flow(f"type: {kind}\n{fields}")
    by_key = flow(f"{kind}:\n  " + fields.replace("\n", "\n  "))
    assert units(by_type) == units(by_key) == expected
    assert [unit.path for unit in by_key.units] == [
        unit.path.replace("flow[0]", f"flow[0].{kind}") for unit in by_type.units
    ]


def test_a_list_stands_for_its_block() -> None:
    assert units(flow("parallel: [{agent: a}, {agent: b}]")) == [("a", []), ("b", [])]
    assert units(flow("try: [{agent: a}]")) == [("a", [])]


def test_conditions_gather_from_the_outermost_in() -> None:
    ensemble = flow(
        """
        when: one
        parallel:
          when: two
          steps:
            - type: branch
              condition: three
              then: []
              else:
                - switch: {when: four, value: five, cases: {x: [{while: {condition: six, steps: [{agent: a}]}}]}}
        """
    )
    assert units(ensemble) == [("a", ["one", "two", "!(three)", "four", '(five | string) === "x"', "six"])]
    assert ensemble.units[0].path == "flow[0].parallel.steps[0].else[0].switch.cases.x[0].while.steps[0]"
    assert [condition.path for condition in ensemble.units[0].conditions][:3] == [
        "flow[0].when",
        "flow[0].parallel.when",
        "flow[0].parallel.steps[0].condition",
    ]


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), st.lists, max_leaves=3))
def test_exactly_one_way_of_a_switch_or_a_branch_is_taken(value: object) -> None:
    switch = flow(
        """
        switch:
          value: ${input.x}
          cases: {1: [{agent: one}], true: [{agent: yes}], "": [{agent: none}], a: [{agent: a}], "null": [{agent: nil}]}
          default: [{agent: other}]
        """
    )
    branch = flow("branch: {when: input.x, then: [{agent: then}], else: [{agent: otherwise}]}")
    scope = Scope({"x": value})
    for ensemble in (switch, branch):
        taken = []
        for unit in ensemble.units:
            (condition,) = unit.conditions
            assert isinstance(condition, Evaluated)
            if truthy(condition.expression.evaluate(scope)):
                taken.append(unit.name)
        assert len(taken) == 1
        if ensemble is switch:
            known = {"1": "one", "true": "yes", "": "none", "a": "a", "null": "nil"}
            assert taken == [known.get(to_text(value), "other")]
        else:
            assert taken == ["then" if truthy(value) else "otherwise"]


def test_a_text_with_placeholders_is_what_a_switch_compares() -> None:
    ensemble = flow("switch: {value: 'level-${input.n}', cases: {level-1: [{agent: a}]}, default: [{agent: b}]}")
    (case,), (default,) = (unit.conditions for unit in ensemble.units)
    assert isinstance(case, Evaluated)
    assert isinstance(default, Evaluated)
    for number, expected in ((1, True), (2, False)):
        scope = Scope({"n": number})
        assert case.expression.evaluate(scope) is expected
        assert default.expression.evaluate(scope) is not expected


# References


def test_references_at_any_depth() -> None:
    ensemble = loaded(
        """
        name: sample
        agents:
          - name: prompt://not-a-reference@v1.0.0
            component: bare
            config:
              prompt: prompts/extraction@v1.0.0
              schema: word
              deep: [{template: components/header@staging}, "query://q@^1", {x: script://y}]
            layout: "page@latest"
            description: my-prompt@v1.0.0
        """
    )
    assert references(ensemble) == {
        "agents[0].component": "bare",
        "agents[0].config.prompt": "prompts/extraction@v1.0.0",
        "agents[0].config.schema": "word?",
        "agents[0].config.deep[0].template": "components/header@staging",
        "agents[0].config.deep[1]": "query://q@^1",
        "agents[0].config.deep[2].x": "script://y?",
        "agents[0].layout": "page@latest",
    }


@pytest.mark.parametrize("field", ["prompt", "template", "schema", "agent", "to"])
@pytest.mark.parametrize(
    "text",
    [
        "hello@example.com",
        "@cf/meta/llama-3.1-8b-instruct",
        "https://unpkg.com/htmx.org@1.9.10",
        "image/svg+xml",
        "application/json; charset=utf-8",
        "Summarize {{input.text}} for me@home",
        "my-prompt@v1.0.0\nand more",
    ],
)
def test_look_alikes_are_plain_text(field: str, text: str) -> None:
    written = text.replace("\n", "\\n")
    assert references(loaded(f'name: sample\nagents: [{{name: a, config: {{{field}: "{written}"}}}}]')) == {}


@pytest.mark.parametrize("text", ["text/plain", "application/json", "users/1/posts", "2024/01/15", "message/welcome"])
def test_a_path_is_a_bare_word_like_any_other(text: str) -> None:
    ensemble = loaded(f"name: e\nagents: [{{name: a, component: {text}, config: {{prompt: {text}}}}}]")
    assert references(ensemble) == {"agents[0].component": text, "agents[0].config.prompt": f"{text}?"}


@pytest.mark.parametrize(
    ("written", "says", "at"),
    [
        ("my-prompt@v1.0.0.beta", "v1.2.3", (4, 26)),
        ("my-prompt@prod.eu", "neither a version", (4, 26)),
        ("hello@example.com", "neither a version", (4, 22)),
        ("https://example.com/x@v1", "unknown scheme", (4, 16)),
        ("'@cf/meta/llama'", "component name", (4, 17)),
        ("'my-prompt@v1.0.0 '", "white space", (4, 17)),
        ("|\n      my-prompt@v1.0.0", "white space", (5, 7)),
        ("|\n      my-prompt@v1.0.0\n      and more", "on one line", (5, 7)),
        ("", "`component` is empty", (4, 15)),
        ("~", "`component` is empty", (4, 16)),
        ("''", "`component` is empty", (4, 17)),
        ("' '", "`component` is empty", (4, 17)),
        ("1.10", 'quote it: "1.10"', (4, 16)),
        ("[my-prompt]", "must be text", (4, 16)),
        ("${input.prompt}", "cannot hold an expression", (4, 16)),
        ("Left rear wheel", "component name", (4, 20)),
        ("latest?", "component name", (4, 22)),
    ],
)
@pytest.mark.parametrize("step", [False, True])
def test_a_component_is_a_reference_or_an_error(written: str, says: str, at: tuple[int, int], step: bool) -> None:
    holder = "flow:\n  - agent: a" if step else "agents:\n  - name: a"
    error = refusal(f"name: e\n{holder}\n    component: {written}\n")
    assert says in error.detail
    assert place(error) == at
    assert error.field == ("flow[0].component" if step else "agents[0].component")


def test_a_component_of_a_step_that_runs_no_agent() -> None:
    error = refusal("name: e\nflow:\n  - parallel: [{agent: a}]\n    component: my-prompt\n")
    assert "no use for a `component`" in error.detail
    assert place(error) == (4, 16)


def test_steps_do_not_claim_the_references_of_the_steps_they_hold() -> None:
    ensemble = flow("parallel: {steps: [{agent: a, config: {prompt: p@prod}}, {agent: b, config: {prompt: q@prod}}]}")
    assert [[str(site.found.reference) for site in unit.sites] for unit in ensemble.units] == [
        ["a", "p@prod"],
        ["b", "q@prod"],
    ]


# Rollout settings


def test_rollout_settings() -> None:
    ensemble = loaded("ensemble: e\nrollout: {key: '${input.user_id}', group: both}\nagents: [{name: a}]")
    assert ensemble.key is not None
    assert ensemble.key.text == "${input.user_id}"
    assert ensemble.group == "both"
    neither = loaded("ensemble: e\nrollout:\nagents: [{name: a}]")
    assert (neither.key, neither.group) == (None, None)


@pytest.mark.parametrize(
    ("settings", "detail", "field"),
    [
        ("keys: x", "Did you mean `key`?", "rollout.keys"),
        ("percentage: 10", "`rollout:` knows group, key", "rollout.percentage"),
        ("key: all", "the same for every request", "rollout.key"),
        ("key: input.user_id", "the same for every request", "rollout.key"),
        ("key: '${\"all\"}'", "the same for every request", "rollout.key"),
        ("key: 'user-${1 + 1}'", "the same for every request", "rollout.key"),
        ("key: 5", 'quote it: "5"', "rollout.key"),
        ("key: '${input.'", "", "rollout.key"),
        ("group: a b", "not a name for a group", "rollout.group"),
        ("group: ''", "not a name for a group", "rollout.group"),
        ("group: 1.10", 'quote it: "1.10"', "rollout.group"),
    ],
)
def test_rollout_settings_that_are_none(settings: str, detail: str, field: str) -> None:
    error = refusal(f"ensemble: e\nrollout:\n  {settings}\nagents: [{{name: a}}]\n")
    assert detail in error.detail
    assert error.field == field
    assert error.line == 3


# What is refused


@pytest.mark.parametrize(
    ("text", "at", "written"),
    [
        ("name: e\nversion: 1.10\nagents: [{name: a}]", (2, 10), "1.10"),
        ("name: 1.0\nagents: [{name: a}]", (1, 7), "1.0"),
        ("name: e\nagents:\n  - name: a\n    component: 1.10", (4, 16), "1.10"),
        ("name: e\nagents:\n  - name: true", (3, 11), "true"),
        ("name: e\nagents: [{name: a, condition: 010}]", (2, 31), "010"),
        ("name: e\nagents: [{name: a, config: {version: 2.0}}]", (2, 38), "2.0"),
        ("name: e\nflow: [{agent: &x 1.50}]", (2, 16), "1.50"),
    ],
)
def test_a_number_where_text_must_stand(text: str, at: tuple[int, int], written: str) -> None:
    error = refusal(text)
    assert f'quote it: "{written}"' in error.detail
    assert place(error) == at


@pytest.mark.parametrize(
    ("text", "at", "detail"),
    [
        ("- a", (1, 1), "an ensemble is a mapping"),
        ("agents: [{name: a}]", (1, 1), "there are agents"),
        ("name: e", (1, 1), "has `agents:` or `flow:`"),
        ("name: e\nagents: []", (1, 1), "has `agents:` or `flow:`"),
        ("name: a b\nagents: [{name: a}]", (1, 7), "is not a name"),
        ("ensemble: e\nname: f\nagents: [{name: a}]", (2, 7), "keep one"),
        ("name: e\nagents: {a: 1}", (2, 9), "must be a list, and is a mapping"),
        ("name: e\nagents: [a]", (2, 10), "must be a mapping, and is text"),
        ("name: e\nagents: [{name: [x]}]", (2, 17), "must be text, and is a list"),
        ("name: e\nagents:\n  - component: x", (3, 5), "`name` is missing here; there are component"),
        ("name: e\nagents:\n  - name: a\n  - name: b\n  - name: a", (5, 11), "the first is on line 3"),
        ("name: e\nagents:\n  - name: a\n    condition: x\n    when: x", (5, 11), "keep one of them"),
        ("name: e\nagents:\n  - name: a\n    condition:", (4, 15), "`condition` is empty"),
        ("name: e\nagents:\n  - name: a\n    when: '  '", (4, 11), "`when` is empty"),
        ("name: e\nflow:\n  - type: paralel\n    steps: []", (3, 11), "Did you mean `parallel`?"),
        ("name: e\nflow:\n  - id: x", (3, 5), "a step names an `agent`, or it is one of"),
        (
            "name: e\nflow:\n  - agent: a\n    parallel: []",
            (3, 5),
            "a step does one thing; this one is parallel and agent",
        ),
        ("name: e\nflow:\n  - branch: {condition: x}", (3, 5), "`branch` lacks its `then`"),
        ("name: e\nflow:\n  - type: while\n    steps: []", (3, 5), "`while` lacks its `condition`"),
        ("name: e\nflow:\n  - try:\n      steps:\n        - agnt: x", (5, 11), "a step names an `agent`"),
        ("name: e\nflow:\n  - switch: {value: x, cases: {a: {agent: b}}}", (3, 35), "must be a list"),
    ],
)
def test_refusals(text: str, at: tuple[int, int], detail: str) -> None:
    error = refusal(text)
    assert detail in error.detail
    assert place(error) == at


@pytest.mark.parametrize(
    ("key", "read"),
    [("1.0", "1"), ("1e3", "1000"), ("0x14", "20"), ("010", "10"), ("1.50", "1.5"), ("True", "true"), ("~", "null")],
)
def test_a_case_that_is_spelled_otherwise_than_its_value_is_quoted(key: str, read: str) -> None:
    switch = "name: e\nflow:\n  - switch: {{value: input.x, cases: {{{}: [{{agent: a}}]}}}}\n"
    error = refusal(switch.format(key))
    assert error.detail == f'as a key this is `{read}` to YAML; quote it: "{key}"'
    assert place(error) == (3, 38)
    assert way(loaded(switch.format(f"'{key}'")).units[0]) == [f'(input.x | string) === "{key}"']


@pytest.mark.parametrize(("written", "meant"), [("yes", "true"), ("on", "true"), ("no", "false"), ("'TRUE'", "true")])
def test_a_word_that_means_a_boolean_elsewhere(written: str, meant: str) -> None:
    error = refusal(f"name: e\nagents:\n  - name: a\n    condition: {written}\n")
    assert f"write `{meant}`" in error.detail
    assert error.line == 4


@pytest.mark.parametrize("written", ["true", "True", "TRUE"])
def test_every_true_of_yaml_is_true(written: str) -> None:
    assert way(loaded(f"name: e\nagents: [{{name: a, when: {written}}}]").units[0]) == ["true"]


FAULTY = "${input.a && ) }"


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("${input.a && ) }", (4, 29)),
        ("'${input.a && ) }'", (4, 30)),
        ('"${input.a && ) }"', (4, 30)),
        ('&x !!str "${input.a && ) }"', (4, 39)),
        ("|\n      ${input.a &&\n        ) }", (6, 9)),
        ("|-  # why\n\n      ${input.a &&\n\n      ) }\n", (8, 7)),
        (">-\n      ${input.a\n      && ) }", (6, 10)),
        (">2\n      ${input.a && ) }", (5, 20)),
        ("${input.a\n      && ) }", (5, 10)),
        ("'${input.a\n      &&\n      ) }'", (6, 7)),
    ],
)
def test_the_place_of_a_fault_in_a_condition(written: str, at: tuple[int, int]) -> None:
    text = f"name: e\nagents:\n  - name: a\n    condition: {written}\n"
    error = refusal(text)
    assert place(error) == at
    assert error.field == "agents[0].condition"
    assert error.text == text.split("\n")[at[0] - 1]
    assert error.offset == at[1] - 1
    assert error.text[error.offset] == ")"
    # The same behind a byte order mark and with the line ends of Windows.
    assert place(refusal("\ufeff" + text.replace("\n", "\r\n"))) == at


def test_a_fault_behind_an_escape_is_shown_in_the_value() -> None:
    error = refusal('name: e\nagents: [{name: a, condition: "${\\x61 && ) }"}]')
    assert place(error) == (2, 31)
    assert error.caret == "${a && ) }\n" + " " * 7 + "^"


def test_a_fault_at_the_end_of_a_condition() -> None:
    assert place(refusal("name: e\nagents:\n  - name: a\n    when: ${input.a &&\n")) == (4, 23)
    assert place(refusal("name: e\nagents:\n  - name: a\n    when: |\n      ${input.a &&\n")) == (5, 19)


@pytest.mark.parametrize(
    ("field", "written", "at"),
    [
        ("component", "my-prompt@", (4, 26)),
        ("component", "my prompt@prod", (4, 18)),
        ("component", "'my-prompt@${input.v}'", (4, 27)),
        ("component", "my-prompt@1.2.3.4", (4, 26)),
        ("component", ">-\n      my-prompt@v1.2.3.4", (5, 17)),
        ("prompt", "promt://a", (4, 13)),
        ("prompt", "prompts//a", (4, 21)),
        ("schema", "prompt://schemas/a", (4, 22)),
    ],
)
def test_the_place_of_a_fault_in_a_reference(field: str, written: str, at: tuple[int, int]) -> None:
    error = refusal(f"name: e\nagents:\n  - name: a\n    {field}: {written}\n")
    assert place(error) == at
    assert error.field == f"agents[0].{field}"


# Laws

fragments = st.sampled_from(
    [
        *(
            "agent",
            "name",
            "id",
            "type",
            "steps",
            "then",
            "else",
            "step",
            "catch",
            "finally",
            "value",
            "cases",
            "default",
        ),
        *(
            "map",
            "reduce",
            "condition",
            "when",
            "parallel",
            "branch",
            "foreach",
            "try",
            "switch",
            "while",
            "map-reduce",
        ),
        *("flow", "agents", "ensemble", "rollout", "key", "group", "component", "version", "config", "model_config"),
    ]
)
scalars = st.sampled_from(
    ["null", "true", "1", "1.0", ".inf", "a", "''", "${input.a}", "'${'", "a@v1", "a@", "prompt://a", "branch", "while"]
)


def _mapping(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {item}" for key, item in fields.items()) + "}"


documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.dictionaries(fragments, inner, max_size=4).map(_mapping)
    ),
    max_leaves=20,
)


@given(st.dictionaries(fragments, documents, max_size=4), documents, documents)
def test_any_shape_is_loaded_or_refused_with_its_place(fields: dict[str, str], agents: str, steps: str) -> None:
    found = None
    try:
        load_ensemble(_mapping({"name": "e", "agents": agents, "flow": steps, **fields}), FILE)
    except InvalidEnsemble as error:
        found = error
    assert found is None or (found.file == FILE and found.line == 1 and found.column is not None)
