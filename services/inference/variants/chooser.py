"""Decides for each call whether the version or its variant answers it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from services.inference.call import Call
from services.inference.predict.runtime import ModelRuntime, Runtimes
from services.inference.routing.routes import Resolved, Routes
from services.inference.variants.demand import Demand
from services.inference.variants.offers import Policy
from services.inference.version import VersionKey

_MARGIN = 2.0
"""A call is pressed when it has less than so many times the time that the original would take."""
_BUSY = 0.5
"""And from this part of what may be on the way at once on."""


class VariantChooser:
    """Never makes a call wait: as long as the variant is not loaded, the original answers."""

    def __init__(
        self, routes: Routes, runtimes: Runtimes, demand: Demand, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._routes = routes
        self._runtimes = runtimes
        self._demand = demand
        self._clock = clock

    def choose(self, resolved: Resolved, call: Call, *, exact: bool) -> Resolved:
        """What the call goes to; `exact`: the caller accepts only the original."""
        original = resolved.loaded
        offer = None if exact or original.variant else self._routes.offer(original)
        if offer is None or not offer.name:
            return resolved
        if offer.policy is Policy.PINNED:
            return resolved if offer.loaded is None else replace(resolved, loaded=offer.loaded)
        if offer.policy is Policy.DEADLINE and not self._is_pressed(self._runtimes.of(original), call):
            return resolved
        self._demand.ask(VersionKey(original.model, original.version, offer.name))
        return resolved if offer.loaded is None else replace(resolved, loaded=offer.loaded)

    def _is_pressed(self, runtime: ModelRuntime, call: Call) -> bool:
        """Whether the original would be late, by what its batches take and what is before the call, or has too much to
        do."""
        admission = runtime.admission
        if admission.overloaded or admission.fullness > _BUSY:
            return True
        ahead = admission.rows / runtime.loaded.instances
        paces = [pace.latency for pace in runtime.batcher.paces.values() if pace.latency.batches]
        expected_s = max((latency.fixed_s + latency.per_row_s * (1 + ahead) for latency in paces), default=0.0)
        return call.deadline - self._clock() < _MARGIN * expected_s
