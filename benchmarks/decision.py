"""One decision: which version of one component runs for one key, with a canary at 10 %.

Ours is what a user of `resolver/` calls: `Resolver.choose` with a request that holds the key. It is compared with the
floor, which is the least that a decision by SHA-256 can do, and with the SDKs of others, each asked locally, without a
network, in the cheapest way that its documentation has. Every subject must really split: its share of 10,000 keys is
printed with it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.rounds import interleaved, ratio, summary
from resolver.documents import decode_rollout
from resolver.plan import resolve_references
from resolver.reference import parse_reference
from resolver.snapshot import Request, Resolver, Snapshot
from resolver.version_map import decode_version_map

NAME, STABLE, CANARY = "my-prompt", "v1.0.0", "v1.1.0"
MAP = json.dumps({NAME: {"prod": STABLE, "prod-canary": CANARY, "latest": CANARY}})
Decide = Callable[[str], str]


def snapshot() -> Snapshot:
    """The smallest world with a canary at 10 %, read from its documents like any other."""
    return Snapshot(decode_version_map(MAP).value, decode_rollout("10").value)


def ours() -> Decide:
    """One reference, chosen."""
    resolver, reference = Resolver(snapshot()), parse_reference(f"{NAME}@prod")
    return lambda key: resolver.choose(reference, Request(key=key)).version


def ours_as_answered() -> Decide:
    """The same with the record that an answer holds: path, reference, component, version and route."""
    resolver, references = Resolver(snapshot()), [("references[0]", parse_reference(f"{NAME}@prod"))]
    return lambda key: str(resolve_references(references, resolver, Request(key=key))[0].version)


def floor() -> Decide:
    """One SHA-256 of salt and key, two look-ups, one comparison: it knows one component and its canary beforehand."""
    pointers = {NAME: {"prod": STABLE, "prod-canary": CANARY}}
    salt, bound = f"{NAME}\nprod\n{CANARY}\n".encode(), (2**64 // 10).to_bytes(8, "big")

    def decide(key: str) -> str:
        known = pointers[NAME]
        return known["prod-canary" if sha256(salt + key.encode()).digest() < bound else "prod"]

    return decide


def flagd() -> Decide:
    """The evaluator inside flagd's provider, with a fractional rule."""
    from openfeature.contrib.tools.flagd.core import FlagdCore  # noqa: PLC0415
    from openfeature.evaluation_context import EvaluationContext  # noqa: PLC0415

    core = FlagdCore()
    rule = {"fractional": [[CANARY, 10], [STABLE, 90]]}
    flag = {
        "state": "ENABLED",
        "variants": {STABLE: STABLE, CANARY: CANARY},
        "defaultVariant": STABLE,
        "targeting": rule,
    }
    core.set_flags(json.dumps({"flags": {NAME: flag}}))
    return lambda key: str(core.resolve_string_value(NAME, STABLE, EvaluationContext(key)).value)


def launchdarkly() -> Decide:
    """LaunchDarkly's client over a file of flags, since the builder of its test data knows no percentage rollout."""
    import ldclient  # noqa: PLC0415
    from ldclient.integrations import Files  # noqa: PLC0415

    weights = [{"variation": 1, "weight": 10_000}, {"variation": 0, "weight": 90_000}]
    flag = {
        "key": NAME,
        "version": 1,
        "on": True,
        "salt": "salt",
        "variations": [STABLE, CANARY],
        "offVariation": 0,
        "fallthrough": {"rollout": {"kind": "rollout", "contextKind": "user", "variations": weights}},
    }
    file = Path(tempfile.mkdtemp()) / "flags.json"
    file.write_text(json.dumps({"flags": {NAME: flag}}), "utf-8")
    source = Files.new_data_source(paths=[str(file)])
    client = ldclient.LDClient(
        ldclient.Config("no key", update_processor_class=source, send_events=False, diagnostic_opt_out=True)
    )
    assert client.is_initialized()
    return lambda key: str(client.variation(NAME, ldclient.Context.create(key), STABLE))


