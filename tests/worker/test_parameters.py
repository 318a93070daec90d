"""What a call says is used or refused, and never ignored; and what is said of a call that says nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.test_app import HISTORY, Host, value
from worker.bundle import compile_ensembles

AT = "2024-11-12T14:47:00Z"


@pytest.fixture
def host() -> Host:
    found = Host()
    found.store.put("history/my-prompt", HISTORY)
    found.store.put("components/my-prompt/v1.0.0", "You are …", {"type": "prompt"})
    return found


@pytest.mark.parametrize(
    ("target", "field", "says"),
    [
        (f"/history/my-prompt?at={AT}", "at", "this call takes none"),
        ("/history/my-prompt?environment=prod", "environment", "this call takes none"),
        ("/history/my-prompt?limit=5", "limit", "this call takes none"),
        ("/version?region=eu", "region", "at, component, environment"),
        ("/version?key=k", "key", "at, component, environment"),
        ("/version?enviroment=prod", "enviroment", "Did you mean `environment`?"),
        (f"/history?at={AT}&region=eu", "region", "at, environment"),
        (f"/history?at={AT}&component=a", "component", "at, environment"),
        ("/health?verbose=1", "verbose", "this call takes none"),
        ("/components/my-prompt?version=1", "version", "at, environment, key, region"),
        ("/version?component=a&component=b", "component", "stands twice"),
        ("/components/my-prompt?key=%ff", "query", "not UTF-8"),
        ("/version?environment=%c3%28", "query", "not UTF-8"),
        ("/components/my-prompt%ff", "path", "not UTF-8"),
        ("/version?environment=latest", "environment", "always means the newest version"),
        ("/version?environment=a.b", "environment", "a letter, then letters"),
        ("/version?component=my-prompt@v1.0.0", "component", "without a version"),
        ("/components/my-prompt?region=canary", "region", "cannot name a region"),
        ("/components/my-prompt@v1.0.0%20", None, "white space"),
    ],
)
def test_what_is_not_used_is_refused(host: Host, target: str, field: str | None, says: str) -> None:
    problem = value(host.get(target), 400)
    assert says in problem["detail"]
    assert problem.get("field") == field


def test_an_input_within_the_context_is_refused(host: Host) -> None:
    problem = value(host.post("/ensembles/ab/resolve", {"context": {"input": {"user_id": 2}}}), 400)
    assert problem["field"] == "context.input"
    assert "beside `context`" in problem["detail"]


@pytest.mark.parametrize("name", ["my-prompt", "prompts/my-prompt", "prompt://my-prompt"])
def test_a_name_may_say_its_type(host: Host, name: str) -> None:
    assert value(host.get(f"/history/{name}"))["component"] == "my-prompt"
    assert value(host.get(f"/version?component={name}"))["components"] == {"my-prompt": "v1.0.0"}
    assert value(host.get(f"/version?component={name}&at={AT}"))["components"] == {"my-prompt": "v1.1.0"}
    assert host.get(f"/components/{name}@v1.0.0").status == 200


def test_an_environment_that_was_not_there_at_an_instant(host: Host) -> None:
    problem = value(host.get(f"/version?at={AT}&environment=nope"), 404)
    assert "there are prod, prod-canary" in problem["detail"]
    assert value(host.get(f"/history?at={AT}"))["components"] == {"my-prompt": "v1.1.0"}
    # Before anything is recorded nothing was there to be named.
    assert value(host.get("/version?at=2020-01-01T00:00:00Z"))["components"] == {}


@pytest.mark.parametrize("target", ["/components/my-prompt@v1.0.0", "/version", "/health", "/nope", "/history/nope"])
def test_head_says_the_length_of_get(host: Host, target: str) -> None:
    got, head = host.get(target), host.send("HEAD", target)
    assert (head.status, head.body) == (got.status, b"")
    assert dict(head.headers)["content-length"] == str(len(got.body))


def test_a_long_key_is_no_header(host: Host) -> None:
    short, long = (host.get(f"/components/my-prompt@v1.0.0?key={'%E2%82%AC' * times}") for times in (200, 2000))
    assert dict(short.headers)["x-resolver-key"] == "%E2%82%AC" * 200
    assert (long.status, long.body) == (200, short.body)
    assert "x-resolver-key" not in dict(long.headers)
    assert sum(len(name) + len(text) for name, text in long.headers) < 1000


def test_a_half_surrogate_as_a_key_is_an_answer(host: Host) -> None:
    assert value(host.post("/resolve", b'{"references": ["my-prompt"], "key": "\\ud83d"}'))["key"] == "\ud83d"


# Keys


@pytest.mark.parametrize(
    ("given", "key", "note"),
    [
        ({"user": 7}, "user-7", None),
        ({"user": {"id": 7}}, "drawn", "`input.user` is an object"),
        ({"user": None}, "drawn", "`input.user` is null"),
        ({}, "drawn", "`input.user` is missing"),
        ({"user": ""}, "drawn", "`input.user` is empty"),
        ({"user": [1]}, "drawn", "`input.user` is a list"),
    ],
)
def test_a_key_with_a_part_that_is_none_is_drawn_and_told(given: Any, key: str, note: str | None) -> None:
    text = "ensemble: keyed\nrollout: {key: 'user-${input.user}'}\nagents: [{name: a, component: my-prompt}]\n"
    host = Host(ensembles=compile_ensembles({"k.yaml": text}))
    answer = value(host.post("/ensembles/keyed/resolve", {"input": given}))
    assert answer["key"] == key
    said = None if note is None else f"{note}, so that a key was drawn for this request alone"
    assert answer.get("key_note") == said
    # A key of the caller's own is taken as it is.
    own = value(host.post("/ensembles/keyed/resolve", {"input": given, "key": "own"}))
    assert (own["key"], "key_note" in own) == ("own", False)


# Tokens


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("Basic c2VjcmV0", "`Authorization` says `Basic`; send the deployment's token as `Authorization: Bearer"),
        ("Bearer wrong", "the token in `Authorization` is not this deployment's"),
        (None, "send the deployment's token"),
    ],
)
def test_who_is_refused_is_told_why(header: str | None, says: str) -> None:
    host = Host(ALLOW_ANONYMOUS="false", RESOLVER_TOKEN="secret")
    problem = value(host.get("/version", headers={"authorization": header} if header else {}), 401)
    assert problem["detail"].startswith(says)


def test_a_token_that_was_set_from_a_file_may_end_in_a_newline() -> None:
    host = Host(ALLOW_ANONYMOUS="false", RESOLVER_TOKEN="secret\n")
    assert host.get("/version", headers={"authorization": "Bearer secret"}).status == 200
    blank = Host(ALLOW_ANONYMOUS="false", RESOLVER_TOKEN=" \n")
    assert host.get("/version", headers={"authorization": "Bearer "}).status == 401
    assert blank.get("/version", headers={"authorization": "Bearer "}).status == 401


# Documents


def test_an_empty_namespace_is_not_ok() -> None:
    host = Host()
    host.store.entries.clear()
    health = value(host.get("/health"))
    assert health["status"] == "degraded"
    assert "nothing was published here yet" in health["problems"][0]


def test_a_byte_order_mark_is_no_part_of_a_content(host: Host) -> None:
    plain = host.get("/components/my-prompt@v1.0.0")
    other = Host()
    other.store.put("components/my-prompt/v1.0.0", "\ufeffYou are …", {"type": "prompt"})
    marked = other.get("/components/my-prompt@v1.0.0")
    assert marked.body == plain.body
    assert dict(marked.headers)["etag"] == dict(plain.headers)["etag"]


def test_a_bare_word_that_does_not_resolve_is_text() -> None:
    text = "ensemble: words\nagents: [{name: a, component: rules, config: {schema: public}}]\n"
    host = Host(ensembles=compile_ensembles({"w.yaml": text}))
    for pointers, found in (
        ({"rules": {"prod": "v2.0.0"}}, ["rules"]),
        ({"rules": {"prod": "v2.0.0"}, "public": {"staging": "v1.0.0"}}, ["rules"]),
        ({"rules": {"prod": "v2.0.0"}, "public": {"prod": "v1.0.0"}}, ["rules", "public"]),
    ):
        host.store.publish(pointers, host.store.entries["component-versions"].metadata["generation"] + 1)  # type: ignore[index]
        host.time.time += 60
        (agent,) = value(host.post("/ensembles/words/resolve", {}))["agents"]
        assert [reference["component"] for reference in agent["references"]] == found
