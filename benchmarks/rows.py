"""Small rows ([1,16] floats): the price of a hop through Lepton, beside calling its Triton directly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import numpy as np
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.load import Call, Measurement, closed_loop
from benchmarks.report import Report
from benchmarks.streams import measure_streams
from benchmarks.usage import cpu_seconds
from lepton_ai.package import write_package
from lepton_ai.tensors import to_proto
from lepton_ai.v1 import common_pb2, inference_pb2, inference_pb2_grpc
from tests.platform import Platform

NAME = "rows"
WIDTH = 16
_IN_TRITON = f"{NAME}--v1"
_CALLERS = (1, 8, 32)


def write(directory: Path, *, name: str = NAME, instances: int = 0) -> Path:
    """A package whose model hands its rows back; 0 instances: as many as suit the machine."""
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "rows", sides[:1], sides[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    description = {
        "format": 1,
        "name": name,
        "instances": instances,
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, WIDTH]}],
        "outputs": [{"name": "y", "dtype": "FP32", "shape": [-1, WIDTH]}],
        "max_batch_size": 64,
    }
    write_package(directory, description, {"model.onnx": model.SerializeToString()})
    return directory


async def measure(platform: Platform, *, seconds: float) -> list[Report]:
    """Every way of calling at every number of callers."""
    inference = platform.state.addresses["inference"].split(",")[0]
    async with (
        grpc.aio.insecure_channel(inference) as lepton,
        grpc.aio.insecure_channel(platform.state.addresses["triton"]) as triton,
    ):
        rows = []
        for callers in _CALLERS:
            direct = await _measure(platform, _oip(triton, _IN_TRITON), callers, seconds)
            through = await _measure(platform, _oip(lepton, NAME), callers, seconds)
            async with _Stream(lepton) as stream:
                streamed = await _measure(platform, stream.call, callers, seconds)
            rows += _rows(callers, direct, through, streamed)

        async def triton_per_s() -> float:
            measured = await closed_loop(_oip(triton, _IN_TRITON), callers=_CALLERS[-1], seconds=seconds)
            return measured.per_s

        over_stream = await measure_streams(platform, lepton, triton_per_s, NAME, WIDTH, seconds=seconds)
    columns = ("[1,16] floats", "callers", "requests/s", "ratio", "p50 ms", "µs a hop", "CPU s per 1,000")
    note = "µs a hop: p50 beyond that of calling Triton directly. Triton runs the model in its Python backend."
    return [Report("Small rows", columns, rows, note), over_stream]


_Measured = tuple[Measurement, float]


async def _measure(platform: Platform, call: Call, callers: int, seconds: float) -> _Measured:
    before_s = cpu_seconds(platform)
    measured = await closed_loop(call, callers=callers, seconds=seconds)
    used_s = cpu_seconds(platform) - before_s
    return measured, used_s / (measured.per_s * (seconds + 1.0)) * 1000


def _rows(callers: int, direct: _Measured, through: _Measured, streamed: _Measured) -> list[Sequence[str]]:
    named = (("Triton directly", direct), ("Open Inference pass-through", through), ("PredictStream", streamed))
    return [
        [
            name,
            str(callers),
            f"{measured.per_s:,.0f}",
            f"{measured.per_s / direct[0].per_s:.2f}",
            f"{measured.p50_ms:.2f}",
            "–" if measured is direct[0] else f"{(measured.p50_ms - direct[0].p50_ms) * 1e3:.0f}",
            f"{cpu_s:.2f}",
        ]
        for name, (measured, cpu_s) in named
    ]


def _oip(channel: grpc.aio.Channel, model: str) -> Call:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="x", datatype="FP32", shape=[1, WIDTH])
    request.raw_input_contents.append(np.arange(WIDTH, dtype=np.float32).tobytes())

    async def call(_number: int) -> object:
        return await stub.ModelInfer(request, timeout=30)

    return call


class _Stream:
    """One PredictStream that all callers share; answers find their caller by request id."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = inference_pb2_grpc.InferenceServiceStub(channel)
        self._outgoing: asyncio.Queue[inference_pb2.PredictStreamRequest | None] = asyncio.Queue()
        self._waiting: dict[str, asyncio.Future[inference_pb2.PredictStreamResponse]] = {}
        self._sent = 0

    async def __aenter__(self) -> _Stream:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._outgoing.put_nowait(None)
        await self._reader

    async def call(self, _number: int) -> object:
        self._sent += 1
        request = inference_pb2.PredictRequest(
            model=common_pb2.ModelRef(name=NAME),
            tensors=[to_proto("x", np.zeros((1, WIDTH), np.float32))],
            request_id=str(self._sent),
        )
        answer: asyncio.Future[inference_pb2.PredictStreamResponse] = asyncio.get_running_loop().create_future()
        self._waiting[request.request_id] = answer
        self._outgoing.put_nowait(inference_pb2.PredictStreamRequest(request=request))
        outcome = await answer
        if outcome.WhichOneof("outcome") == "error":
            raise RuntimeError(outcome.error.message)
        return outcome

    async def _read(self) -> None:
        async for answer in self._stub.PredictStream(self._requests()):
            self._waiting.pop(answer.request_id).set_result(answer)

    async def _requests(self) -> AsyncIterator[inference_pb2.PredictStreamRequest]:
        while (request := await self._outgoing.get()) is not None:
            yield request
