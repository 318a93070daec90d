"""Settings, from the text that variables of a deployment are."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from worker.settings import InvalidSetting, Settings, read_settings

ROOT = Path(__file__).parents[2]


def test_nothing_set_is_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings(dict.fromkeys(name.upper() for name in Settings.__struct_fields__)) == Settings()
    defaults = Settings()
    assert (defaults.environment, defaults.resolver_token, defaults.allow_anonymous) == ("prod", "", False)
    assert (defaults.fresh_for, defaults.stale_for, defaults.read_budget, defaults.kv_timeout) == (5, 30, 0.04, 1)
    assert defaults.cache_ttl == 30
    assert defaults.layouts[0] == "components/{name}/{version}"


WRITTEN: dict[str, tuple[str, Any]] = {
    "ENVIRONMENT": ("staging", "staging"),
    "RESOLVER_TOKEN": ("s3cret", "s3cret"),
    "ALLOW_ANONYMOUS": ("true", True),
    "FRESH_FOR": ("2.5", 2.5),
    "STALE_FOR": ("60", 60.0),
    "READ_BUDGET": ("0.01", 0.01),
    "PATIENT_AFTER": ("60", 60.0),
    "KV_TIMEOUT": ("0.05", 0.05),
    "CACHE_TTL": ("60", 60),
    "GENERATION_URL": ("https://edge.example.com/generation", "https://edge.example.com/generation"),
    "CONTENT_LAYOUTS": ("{plural}/{name}@{bare}", "{plural}/{name}@{bare}"),
    "REGIONS": ("EU=eu", "EU=eu"),
}


def test_every_variable_is_read_from_text() -> None:
    assert {name.lower() for name in WRITTEN} == set(Settings.__struct_fields__)
    settings = read_settings({name: text for name, (text, _) in WRITTEN.items()})
    for name, (_, value) in WRITTEN.items():
        found = getattr(settings, name.lower())
        assert (found, type(found)) == (value, type(value)), name


def test_variables_of_others_are_let_be() -> None:
    assert read_settings({"PATH": "/bin", "fresh_for": "9", "KV": object(), "LAYOUTS": "x", "": ""}) == Settings()
    # A deployment may still state what was a setting once.
    assert read_settings({"RETRY_FOR": "soon", "CONTENT_BUDGET": "-1"}) == Settings()


def test_numbers_are_taken_as_numbers_too() -> None:
    assert read_settings({"FRESH_FOR": 2, "CACHE_TTL": 60, "ALLOW_ANONYMOUS": True}) == Settings(
        fresh_for=2.0, cache_ttl=60, allow_anonymous=True
    )


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_anonymous_callers_are_let_in_by_the_word_alone(text: str, value: bool) -> None:
    assert read_settings({"ALLOW_ANONYMOUS": text}).allow_anonymous is value


@pytest.mark.parametrize("text", ["", "yes", "on", "truth", " true", "2", "null"])
def test_what_is_not_the_word_lets_nobody_in(text: str) -> None:
    with pytest.raises(InvalidSetting, match="ALLOW_ANONYMOUS"):
        read_settings({"ALLOW_ANONYMOUS": text})


TIMES = ["FRESH_FOR", "STALE_FOR", "READ_BUDGET", "KV_TIMEOUT"]


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("text", ["0", "-1", "soon", "", "nan", "inf", "-inf", "1e400", "5s"])
def test_times_are_seconds_above_nothing(name: str, text: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        read_settings({name: text})


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"FRESH_FOR": "40"}, "STALE_FOR .* less than FRESH_FOR"),
        ({"PATIENT_AFTER": "-1"}, "PATIENT_AFTER is -1"),
        ({"PATIENT_AFTER": "nan"}, "PATIENT_AFTER is nan"),
        ({"PATIENT_AFTER": "inf"}, "PATIENT_AFTER is inf"),
        ({"PATIENT_AFTER": "never"}, "PATIENT_AFTER"),
        ({"CACHE_TTL": "29"}, "CACHE_TTL is 29"),
        ({"CACHE_TTL": "30.5"}, "CACHE_TTL"),
        ({"ENVIRONMENT": ""}, "ENVIRONMENT"),
        ({"ENVIRONMENT": "a/b"}, "ENVIRONMENT: `a/b` cannot name an environment"),
        ({"ENVIRONMENT": "latest"}, "ENVIRONMENT: `latest` cannot name an environment"),
        ({"ENVIRONMENT": "v1"}, "ENVIRONMENT: `v1` cannot name an environment"),
        ({"ENVIRONMENT": 7}, "ENVIRONMENT"),
    ],
)
def test_a_bad_setting_is_named(variables: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        read_settings(variables)


def test_a_bad_token_is_named_and_not_shown() -> None:
    with pytest.raises(InvalidSetting, match="RESOLVER_TOKEN") as caught:
        read_settings({"RESOLVER_TOKEN": 48151623})
    assert "48151623" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://edge.example.com/generation",
        "edge.example.com/generation",
        "https://",
        "https:///generation",
        "https://user:word@edge.example.com/",
        "https://edge.example.com/a b",
        "https://edge.example.com/#generation",
        "https://edge.example.com?x",
        " https://edge.example.com/",
        "https://edge.example.com/\n",
    ],
)
def test_a_number_is_announced_over_https_alone(url: str) -> None:
    with pytest.raises(InvalidSetting, match="GENERATION_URL is"):
        read_settings({"GENERATION_URL": url})


def test_nothing_is_announced_and_nobody_is_patient_unless_it_is_set() -> None:
    assert (Settings().generation_url, Settings().patient_after) == ("", 0)
    assert read_settings({"GENERATION_URL": "https://edge.example.com"}).generation_url == "https://edge.example.com"


def test_wrangler_toml_states_every_setting_with_its_default() -> None:
    config = tomllib.loads((ROOT / "wrangler.toml").read_text("utf-8"))
    assert set(config["vars"]) == {name for name in WRITTEN if name != "RESOLVER_TOKEN"}
    assert read_settings(config["vars"]) == Settings()
    assert read_settings(config["env"]["debug"]["vars"]) == Settings(environment="debug")


def test_layouts_are_a_list_in_its_order() -> None:
    written = " components/{name}/{version} ,, {plural}/{name}@{bare},"
    assert read_settings({"CONTENT_LAYOUTS": written}).layouts == (
        "components/{name}/{version}",
        "{plural}/{name}@{bare}",
    )


@pytest.mark.parametrize(
    "layout", ["{nam}/{version}", "{name}/{0}", "{name", "{name.x}{version}", "{name[x]}{version}"]
)
def test_a_layout_that_cannot_be_filled_in_is_refused(layout: str) -> None:
    with pytest.raises(InvalidSetting, match=r"CONTENT_LAYOUTS.*there are name, version, bare, plural"):
        read_settings({"CONTENT_LAYOUTS": f"components/{{name}}/{{version}}, {layout}"})


@pytest.mark.parametrize("layout", ["components", "{name}", "{version}", "{plural}/{bare}"])
def test_a_layout_that_would_mix_up_contents_is_refused(layout: str) -> None:
    with pytest.raises(InvalidSetting, match=r"must hold \{name\}, and \{version\} or \{bare\}"):
        read_settings({"CONTENT_LAYOUTS": layout})


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_no_layout_at_all_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="CONTENT_LAYOUTS is empty"):
        read_settings({"CONTENT_LAYOUTS": text})


def test_regions_are_looked_up_from_the_narrowest_out() -> None:
    settings = read_settings({"REGIONS": "EU=eu, DE=central, FRA=frankfurt , NA=us-west"})
    assert settings.region("FRA", "DE", "EU") == "frankfurt"
    assert settings.region("TXL", "DE", "EU") == "central"
    assert settings.region("CDG", "FR", "EU") == "eu"
    assert settings.region(None, "NA", "AF") is None
    assert settings.region(None, None, None) is None
    assert Settings().region("FRA", "DE", "EU") is None


@pytest.mark.parametrize("regions", ["EU", "EU=", "=eu", "Europe=eu", "eu=eu", "EU=a b", "EU=eu;AS=asia"])
def test_regions_that_cannot_be_read_are_refused(regions: str) -> None:
    with pytest.raises(InvalidSetting, match="REGIONS"):
        read_settings({"REGIONS": regions})
