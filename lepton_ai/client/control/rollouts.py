"""Rollouts as a client asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from lepton_ai.client.control.deployments import Deployment
from lepton_ai.errors import InvalidInput
from lepton_ai.references import check_name, parse_model_ref
from lepton_ai.v1 import registry_pb2

T = TypeVar("T")
Action = Literal["pause", "resume", "promote", "abort"]
WHOLE = 10_000
"""Shares are counted in parts of this."""


class _Registry(Protocol):
    """What the methods need of a client."""

    _proof: Any
    _timeout_s: float

    async def _registry(
        self, invoke: Callable[[Any, float], Awaitable[T]], timeout_s: float, *, idempotent: bool = True
    ) -> T: ...


class Rollouts:
    """The part of `AsyncClient` for rollouts."""

    async def start_rollout(
        self: _Registry,
        model: str,
        percents: Sequence[float],
        *,
        step_s: float = 60.0,
        bake_s: float = 300.0,
        judged: bool = True,
    ) -> registry_pb2.Rollout:
        """Bring a version ("NAME@VERSION"; NAME: the newest) into production step by step, beside what is served.

        It gets these percents of the traffic for `step_s` seconds each, then all of it; the old version is kept warm
        for another `bake_s` seconds. Its answers are judged beside those of the old one: harm takes it back at any
        time, and a step is over when it is good enough; not `judged`: when its time is over. Returns at once.

        Raises FailedPrecondition when no version is served or another
        rollout of the model is under way.
        """
        plan = registry_pb2.RolloutPlan(shares=[_share(each) for each in percents], step_s=step_s, bake_s=bake_s)
        plan.unjudged = not judged
        request = registry_pb2.StartRolloutRequest(model=parse_model_ref(model), plan=plan)
        return await self._registry(
            lambda stub, left_s: stub.StartRollout(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def rollouts(self: _Registry, model: str = "") -> Sequence[registry_pb2.Rollout]:
        """Rollouts of a model, or of all, the newest first."""
        request = registry_pb2.ListRolloutsRequest(model=check_name(model, field="model") if model else "")
        listed = await self._registry(lambda stub, left_s: stub.ListRollouts(request, timeout=left_s), self._timeout_s)
        return list(listed.rollouts)

    async def control_rollout(self: _Registry, model: str, action: Action) -> registry_pb2.Rollout:
        """Pause, resume, promote or abort the rollout of a model. Raises NotFound when none is under way."""
        request = registry_pb2.ControlRolloutRequest(model=check_name(model, field="model"))
        request.action = registry_pb2.RolloutAction.Value(f"ROLLOUT_ACTION_{action.upper()}")
        return await self._registry(
            lambda stub, left_s: stub.ControlRollout(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def rollback(self: _Registry, model: str) -> Deployment:
        """Give the traffic of a model back to the version that had it before.

        Raises FailedPrecondition when there was none.
        """
        request = registry_pb2.RollbackRequest(model=check_name(model, field="model"))
        deployed = await self._registry(
            lambda stub, left_s: stub.Rollback(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )
        return Deployment.of(deployed)


def _share(percent: float) -> int:
    share = round(percent * WHOLE / 100)
    if not 0 < share <= WHOLE:
        raise InvalidInput.of_field("percents", f"holds {percent:g}", fix="Each is more than 0 and at most 100.")
    return share
