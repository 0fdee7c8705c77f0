"""Counts predictions that nobody answered because their version did not serve: no version can count them itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lepton_ai.errors import LeptonError
from services.inference.routing.routes import PRODUCTION, ModelReference, ModelRoutes, Routes

_NOBODY = frozenset({"MODEL_NOT_READY", "FORWARD_FAILED"})


class Refusals:
    """By model and version. What is not deployed is not counted, so that no caller can make up names."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._counts: Counter[tuple[str, int]] = Counter()
        routes.on_replace(self._forget)

    def of(self, model: str, version: int) -> int:
        """How many there were since the version was deployed."""
        return self._counts[model, version]

    @contextmanager
    def counted(self, reference: ModelReference, error: LeptonError) -> Iterator[None]:
        """Around handing a call on that failed here with `error`.

        What another replica refuses is counted there.
        """
        try:
            yield
        except LeptonError as raised:
            is_ours = raised is error or raised.reason == "FORWARD_FAILED"
            if is_ours and raised.reason in _NOBODY and (version := self._wanted(reference)):
                self._counts[reference.name, version] += 1
            raise

    def _wanted(self, reference: ModelReference) -> int:
        """The version that should have answered; 0 for none that is deployed."""
        routes = next((each for each in self._routes.models() if each.name == reference.name), None)
        if routes is None:
            return 0
        if reference.version is not None:
            return reference.version if reference.version in _deployed(routes) else 0
        targets = routes.aliases.get(reference.alias or PRODUCTION, ())
        return max(targets, key=lambda target: target.weight).version if targets else 0

    def _forget(self, models: Mapping[str, ModelRoutes]) -> None:
        kept = {(name, version) for name, routes in models.items() for version in _deployed(routes)}
        self._counts = Counter({key: count for key, count in self._counts.items() if key in kept})


def _deployed(routes: ModelRoutes) -> set[int]:
    return {*routes.serving, *routes.waiting}
