"""Rollouts as a client asks for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypedDict, Unpack

from lepton_ai.client.connections import Connections
from lepton_ai.client.control.deployments import Deployment, wait_until_served
from lepton_ai.client.control.registry_calls import RegistryClient
from lepton_ai.errors import InvalidInput
from lepton_ai.references import check_name, parse_form
from lepton_ai.v1 import registry_pb2

Action = Literal["pause", "resume", "promote", "abort"]
WHOLE = 10_000
"""Shares are counted in parts of this."""
_METRIC = re.compile(r"([^:]{1,64}):\s*(.*\S)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)", re.DOTALL)
"""The last comparison of the text: there may be others in the expression."""


class PlanOptions(TypedDict, total=False):
    """How a rollout goes."""

    step_s: float
    """How long each step lasts; 60 if not said."""
    bake_s: float
    """How long the old version is kept warm afterwards; 300 if not said."""
    judged: bool
    """Whether harm takes the new version back, and a step is over when it is good enough; true if not said."""
    shadow: float
    """Percent of the calls that the new version gets a copy of in a step before the others. Nobody gets its answers;
    they are compared with those that are returned. Without `percents` people decide after it."""
    sticky_by: str
    """For an A/B test with one share: the metadata key that keeps a caller on one version, beside the routing key.
    People decide after it."""
    metrics: Sequence[str]
    """Further conditions, asked of Prometheus: "NAME: EXPRESSION < NUMBER", also <=, > and >=. In it $model, $version,
    $old_version and $variant stand for those of the rollout."""
    margins: Mapping[str, float]
    """How much worse is good enough, by gate, in place of the default (0.02: 2 % or 2 points); 0: it is not judged."""


class _Platform(RegistryClient, Protocol):
    """A client that can ask whether a version is served, too."""

    _connections: Connections


class Rollouts:
    """The part of `AsyncClient` for rollouts."""

    async def start_rollout(
        self: _Platform, model: str, percents: Sequence[float] = (), **options: Unpack[PlanOptions]
    ) -> registry_pb2.Rollout:
        """Bring a version ("NAME@VERSION"; NAME: the newest) into production step by step, beside what is served, or
        ("NAME@VERSION+VARIANT") a variant of the version that is served.

        It gets these percents of the traffic for `step_s` seconds each, then all of it; the old version is kept warm
        for another `bake_s` seconds. Its answers are judged beside those of the old one: harm takes it back at any
        time, and a step is over when it is good enough; not `judged`: when its time is over. See PlanOptions for all
        that can be asked. Returns at once.

        Raises InvalidInput for a plan that is none, NotFound, FailedPrecondition when no version, or of a variant not
        its own, is served or another rollout of the model is under way.
        """
        reference, variant = parse_form(model)
        request = registry_pb2.StartRolloutRequest(model=reference, plan=_plan(percents, options), variant=variant)
        return await self._registry(
            lambda stub, left_s: stub.StartRollout(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def rollouts(
        self: RegistryClient, model: str = "", *, limit: int = 0, decisions: bool = False
    ) -> Sequence[registry_pb2.Rollout]:
        """Rollouts of a model, or of all, the newest first; at most `limit`, 100 if not said.

        With `decisions`, each (of at most 20) also has all that was decided of it, with the numbers of that time.
        """
        request = registry_pb2.ListRolloutsRequest(
            model=check_name(model, field="model") if model else "", limit=limit, with_decisions=decisions
        )
        listed = await self._registry(lambda stub, left_s: stub.ListRollouts(request, timeout=left_s), self._timeout_s)
        return list(listed.rollouts)

    async def control_rollout(self: RegistryClient, model: str, action: Action) -> registry_pb2.Rollout:
        """Pause, resume, promote or abort the rollout of a model. Raises NotFound when none is under way."""
        request = registry_pb2.ControlRolloutRequest(model=check_name(model, field="model"))
        request.action = registry_pb2.RolloutAction.Value(f"ROLLOUT_ACTION_{action.upper()}")
        return await self._registry(
            lambda stub, left_s: stub.ControlRollout(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def rollback(self: _Platform, model: str, *, wait_s: float = 0.0) -> Deployment:
        """Give the traffic of a model back to the version that had it before.

        With `wait_s`, wait until predictions with it work, which may take as long as it takes to load it where it is
        not kept warm any more.

        Raises FailedPrecondition when there was none, DeadlineExceeded when it takes longer than `wait_s`.
        """
        request = registry_pb2.RollbackRequest(model=check_name(model, field="model"))
        deployed = await self._registry(
            lambda stub, left_s: stub.Rollback(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )
        deployment = Deployment.of(deployed)
        if wait_s > 0:
            await wait_until_served(self._connections, deployment, wait_s)
        return deployment


def _plan(percents: Sequence[float], options: PlanOptions) -> registry_pb2.RolloutPlan:
    shadow = options.get("shadow", 0.0)
    return registry_pb2.RolloutPlan(
        shares=[_share(each, "percents") for each in percents],
        step_s=options.get("step_s", 60.0),
        bake_s=options.get("bake_s", 300.0),
        unjudged=not options.get("judged", True),
        shadow=_share(shadow, "shadow") if shadow else 0,
        sticky_by=options.get("sticky_by", ""),
        metrics=[parse_metric(each) for each in options.get("metrics", ())],
        margins=options.get("margins", {}),
    )


def parse_metric(text: str) -> registry_pb2.MetricGate:
    """The condition that "NAME: EXPRESSION < NUMBER" says. Raises InvalidInput for what says none."""
    found = _METRIC.fullmatch(text.strip())
    if found is None:
        raise InvalidInput.of_field(
            "metrics", f"{text[:200]!r} is no condition", fix='For instance "orders: sum(rate(orders[1m])) > 2".'
        )
    name, query, comparison, number = found.groups()
    return registry_pb2.MetricGate(name=name, query=query, comparison=comparison, threshold=float(number))


def _share(percent: float, field: str) -> int:
    if not 100 / WHOLE <= percent <= 100:
        raise InvalidInput.of_field(field, f"holds {percent:g}", fix="Each is a percent from 0.01 to 100.")
    return round(percent * WHOLE / 100)
