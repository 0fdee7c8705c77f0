"""Callers whose time is over before Triton answers, on a real one: it dies of calls that end so, when they reach it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai.errors import DeadlineExceeded
from lepton_ai.mesh.tracing.context import TRACEPARENT
from lepton_ai.testing import eventually
from lepton_ai.testing.running_triton import LocalTriton
from services.inference.triton.client import Triton
from services.inference.triton.repository import ModelRepository, TritonModel
from tests.integration.inference.whole_path import WholePath, whole_path
from tests.sample_packages import onnx_package

IMPATIENT_S = 15.0
CALLERS = 64
SHORT_S = (0.0005, 0.001, 0.002, 0.004)


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[WholePath]:
    async with whole_path(tmp_path) as path:
        yield path


def pictures(count: int) -> Any:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[count, 8, 8, 3])
    content = bytes([7]) * (count * 192)
    return service_pb2.ModelInferRequest(model_name="colours", inputs=[tensor], raw_input_contents=[content])


def sampled_or_not() -> tuple[tuple[str, str], ...]:
    flags = random.choice(("00", "01"))
    return ((TRACEPARENT, f"00-{random.getrandbits(128) | 1:032x}-{random.getrandbits(64) | 1:016x}-{flags}"),)


async def be_impatient(stub: Any, seen: Counter[str], end_s: float) -> None:
    while time.monotonic() < end_s:
        request, timeout_s = pictures(random.choice((1, 2, 4, 20))), random.choice(SHORT_S)
        try:
            await stub.ModelInfer(request, timeout=timeout_s, metadata=sampled_or_not())
            seen["OK"] += 1
        except grpc.aio.AioRpcError as error:
            # gRPC refuses calls of a connection whose cancelled ones are not cleared away yet: nothing of Triton's.
            seen["REFUSED" if "RST_STREAM" in (error.details() or "") else error.code().name] += 1
        await asyncio.sleep(0)


async def be_patient(stub: Any, seen: Counter[str], end_s: float) -> None:
    while time.monotonic() < end_s:
        answer = await stub.ModelInfer(pictures(2), timeout=20)
        assert np.frombuffer(answer.raw_output_contents[0], np.float32) == pytest.approx([7 / 16] * 6)
        seen["OK"] += 1


async def test_triton_survives_hundreds_of_inferences_a_second_that_nobody_waits_for(
    local_triton: LocalTriton, tmp_path: Path
) -> None:
    """Straight at it, where each call that is given up has reached it: as gRPC calls that end so, they kill it."""
    name = "doubler--v1"
    ModelRepository(local_triton.model_repository).add(doubler(tmp_path))
    triton, pid = Triton(local_triton.address), local_triton.pid
    await triton.load(name)
    end_s, late = time.monotonic() + IMPATIENT_S, Counter[bool]()

    async def give_up() -> None:
        while time.monotonic() < end_s:
            try:
                await triton.infer(rows(name), timeout_s=random.choice(SHORT_S))
                late[False] += 1
            except DeadlineExceeded:
                late[True] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(give_up())
    assert local_triton.pid == pid
    assert late[True] > 1000
    answer = await triton.infer(rows(name), timeout_s=20)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [2.0] * 4
    await triton.close()


def doubler(directory: Path) -> TritonModel:
    package = onnx_package(directory / "package")
    description = package.description
    return TritonModel(
        model="doubler",
        version=1,
        file=package.path(description.model.file),
        format="onnx",
        inputs=description.inputs,
        outputs=description.outputs,
        instances=2,
    )


def rows(name: str) -> Any:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    content = np.ones((1, 4), np.float32).tobytes()
    return service_pb2.ModelInferRequest(model_name=name, inputs=[tensor], raw_input_contents=[content])


async def test_triton_survives_callers_with_hardly_any_time_and_others_do_not_notice_them(path: WholePath) -> None:
    pid, seen, others = path.triton.pid, Counter[str](), Counter[str]()
    end_s = time.monotonic() + IMPATIENT_S
    async with grpc.aio.insecure_channel(path.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        impatient, patient = (service_pb2_grpc.GRPCInferenceServiceStub(each) for each in (channel, path.channel))
        await asyncio.gather(
            be_patient(patient, others, end_s), *(be_impatient(impatient, seen, end_s) for _ in range(CALLERS))
        )
    assert path.triton.pid == pid
    assert others["OK"] > 0
    assert seen["DEADLINE_EXCEEDED"] > 1000
    assert seen.keys() <= {"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "REFUSED"}


async def test_a_late_callers_answer_is_thrown_away_and_its_place_is_free_again(path: WholePath) -> None:
    stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(path.channel)
    (loaded,) = (version for model in path.replica.routes.models() for version in model.serving.values())
    batcher = path.replica.runtimes.of(loaded).batcher
    for _ in range(20):
        call = stub.ModelInfer(pictures(4), timeout=20)
        await eventually(lambda: batcher.batches_in_flight, description="it is at Triton", interval_s=0)
        call.cancel()
    await eventually(lambda: not batcher.busy, description="Triton has answered all of them")
    answer = await stub.ModelInfer(pictures(1), timeout=20)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32) == pytest.approx([7 / 16] * 3)
