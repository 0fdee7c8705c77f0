"""What replicas count, as differences: nothing twice, nothing of another rollout, and the dead add nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from lepton_ai.counts import ArmCounts
from lepton_ai.counts.messages import write_counts
from lepton_ai.v1 import inference_pb2, inference_pb2_grpc
from services.registry.rollouts.observation import Observation


class Replica(inference_pb2_grpc.InferenceServiceServicer):
    """Counts as it is told."""

    def __init__(self) -> None:
        self.rollout, self.epoch = 7, "first"
        self.candidate, self.baseline, self.rest = ArmCounts(), ArmCounts(), ArmCounts()
        self.address = ""

    def count(self, candidate: int, baseline: int, rest: int) -> None:
        self.candidate.answers += candidate
        self.baseline.answers += baseline
        self.rest.answers += rest

    async def GetArmCounts(  # noqa: N802 - the contract's name
        self, request: object, context: object
    ) -> inference_pb2.GetArmCountsResponse:
        return inference_pb2.GetArmCountsResponse(
            rollout=self.rollout,
            epoch=self.epoch,
            candidate=write_counts(self.candidate),
            baseline=write_counts(self.baseline),
            rest=write_counts(self.rest),
        )


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    served = Replica()  # type: ignore[abstract] # it is asked for nothing else
    server = grpc.aio.server()
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(served, server)
    served.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield served
    await server.stop(None)


@pytest.fixture
async def observation() -> AsyncIterator[Observation]:
    made = Observation()
    yield made
    await made.close()


async def answers(observation: Observation, *addresses: str, is_first: bool = True) -> tuple[int, int, int]:
    arms = await observation.look(7, "cat", addresses, is_first=is_first)
    return arms.candidate.answers, arms.baseline.answers, arms.others.answers


async def test_each_look_tells_what_came_since_the_last(observation: Observation, replica: Replica) -> None:
    replica.count(5, 4, 90)
    assert await answers(observation, replica.address) == (5, 4, 94)
    replica.count(1, 1, 10)
    assert await answers(observation, replica.address, is_first=False) == (1, 1, 11)


async def test_after_a_restart_of_the_registry_nothing_is_counted_twice(replica: Replica) -> None:
    replica.count(5, 4, 90)
    restarted = Observation()
    assert await answers(restarted, replica.address, is_first=False) == (0, 0, 0)
    replica.count(2, 2, 2)
    assert await answers(restarted, replica.address, is_first=False) == (2, 2, 4)
    await restarted.close()


async def test_a_replica_that_began_again_is_counted_from_nothing(observation: Observation, replica: Replica) -> None:
    replica.count(5, 4, 90)
    await answers(observation, replica.address)
    replica.epoch, replica.candidate = "second", ArmCounts(answers=2)
    replica.baseline, replica.rest = ArmCounts(), ArmCounts()
    assert await answers(observation, replica.address, is_first=False) == (2, 0, 0)


async def test_a_replica_that_is_gone_or_counts_for_another_rollout_adds_nothing(
    observation: Observation, replica: Replica
) -> None:
    replica.count(5, 4, 90)
    assert await answers(observation, "127.0.0.1:1", replica.address) == (5, 4, 94)
    replica.rollout = 8
    replica.count(5, 4, 90)
    assert await answers(observation, replica.address, is_first=False) == (0, 0, 0)
