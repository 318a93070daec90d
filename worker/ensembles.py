"""The ensembles that an isolate can run: those bundled at deploy time, versions from KV, and those that calls send.

What comes from KV or with a call is parsed once. The plan that was not used for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from resolver.documents import content_key
from resolver.ensemble import load_ensemble
from resolver.errors import InvalidRequest, NotFound, listed, nearest
from resolver.plan import Plan, compile_plan
from resolver.reference import Reference
from resolver.snapshot import Pin
from worker.calls import encoded

#: Plans of ensembles from KV that an isolate keeps, one for each version.
MOST_PLANS = 256


class Ensembles:
    """Plans by name, and by name and version."""

    def __init__(self, bundled: Mapping[str, Plan]) -> None:
        self._bundled = bundled
        self._kept: OrderedDict[Pin, Plan] = OrderedDict()

    def bundled(self, reference: Reference) -> Plan:
        """The ensemble that lies beside the Worker. Raises `NotFound`, which says what exists."""
        name = reference.name
        plan = self._bundled.get(name)
        if plan is None:
            raise NotFound(
                f"unknown ensemble `{name}`; bundled are {listed(self._bundled)}, and the version map knows no such "
                f"component.{nearest(name, self._bundled)}",
                field="ensemble",
            )
        if reference.selector is not None:
            detail = f"`{name}` is bundled with this deployment and has no versions; ask for it without the `@`"
            raise NotFound(detail, field="ensemble")
        return plan

    def sent(self, name: str, definition: str | Mapping[str, Any]) -> Plan:
        """The ensemble that came with the call, parsed once. Raises `InvalidEnsemble`, `InvalidRequest`."""
        # JSON is YAML too.
        text = definition if isinstance(definition, str) else encoded(definition).decode()
        pin = ("", sha256(text.encode(errors="surrogatepass")).hexdigest())
        plan = self.kept(*pin)
        if plan is None:
            plan = self._keep(pin, compile_plan(load_ensemble(text, "definition")))
        if plan.name != name:
            raise InvalidRequest(f"`{name}` is asked for, and the definition is of `{plan.name}`", field="definition")
        return plan

    def kept(self, name: str, version: str) -> Plan | None:
        """The plan of a version, if it was parsed already."""
        plan = self._kept.get((name, version))
        if plan is not None:
            self._kept.move_to_end((name, version))
        return plan

    def keep(self, name: str, version: str, text: str) -> Plan:
        """Parse a version, and keep its plan. Raises `InvalidEnsemble`."""
        return self._keep((name, version), compile_plan(load_ensemble(text, content_key(name, version))))

    def _keep(self, pin: Pin, plan: Plan) -> Plan:
        self._kept[pin] = plan
        if len(self._kept) > MOST_PLANS:
            self._kept.popitem(last=False)
        return plan
