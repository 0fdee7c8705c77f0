"""Which versions an alias's calls go to while what is wanted and what serves differ. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lepton_ai.v1 import registry_pb2
from services.inference.routing.routes import Target
from services.inference.routing.trial import Candidate

WHOLE = 10_000
"""All calls of a route, in the parts in which a shadow's share is counted."""
Aliases = Mapping[str, tuple[Target, ...]]


def wanted_aliases(deployment: registry_pb2.Deployment) -> dict[str, tuple[Target, ...]]:
    """The routes of a deployment; targets without weight get no calls and are left out."""
    return {
        route.alias: tuple(Target(target.version, target.weight) for target in route.targets if target.weight > 0)
        for route in deployment.routes
    }


def candidates(deployment: registry_pb2.Deployment) -> dict[str, Candidate]:
    """Alias → the version or variant that a rollout brings in through it."""
    return {
        route.alias: Candidate(
            route.candidate,
            route.rollout,
            route.shadow / WHOLE,
            route.sticky_by,
            route.candidate_variant,
            route.candidate_share / WHOLE,
        )
        for route in deployment.routes
        if route.candidate
    }


def effective_aliases(wanted: Aliases, current: Aliases, serving: Collection[int]) -> dict[str, tuple[Target, ...]]:
    """Where calls go now: an alias moves to what is wanted once all of that serves, and stays where it is until then.

    It stays even while nothing serves there (crashed versions are healed), unless part of what is wanted does serve.
    """
    return {alias: _effective(targets, current.get(alias, ()), serving) for alias, targets in wanted.items()}


def _effective(wanted: tuple[Target, ...], current: tuple[Target, ...], serving: Collection[int]) -> tuple[Target, ...]:
    if not current or all(target.version in serving for target in wanted):
        return wanted
    stays = _any_serves(current, serving) or not _any_serves(wanted, serving)
    return current if stays else wanted


def _any_serves(targets: Sequence[Target], serving: Collection[int]) -> bool:
    return any(target.version in serving for target in targets)


def routed_versions(aliases: Aliases) -> set[int]:
    """All versions that get calls."""
    return {target.version for targets in aliases.values() for target in targets}