def unleash() -> Decide:
    """Unleash's client over its Rust engine, with the flag put into its cache."""
    from UnleashClient import UnleashClient  # noqa: PLC0415
    from UnleashClient.cache import FileCache  # noqa: PLC0415

    parameters = {"rollout": "10", "stickiness": "userId", "groupId": NAME}
    strategy = {"name": "flexibleRollout", "parameters": parameters, "constraints": []}
    cache = FileCache("benchmark", directory=tempfile.mkdtemp())
    cache.bootstrap_from_dict(
        {"version": 2, "features": [{"name": NAME, "type": "release", "enabled": True, "strategies": [strategy]}]}
    )
    client = UnleashClient(
        "http://127.0.0.1:9/api", "benchmark", cache=cache, disable_metrics=True, disable_registration=True
    )
    client.initialize_client(fetch_toggles=False)
    return lambda key: CANARY if client.is_enabled(NAME, {"userId": key}) else STABLE


def _growthbook_features() -> dict[str, Any]:
    return {
        NAME: {
            "defaultValue": STABLE,
            "rules": [{"force": CANARY, "coverage": 0.1, "hashAttribute": "id", "hashVersion": 2}],
        }
    }


def growthbook() -> Decide:
    """GrowthBook, one instance for all, its attributes set anew for each user: its cheapest way."""
    from growthbook import GrowthBook  # noqa: PLC0415

    client = GrowthBook(features=_growthbook_features())

    def decide(key: str) -> str:
        client.set_attributes({"id": key})
        return str(client.get_feature_value(NAME, STABLE))

    return decide


def growthbook_per_request() -> Decide:
    """GrowthBook with an instance for each request, as its documentation has it for web servers."""
    from growthbook import GrowthBook  # noqa: PLC0415

    features = _growthbook_features()
    return lambda key: str(GrowthBook(features=features, attributes={"id": key}).get_feature_value(NAME, STABLE))


SUBJECTS: dict[str, Callable[[], Decide]] = {
    "floor": floor,
    "ours": ours,
    "ours, as answered": ours_as_answered,
    "flagd": flagd,
    "LaunchDarkly": launchdarkly,
    "Unleash": unleash,
    "GrowthBook": growthbook,
    "GrowthBook, one a request": growthbook_per_request,
}
PEERS = ("flagd", "LaunchDarkly", "Unleash", "GrowthBook")
PACKAGES = (
    "openfeature-provider-flagd", "openfeature-flagd-core", "launchdarkly-server-sdk", "UnleashClient",
    "yggdrasil-engine", "growthbook",
)  # fmt: skip
KEYS = {
    "user-42": [f"user-{number}" for number in range(10_000)],
    "a UUID": [str(uuid.UUID(bytes=sha256(str(number).encode()).digest()[:16])) for number in range(10_000)],
}


def main() -> None:
    """Print what was measured, as JSON."""
    logging.disable(logging.CRITICAL)
    subjects = {name: make() for name, make in SUBJECTS.items()}
    found: dict[str, Any] = {"versions": {name: version(name) for name in PACKAGES}, "keys": {}}
    for kind, keys in KEYS.items():
        shares = {name: sum(decide(key) == CANARY for key in keys) / len(keys) for name, decide in subjects.items()}
        for name, share in shares.items():
            # Twelve standard deviations of 10,000 fair draws lie in here; half of it or twice as much do not.
            assert 0.065 < share < 0.135, f"{name} gives {share:.1%} of the keys the canary"
        assert shares["ours"] == shares["ours, as answered"] == shares["floor"]
        times = interleaved(subjects, keys[:400], rounds=40)
        fastest = min(PEERS, key=lambda name: summary(times[name]).median)
        found["keys"][kind] = {
            "times": {name: summary(taken) for name, taken in times.items()},
            "shares": shares,
            "to_floor": {name: ratio(times, name, "floor") for name in subjects},
            "to_ours": {name: ratio(times, name, "ours") for name in subjects},
            "fastest": fastest,
        }
    print(json.dumps(found))
    sys.stdout.flush()
    # The clients keep threads that wait for a network.
    os._exit(0)


if __name__ == "__main__":
    main()
