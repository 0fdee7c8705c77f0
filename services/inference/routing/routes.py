"""Where calls go: model, version or alias → a version that serves. Read on every request, replaced as a whole."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from lepton_ai.counts import ArmCounts
from lepton_ai.errors import NotFound, Unavailable
from services.inference.routing.trial import Candidate, Trial
from services.inference.variants.offers import Offer
from services.inference.version import LoadedVersion

PRODUCTION = "production"
NOT_SERVED_HERE = frozenset({"STARTING", "MODEL_NOT_FOUND", "VERSION_NOT_FOUND", "ALIAS_NOT_FOUND", "MODEL_NOT_READY"})
"""Reasons of the errors that `Routes.resolve` raises: other replicas may know or serve what this one does not."""
_RETRY_AFTER_S = 1.0


class ModelReference(NamedTuple):
    """A model as callers name it: by version or by alias; with neither, by its production route."""

    name: str
    version: int | None = None
    alias: str = ""


@dataclass(frozen=True)
class Shadow:
    """A version that gets copies of calls, and where it is counted what becomes of them."""

    loaded: LoadedVersion
    trial: Trial


@dataclass(frozen=True)
class Resolved:
    """The version that a call goes to, and the alias it came through ("" when the call named a version)."""

    loaded: LoadedVersion
    alias: str
    arm: ArmCounts | None = None
    """Where to count what becomes of the call, while a rollout is under way."""
    shadow: Shadow | None = None
    """Who gets a copy of the call."""
    is_apart: bool = False
    """Whether it waits and is batched with the calls of its arm alone, as those of a candidate are: in batches with all
    others a baseline would be faster than an equal candidate."""


@dataclass(frozen=True)
class Target:
    """A version's share of an alias's calls."""

    version: int
    weight: int


@dataclass(frozen=True)
class ModelRoutes:
    """All that this replica knows of one deployed model."""

    name: str
    serving: Mapping[int, LoadedVersion]
    """Versions that answer now."""
    aliases: Mapping[str, tuple[Target, ...]]
    """Where each alias's calls go; targets may be versions that do not serve at the moment."""
    waiting: Mapping[int, str] = field(default_factory=dict)
    """Versions that are wanted and do not serve → why ("is being loaded", "cannot be loaded: …")."""
    candidates: Mapping[str, Candidate] = field(default_factory=dict)
    """Alias → the version or variant that a rollout brings in through it."""
    offers: Mapping[int, Offer] = field(default_factory=dict)
    """Version → the variant of it that may answer in its place."""

    @property
    def loaded(self) -> Sequence[LoadedVersion]:
        """Everything that answers now, variants too."""
        offered = (offer.loaded for version, offer in self.offers.items() if version in self.serving)
        variants = (*offered, *(candidate.loaded for candidate in self.candidates.values()))
        return [*self.serving.values(), *(loaded for loaded in variants if loaded is not None)]


class Routes:
    """The routing table. `replace` swaps it in one step, so a request sees the old or the new table, never a mix."""

    def __init__(self) -> None:
        self._models: Mapping[str, ModelRoutes] | None = None
        self._trials: Mapping[str, Trial] = {}
        self._on_replace: list[Callable[[Mapping[str, ModelRoutes]], None]] = []

    def on_replace(self, call: Callable[[Mapping[str, ModelRoutes]], None]) -> None:
        """Have `call` called with the new routes by model, before anybody can resolve by them."""
        self._on_replace.append(call)

    def replace(self, models: Mapping[str, ModelRoutes]) -> None:
        """Use these routes from now on."""
        self._trials = {name: trial for name, routes in models.items() if (trial := self._trial(name, routes))}
        self._models = MappingProxyType(dict(models))
        for call in self._on_replace:
            call(self._models)

    def trial(self, model: str) -> Trial | None:
        """What is counted of a model while a rollout of it is under way."""
        return self._trials.get(model)

    def offer(self, loaded: LoadedVersion) -> Offer | None:
        """The variant of a version that may answer in its place; None where only the original may."""
        routes = (self._models or {}).get(loaded.model)
        return None if routes is None else routes.offers.get(loaded.version)

    def models(self) -> Sequence[ModelRoutes]:
        """Every deployed model, by name."""
        return [routes for _, routes in sorted((self._models or {}).items())]

    def resolve(
        self,
        ref: ModelReference,
        routing_key: str = "",
        named: Callable[[str], str] = lambda _: "",
        *,
        exact: bool = False,
    ) -> Resolved:
        """The version that a call for `ref` goes to; calls with the same routing key stay on one version.

        `named` gives what the call says under a name, for routes that take their keys from there. `exact`: the caller
        accepts no variant, and so is in no arm of a rollout that compares one with its original.

        Raises NotFound for what is not deployed and Unavailable (with a retry delay) for what is, but does not serve.
        """
        if self._models is None:
            raise Unavailable(
                "This replica does not know yet which models it should serve.",
                reason="STARTING",
                fix="Try again in a moment; if it stays so, check that etcd is up.",
                retry_after_s=_RETRY_AFTER_S,
            )
        routes = self._models.get(ref.name)
        if routes is None:
            raise NotFound(
                f"Model {ref.name[:64]!r} is not deployed.",
                reason="MODEL_NOT_FOUND",
                fix="Deploy it with `lepton deploy`, or see `lepton models` for those that are.",
            )
        if ref.version is not None:
            return Resolved(_exact(routes, ref.version), alias="")
        alias = ref.alias or PRODUCTION
        candidate = routes.candidates.get(alias)
        if candidate is None:
            return Resolved(_by_alias(routes, alias, routing_key), alias=alias)
        if candidate.variant and exact:
            return Resolved(_by_alias(routes, alias, routing_key), alias=alias)
        if candidate.sticky_by:
            routing_key = routing_key or named(candidate.sticky_by)
            if not routing_key:
                return Resolved(_by_alias(routes, alias, "", apart_from=candidate.version), alias=alias)
        loaded = _by_alias(routes, alias, routing_key)
        if candidate.shadow:
            return Resolved(loaded, alias, shadow=self._shadow(routes, candidate, loaded))
        if candidate.variant:
            return self._by_form(routes, alias, candidate, loaded, routing_key)
        able = [target for target in routes.aliases[alias] if target.version in routes.serving]
        weight = sum(target.weight for target in able if target.version == candidate.version)
        share = weight / sum(target.weight for target in able)
        is_candidate = loaded.version == candidate.version
        return _counted(self._trials[routes.name], alias, loaded, routing_key, is_candidate=is_candidate, share=share)

    def _trial(self, name: str, routes: ModelRoutes) -> Trial | None:
        known = self._trials.get(name)
        for candidate in routes.candidates.values():
            is_shadow = candidate.shadow > 0
            if known is not None and (known.rollout, known.is_shadow) == (candidate.rollout, is_shadow):
                return known
            return Trial(candidate.rollout, is_shadow)
        return None

    def _shadow(self, routes: ModelRoutes, candidate: Candidate, loaded: LoadedVersion) -> Shadow | None:
        shadow = candidate.loaded if candidate.variant else routes.serving.get(candidate.version)
        if shadow is None or shadow is loaded or random.random() >= candidate.shadow:  # noqa: S311
            return None
        return Shadow(shadow, self._trials[routes.name])

    def _by_form(
        self, routes: ModelRoutes, alias: str, candidate: Candidate, original: LoadedVersion, routing_key: str
    ) -> Resolved:
        """The version or its variant that is brought in, which has no calls where it does not serve."""
        variant = candidate.loaded if original.version == candidate.version else None
        share = 0.0 if variant is None else candidate.share
        chosen = variant if variant is not None and _draw(routing_key, routes.name, alias) < share else None
        loaded, is_candidate = chosen or original, chosen is not None
        return _counted(self._trials[routes.name], alias, loaded, routing_key, is_candidate=is_candidate, share=share)


