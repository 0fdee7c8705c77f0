"""What the inference replicas count of a rollout, as what was added since they were last asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from lepton_ai.counts import ArmCounts
from lepton_ai.counts.messages import read_counts
from lepton_ai.v1 import inference_pb2, inference_pb2_grpc
from services.registry.rollouts.judging.watch import Arms

_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Seen:
    """What a replica had counted when it was last asked."""

    epoch: str
    candidate: ArmCounts
    baseline: ArmCounts
    rest: ArmCounts


class Observation:
    """Asks every replica. What one counts after it was last asked, and before it dies, is lost, and nothing else."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._seen: dict[tuple[int, str], _Seen] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self.forget(())

    async def forget(self, rollouts: Iterable[int]) -> None:
        """Keep only what is known of these rollouts; without any, no connections either."""
        kept = set(rollouts)
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in kept}
        if not kept:
            channels, self._channels = self._channels, {}
            await asyncio.gather(*(channel.close() for channel in channels.values()))

    async def look(
        self, rollout: int, model: str, replicas: Iterable[str], *, is_first: bool, is_shadow: bool = False
    ) -> Arms:
        """What was counted on all replicas since the last look. A replica that does not answer adds nothing now.

        `is_first`: nobody looked before, not even an earlier process; else what a replica had counted before it is seen
        for the first time may have been taken in already, and adds nothing.
        """
        wanted = (rollout, is_shadow)
        added = await asyncio.gather(*(self._ask(wanted, model, address, is_first) for address in replicas))
        together = Arms()
        for arms in added:
            together = together + arms
        return together

    async def _ask(self, wanted: tuple[int, bool], model: str, address: str, is_first: bool) -> Arms:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address)
        stub = inference_pb2_grpc.InferenceServiceStub(self._channels[address])
        try:
            found = await stub.GetArmCounts(inference_pb2.GetArmCountsRequest(model=model), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            _log.info("a replica does not tell what it counted", extra={"address": address, "why": error.code().name})
            return Arms()
        if (found.rollout, found.shadow) != wanted:
            return Arms()  # it has not heard of this one yet, or not of this step
        rollout = found.rollout
        now = _Seen(found.epoch, *map(read_counts, (found.candidate, found.baseline, found.rest)))
        before = self._seen.get((rollout, address))
        self._seen[rollout, address] = now
        return Arms() if before is None and not is_first else _since(now, before)


def _since(now: _Seen, before: _Seen | None) -> Arms:
    if before is None or before.epoch != now.epoch:
        return Arms(now.candidate, now.baseline, now.baseline + now.rest)
    baseline, rest = now.baseline - before.baseline, now.rest - before.rest
    return Arms(now.candidate - before.candidate, baseline, baseline + rest)
