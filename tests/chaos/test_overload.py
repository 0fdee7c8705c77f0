"""Far more callers than fit: the excess is refused at once with when to come back, the rest is answered."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest

from lepton_ai.errors import LeptonError, ResourceExhausted
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.references import parse_model_ref
from lepton_ai.tensors import Array, from_proto, to_proto
from lepton_ai.v1 import inference_pb2, inference_pb2_grpc
from tests.chaos.calls import slow_package
from tests.chaos.conftest import MAX_QUEUE_ROWS
from tests.chaos.faults import seconds_until
from tests.chaos.recoveries import Recoveries
from tests.platform import Platform

_ROWS = 8
_FIT = MAX_QUEUE_ROWS // _ROWS
"""Callers whose rows fill the queue."""
_CALLERS = 5 * _FIT
_ROUNDS = 5


@pytest.fixture
async def slow(platform: Platform, tmp_path: Path) -> AsyncIterator[str]:
    """A model that takes its time, and that nobody has called before: for a second after its last refusal a model lets
    in fewer."""
    name = f"slow-{secrets.token_hex(4)}"
    async with platform.client() as client:
        await client.push(slow_package(tmp_path / name, name=name).directory)
        await client.deploy(name)
        yield name
        await client.undeploy(name)


async def ask_once(channel: grpc.aio.Channel, model: str, rows: Array) -> Array:
    """One call without the client's retries."""
    request = inference_pb2.PredictRequest(model=parse_model_ref(model), tensors=[to_proto("x", rows)])
    try:
        answer = await inference_pb2_grpc.InferenceServiceStub(channel).Predict(request, timeout=20)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    return from_proto(answer.tensors[0])


async def test_the_excess_is_refused_with_when_to_come_back_and_the_rest_is_answered(
    platform: Platform, slow: str, recoveries: Recoveries
) -> None:
    refused: list[tuple[float, LeptonError]] = []
    answered = 0
    options = [("grpc.use_local_subchannel_pool", 1)]

    async def call(channel: grpc.aio.Channel, caller: int) -> None:
        nonlocal answered
        for turn in range(_ROUNDS):
            rows = np.full((_ROWS, 4), caller * _ROUNDS + turn, dtype=np.float32)
            began_s = time.monotonic()
            try:
                answer = await ask_once(channel, slow, rows)
            except LeptonError as error:
                refused.append((time.monotonic() - began_s, error))
            else:
                np.testing.assert_array_equal(answer, rows * 2)
                answered += 1

    async with AsyncExitStack() as stack:
        address = platform.state.addresses["inference"]
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options)) for _ in range(4)
        ]
        await asyncio.gather(*(call(channels[caller % len(channels)], caller) for caller in range(_CALLERS)))
        seconds = await seconds_until(
            lambda: ask_once(channels[0], slow, np.ones((1, 4), dtype=np.float32)), description="a call is answered"
        )
    recoveries.record(
        f"{_CALLERS} callers, room for {_FIT}", "predictions", seconds, failed=len(refused), answered=answered
    )
    assert answered >= _FIT
    assert refused
    assert all(type(error) is ResourceExhausted and error.retry_after_s and error.fix for _, error in refused)
    assert np.median([took_s for took_s, _ in refused]) < 0.5
    assert seconds < 1.0


async def test_the_client_waits_as_it_is_told_and_its_callers_mostly_get_answers(platform: Platform, slow: str) -> None:
    rows = np.ones((_ROWS, 4), dtype=np.float32)
    async with platform.client() as client:
        results = await asyncio.gather(
            *(client.infer(slow, {"x": rows}) for _ in range(2 * _FIT)), return_exceptions=True
        )
    refused = [each for each in results if isinstance(each, BaseException)]
    assert not [each for each in refused if not isinstance(each, ResourceExhausted)]
    assert len(results) - len(refused) >= _FIT, Counter((str(each), each.__cause__) for each in refused)
