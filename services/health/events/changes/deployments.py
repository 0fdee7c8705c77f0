"""What became of a model's deployment, in words, from what was asked for before and after. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lepton_ai.references import PRODUCTION
from lepton_ai.v1 import registry_pb2


@dataclass(frozen=True)
class Description:
    """A change as an event tells it."""

    kind: str
    title: str
    version: int
    """The version that it is about; 0 where it is about none."""


def describe(
    model: str, before: registry_pb2.Deployment | None, after: registry_pb2.Deployment | None
) -> Description | None:
    """None where nothing has changed for the model's calls."""
    if after is None:
        return Description("undeploy", f"{model} was taken out of service", _production(before)) if before else None
    now = _production(after)
    if before is None:
        return Description("deploy", f"{model} is served: version {now} is production", now)
    rollout = _rollout(model, before, after)
    if rollout is not None:
        return rollout
    was = _production(before)
    if was != now:
        return Description("deploy", f"version {now} of {model} is production, it was version {was}", now)
    return _pin(model, now, before, after) or _alias_move(model, before, after)


def _rollout(model: str, before: registry_pb2.Deployment, after: registry_pb2.Deployment) -> Description | None:
    old, new = _route(before, PRODUCTION), _route(after, PRODUCTION)
    if not new.candidate:
        return None
    is_same = (old.candidate, old.candidate_variant) == (new.candidate, new.candidate_variant)
    share, old_share = _share(new), _share(old) if is_same else -1.0
    if (share, new.shadow) == (old_share, old.shadow):
        return None
    what = f"a copy of {new.shadow / 100:g} %" if new.shadow else f"{share:.3g} %"
    title = f"version {new.candidate} of {model} gets {what} of the calls"
    if new.candidate_variant:
        variant = new.candidate_variant
        title = f"variant {variant} of version {new.candidate} of {model} gets {what} of the calls"
    return Description("rollout", title, new.candidate)


def _pin(
    model: str, version: int, before: registry_pb2.Deployment, after: registry_pb2.Deployment
) -> Description | None:
    was, now = (_pinned(deployment, version) for deployment in (before, after))
    if was == now:
        return None
    title = f"version {version} of {model} answers itself again, it was variant {was}"
    if now:
        title = f"variant {now} answers in place of version {version} of {model}"
    return Description("deploy", title, version)


def _pinned(deployment: registry_pb2.Deployment, version: int) -> str:
    """The variant that answers in place of a version; empty for none."""
    own = (each for each in deployment.versions if each.version == version)
    return next((variant.name for each in own for variant in each.variants if variant.pinned), "")


def _alias_move(model: str, before: registry_pb2.Deployment, after: registry_pb2.Deployment) -> Description | None:
    old, new = _aliases(before), _aliases(after)
    for alias in sorted(old.keys() | new.keys()):
        if old.get(alias) != new.get(alias):
            return describe_alias(model, alias, new.get(alias, 0))
    return None


def describe_alias(model: str, alias: str, version: int) -> Description:
    """An alias that means a version now; 0: none any more."""
    now = f"is version {version} now" if version else "is gone"
    return Description("alias", f"{model}@{alias} {now}", version)


def _aliases(deployment: registry_pb2.Deployment) -> dict[str, int]:
    return {
        route.alias: route.targets[0].version
        for route in deployment.routes
        if route.alias != PRODUCTION and len(route.targets) == 1
    }


def _production(deployment: registry_pb2.Deployment | None) -> int:
    """The version that most of the production calls go to."""
    if deployment is None:
        return 0
    targets = _route(deployment, PRODUCTION).targets
    return max(targets, key=lambda target: target.weight).version if targets else 0


def _share(route: registry_pb2.Route) -> float:
    """Of the candidate, in percent."""
    if route.candidate_variant:
        return route.candidate_share / 100
    whole = sum(target.weight for target in route.targets)
    own = sum(target.weight for target in route.targets if target.version == route.candidate)
    return 100 * own / whole if whole else 0.0


def _route(deployment: registry_pb2.Deployment, alias: str) -> registry_pb2.Route:
    return next((route for route in deployment.routes if route.alias == alias), registry_pb2.Route())
