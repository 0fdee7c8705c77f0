"""Starts, steers and carries out rollouts: each change is one transaction around one write to etcd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from lepton_ai.errors import FailedPrecondition, NotFound
from lepton_ai.references import PRODUCTION, check_name
from lepton_ai.v1 import common_pb2, health_pb2, registry_pb2
from services.registry.catalogue.catalogue import find_variant, resolve_ready
from services.registry.completion import Completion
from services.registry.database.store import Store, Writing
from services.registry.deployments.deployments import Deployments, record_change, under_way
from services.registry.deployments.settlement import Settlement
from services.registry.messages import read_deployment
from services.registry.rollouts.conditions import MetricValue, gates_of, judge_metrics
from services.registry.rollouts.judging import Judge
from services.registry.rollouts.judging.verdicts import overall
from services.registry.rollouts.judging.watch import Arms
from services.registry.rollouts.places import check_beside, served_before
from services.registry.rollouts.progress import (
    Action,
    Readiness,
    act,
    advance,
    check_plan,
    end,
    give_back,
    readiness,
)
from services.registry.rollouts.record import Decision, NewRollout, Plan, RolloutRecord, State

_MAX_DECIDED, _MAX_DECISIONS = 20, 200
_BREACHES = "breaches"
"""Beside what the judge knows: at how many looks in a row a metric was out of bounds."""


@dataclass(frozen=True)
class Seen:
    """What was seen of a rollout since the last look."""

    arms: Arms
    metrics: Mapping[str, MetricValue] = field(default_factory=dict)


class Rollouts:
    """The rollouts of all models."""

    def __init__(
        self,
        *,
        store: Store,
        settlement: Settlement,
        deployments: Deployments,
        completion: Completion,
        has_metrics: bool = False,
    ) -> None:
        """`has_metrics`: whether there is somebody to ask for metrics."""
        self._has_metrics = has_metrics
        self._store = store
        self._settlement = settlement
        self._deployments = deployments
        self._completion = completion

    async def start(self, ref: common_pb2.ModelRef, plan: Plan, *, actor: str, variant: str = "") -> RolloutRecord:
        """Bring a version into production by a plan, or a `variant` of the version that is there.

        Raises InvalidInput, NotFound, FailedPrecondition, Unavailable.
        """
        if check_plan(plan).metrics and not self._has_metrics:
            raise FailedPrecondition(
                "This registry knows no Prometheus to ask.",
                reason="NO_PROMETHEUS",
                fix="Set LEPTON_PROMETHEUS_URL for the registry, or leave out the conditions on metrics.",
            )
        return await self._completion.finish(self._start(ref, variant, plan, actor))

    async def find(self, model: str = "", *, limit: int) -> list[RolloutRecord]:
        """Those of a model, or of all, the newest first."""
        async with self._store.reading() as reading:
            return list(await reading.rollouts(check_name(model, field="model") if model else "", limit=limit))

    async def find_decided(self, model: str = "", *, limit: int) -> list[tuple[RolloutRecord, Sequence[Decision]]]:
        """The same, at most 20 of them, each with what was decided of it, the newest first."""
        found = await self.find(model, limit=min(limit, _MAX_DECIDED))
        async with self._store.reading() as reading:
            return [(each, await reading.decisions(each.id, limit=_MAX_DECISIONS)) for each in found]

    async def control(self, model: str, action: Action, *, actor: str) -> RolloutRecord:
        """Pause, resume, promote or abort. Raises NotFound, FailedPrecondition, Unavailable."""
        return await self._completion.finish(self._control(check_name(model, field="model"), action, actor))

    async def rollback(self, model: str, *, actor: str) -> registry_pb2.Deployment:
        """Give the traffic back to the version that had it before. Raises NotFound, FailedPrecondition, Unavailable."""
        return await self._completion.finish(self._rollback(check_name(model, field="model"), actor))

    async def live(self) -> list[RolloutRecord]:
        """Those that somebody must look after."""
        async with self._store.reading() as reading:
            return list(await reading.rollouts(only_live=True, limit=10_000))

    async def watch(
        self,
        rollout: RolloutRecord,
        seconds: float,
        replicas: Iterable[health_pb2.ServingState],
        seen: Seen | None = None,
    ) -> None:
        """Go on with a rollout, which was watched for so many seconds. Raises Unavailable.

        `seen`: what became of the calls in this time; None where nobody looked.
        """
        await self._completion.finish(self._watch(rollout, seconds, list(replicas), seen))

    async def _start(self, ref: common_pb2.ModelRef, variant: str, plan: Plan, actor: str) -> RolloutRecord:
        async with self._store.writing() as writing:
            version = await resolve_ready(writing, ref)
            name = find_variant(version, variant).name if variant else ""
            await self._deployments.check_servable(writing, version, name)
            live = await writing.live_rollout(version.model)
            if live is not None and live.state.is_under_way:
                raise under_way(live)
            old = check_beside(version, name, (await writing.aliases(version.model)).get(PRODUCTION))
            if live is not None:
                await writing.set_rollout(end(live, ""))
            new = NewRollout(version.model, version.version, old, plan, State.WAITING, actor, "waits until it serves")
            if name:
                new = replace(new, variant=name, old_variant=version.pinned)
            before = await read_deployment(writing, version.model)
            rollout = await writing.add_rollout(new)
            await writing.add_decision(rollout, actor)
            await self._settle(writing, rollout, actor, "rollout_start", before)
        return rollout

    async def _control(self, model: str, action: Action, actor: str) -> RolloutRecord:
        async with self._store.writing() as writing:
            live = await writing.live_rollout(model)
            if live is None:
                raise NotFound(
                    f"No rollout of {model} is under way.",
                    reason="ROLLOUT_NOT_FOUND",
                    fix="`lepton rollout list` shows those that were.",
                )
            return await self._change(writing, live, act(live, action, actor), actor, f"rollout_{action.value}")

    async def _rollback(self, model: str, actor: str) -> registry_pb2.Deployment:
        async with self._store.writing() as writing:
            live = await writing.live_rollout(model)
            if live is not None:
                await self._change(writing, live, give_back(live, actor), actor, "rollback")
                deployment = await read_deployment(writing, model)
                assert deployment is not None  # noqa: S101 - of a live rollout
                return deployment
            old, variant = await served_before(writing, model)
        ref = common_pb2.ModelRef(name=model, version=old)
        return await self._deployments.deploy(ref, actor=actor, variant=variant)

    async def _watch(
        self, rollout: RolloutRecord, seconds: float, replicas: list[health_pb2.ServingState], seen: Seen | None
    ) -> None:
        async with self._store.writing() as writing:
            live = await writing.live_rollout(rollout.model)
            if live is None or live.id != rollout.id:
                return  # it has ended meanwhile, and perhaps another one began
            ready = readiness(live, replicas)
            if seen is None:
                after = advance(live, seconds, ready)
            else:
                after = _judged(live, seconds, ready, seen)
            if after != live:
                is_news = (after.place, after.is_live) != (live.place, live.is_live)
                await self._change(writing, live, after, "registry", f"rollout_{after.state.value}" if is_news else "")

    async def _change(
        self, writing: Writing, earlier: RolloutRecord, record: RolloutRecord, actor: str, action: str
    ) -> RolloutRecord:
        before = await read_deployment(writing, record.model) if action else None
        record = replace(record, changed_at=datetime.now(UTC))
        await writing.set_rollout(record)
        if record.place != earlier.place:
            await writing.add_decision(record, actor)
        if action:
            await self._settle(writing, record, actor, action, before)
        return record

    async def _settle(
        self,
        writing: Writing,
        record: RolloutRecord,
        actor: str,
        action: str,
        before: registry_pb2.Deployment | None,
    ) -> None:
        """Have replicas do what follows from a rollout that has changed; `before`: what they did."""
        is_in = record.state is State.PROMOTED
        await writing.set_alias(record.model, PRODUCTION, record.version if is_in else record.old_version)
        if record.is_within_version:
            pin = record.variant if is_in else record.old_variant
            await writing.pin_variant(record.model, record.version, pin)
        # Shares within a version are no weights of its route, so that the settlement does not see them change.
        after = await self._settlement.settle(writing, record.model, anew=record.is_within_version)
        await record_change(writing, actor, action, before=before, after=after)
        if after != before:
            await self._settlement.publish(after)


def _judged(record: RolloutRecord, seconds: float, ready: Readiness, seen: Seen) -> RolloutRecord:
    """The record after a look at what became of the calls."""
    judge = Judge(gates_of(record), candidate=record.candidate)
    if record.judge is not None:
        judge.restore(record.judge)
    verdict = judge.look(seen.arms.candidate, seen.arms.baseline, seen.arms.others)
    breaches = {} if record.judge is None else record.judge.get(_BREACHES, {})
    conditions, breaches = judge_metrics(record.plan.metrics, seen.metrics, breaches)
    after = advance(record, seconds, ready, overall((*verdict.gates, *conditions)) if conditions else verdict)
    if not after.state.has_shares or after.is_shadowing != record.is_shadowing:
        return after
    if after.step != record.step:
        judge.begin_step()
    return replace(after, judge={**judge.as_json(), _BREACHES: breaches})