def _counted(
    trial: Trial, alias: str, loaded: LoadedVersion, routing_key: str, *, is_candidate: bool, share: float
) -> Resolved:
    """A call whose version is found, in its arm. `share`: of the candidate."""
    arm = trial.arm(is_candidate=is_candidate, share=share, point=_draw(routing_key, "baseline"))
    return Resolved(loaded, alias, arm, is_apart=arm is trial.baseline)


def _exact(routes: ModelRoutes, version: int) -> LoadedVersion:
    if version in routes.serving:
        return routes.serving[version]
    if version in routes.waiting:
        raise _not_serving(routes, (version,))
    raise NotFound(
        f"Version {version} of model {routes.name!r} is not deployed.",
        reason="VERSION_NOT_FOUND",
        fix=f"Deployed versions: {', '.join(map(str, sorted({*routes.serving, *routes.waiting})))}.",
    )


def _by_alias(routes: ModelRoutes, alias: str, routing_key: str, *, apart_from: int = 0) -> LoadedVersion:
    targets = routes.aliases.get(alias)
    if targets is None:
        raise NotFound(
            f"Model {routes.name!r} has no deployed alias {alias[:64]!r}.",
            reason="ALIAS_NOT_FOUND",
            fix=f"Deployed aliases: {', '.join(sorted(routes.aliases))}.",
        )
    able = [target for target in targets if target.version in routes.serving]
    able = [target for target in able if target.version != apart_from] or able
    if not able:
        raise _not_serving(routes, [target.version for target in targets])
    if len(able) == 1:
        return routes.serving[able[0].version]
    return routes.serving[pick(able, _draw(routing_key, routes.name, alias))]


def pick(targets: Sequence[Target], point: float) -> int:
    """The version at `point` (0 ≤ point < 1) of the targets laid side by side by weight.

    They lie in the order of their versions, so that no key moves away from the newest one when its share grows.
    """
    ordered = sorted(targets, key=lambda target: target.version)
    remaining = point * sum(target.weight for target in ordered)
    for target in ordered:
        remaining -= target.weight
        if remaining < 0:
            return target.version
    return ordered[-1].version


def _draw(routing_key: str, *purpose: str) -> float:
    """A position in [0, 1): for a key a stable one, the same on every replica, unlike Python's salted `hash`."""
    if not routing_key:
        return random.random()  # noqa: S311
    key = "\0".join((*purpose, routing_key))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=7).digest()) / (1 << 56)


def _not_serving(routes: ModelRoutes, versions: Sequence[int]) -> Unavailable:
    reasons = "; ".join(f"version {version} {routes.waiting.get(version, 'is being loaded')}" for version in versions)
    return Unavailable(
        f"Model {routes.name!r} does not serve now: {reasons.rstrip('.')}.",
        reason="MODEL_NOT_READY",
        fix="Try again in a moment; `lepton health` shows what each replica serves.",
        retry_after_s=_RETRY_AFTER_S,
    )
