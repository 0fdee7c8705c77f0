"""Looks after the rollouts that are live: watches what the replicas serve, and the time that passes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.discovery.records import Records, decode_serving_state
from lepton_ai.mesh.discovery.state import SERVING, StateStore
from lepton_ai.mesh.loops import run_loop
from lepton_ai.v1 import health_pb2
from services.registry.rollouts.observation import Observation
from services.registry.rollouts.opinions import Opinions, with_opinions
from services.registry.rollouts.prometheus import MetricSource
from services.registry.rollouts.record import RolloutRecord
from services.registry.rollouts.rollouts import Rollouts, Seen
from services.registry.settings import RegistrySettings

_log = logging.getLogger(__name__)


class RolloutDriver:
    """Goes on with every live rollout each `interval_s`, as long as this process runs and etcd answers.

    With one that is judged, each `judge_interval_s`: so much is an interval for the judge.

    While it does not, time stands still for rollouts: no version gets more traffic that nobody watches.
    """

    def __init__(
        self,
        rollouts: Rollouts,
        state: StateStore,
        *,
        interval_s: float,
        judge_interval_s: float,
        metrics: MetricSource | None = None,
        opinions: Opinions | None = None,
    ) -> None:
        """`metrics` is asked for metrics, `opinions` for what users say; without them nobody is."""
        self._opinions = opinions
        self._rollouts = rollouts
        self._metrics = metrics
        self._state = state
        self._interval_s = interval_s
        self._judge_interval_s = max(interval_s, judge_interval_s)
        self._records = Records(decode_serving_state)
        self._observation = Observation()
        self._watched_at: dict[int, float] = {}
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def with_settings(
        cls,
        settings: RegistrySettings,
        rollouts: Rollouts,
        state: StateStore,
        opinions: Opinions | None,
        metrics: MetricSource | None,
    ) -> RolloutDriver:
        """The driver that a registry's settings ask for; `metrics` is asked where they name no Prometheus."""
        return cls(
            rollouts,
            state,
            interval_s=settings.rollout_interval_s,
            judge_interval_s=settings.judge_interval_s,
            metrics=settings.prometheus() or metrics,
            opinions=opinions,
        )

    def start(self) -> None:
        """Begin to look. What somebody else watched meanwhile is not counted."""
        self._watched_at = {}
        self._task = run_loop(self._run, name="look after rollouts")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._observation.close()

    async def look(self) -> None:
        """Go on with every live rollout once. Raises Unavailable."""
        live = await self._rollouts.live()
        self._watched_at = {each.id: self._watched_at.get(each.id, time.monotonic()) for each in live}
        await self._observation.forget(self._watched_at)
        if self._opinions is not None:
            self._opinions.forget(self._watched_at)
        if not live:
            return
        replicas = list(self._records.read(await self._state.list(SERVING)).values())
        for rollout in live:
            is_judged = rollout.state.has_shares and rollout.plan.is_judged
            interval_s = self._judge_interval_s if is_judged else self._interval_s
            if is_judged and time.monotonic() - self._watched_at[rollout.id] < interval_s:
                continue
            seen = await self._seen(rollout, replicas) if is_judged else None
            now_s = time.monotonic()
            seconds = min(now_s - self._watched_at[rollout.id], 2 * interval_s)
            self._watched_at[rollout.id] = now_s
            await self._rollouts.watch(rollout, seconds, replicas, seen)

    async def _seen(self, rollout: RolloutRecord, replicas: Sequence[health_pb2.ServingState]) -> Seen:
        addresses, is_first = [replica.replica for replica in replicas], rollout.judge is None
        arms = await self._observation.look(
            rollout.id, rollout.model, addresses, is_first=is_first, is_shadow=rollout.is_shadowing
        )
        if self._opinions is not None and not rollout.is_shadowing:
            arms = with_opinions(arms, await self._opinions.look(rollout, is_first=is_first))
        metrics = await self._metrics.ask(rollout) if self._metrics and rollout.plan.metrics else {}
        return Seen(arms, metrics)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except LeptonError as error:
                _log.warning("cannot look after rollouts: %s", error)
            await asyncio.sleep(self._interval_s)
