"""Callers with marked rows, one for each way into the platform, who cancel, run late and check every row they get."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lepton_ai import AsyncClient
from lepton_ai.errors import DeadlineExceeded, LeptonError, ResourceExhausted, Unavailable
from lepton_ai.mesh.errors import from_rpc_error, from_status
from lepton_ai.tensors import Array, from_proto, to_proto
from lepton_ai.v1 import common_pb2, inference_pb2, inference_pb2_grpc
from tests.chaos.marked_rows import WIDTH, MarkedRows, check_rows

_HASTY_S = (0.001, 0.004, 0.015, 0.05)
"""Deadlines and times until a caller gives up, of which some are far too short."""
_PATIENT_S = 15.0
_HASTE = 0.08
"""Share of the calls with such a deadline, and of those that are given up."""
_AFTER_FAILURE_S = 0.02
_REQUESTS_A_MESSAGE = 16
_MESSAGES_A_STREAM = 24


@dataclass
class ServedModel:
    """A model as its callers know it: what its versions multiply with, and which of them may answer now."""

    name: str
    factors: dict[int, float]
    repeats: bool = False
    """Whether its callers ask for the same rows again, as its answers are kept."""
    _eras: list[frozenset[int]] = field(default_factory=lambda: [frozenset({1})])

    @property
    def era(self) -> int:
        """Names this moment, for `factor`."""
        return len(self._eras) - 1

    def may_answer(self, *versions: int) -> None:
        """From now on calls are answered by these."""
        self._eras.append(frozenset(versions))

    def factor(self, version: int, era: int) -> float:
        """What the rows of an answer were multiplied with. Raises AssertionError for the answer of a version that did
        not serve at any time since that moment."""
        assert any(version in versions for versions in self._eras[era:]), f"version {version} of {self.name} is old"
        return self.factors[version]


@dataclass
class Tally:
    """What became of all calls together."""

    calls: int = 0
    """Answered, with requests of streams."""
    rows: int = 0
    """In these answers, each checked."""
    cached_rows: int = 0
    rows_by_way: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    """By kind; of those that faults do not explain, by what they say."""
    cancelled: int = 0

    def failed(self, error: LeptonError) -> None:
        """Count a call or a row that failed."""
        is_known = isinstance(error, DeadlineExceeded | Unavailable | ResourceExhausted)
        self.failures[type(error).__name__ if is_known else repr(error)] += 1

    def answered(self, way: str, rows: int, version: int, cached_rows: int = 0) -> None:
        """Count rows that were checked."""
        self.calls += 1
        self.rows += rows
        self.cached_rows += cached_rows
        self.rows_by_way[way] += rows
        self.versions[version] += rows


class RowCallers:
    """Calls until it is told to end; the first row that is not its caller's own ends everything."""

    def __init__(self, *, seed: int) -> None:
        self.tally = Tally()
        self._marks = MarkedRows()
        self._dice = random.Random(seed)
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, call: Callable[[random.Random], Awaitable[None]], *, callers: int = 1) -> None:
        """Have `call` made again and again, by so many callers."""
        for _ in range(callers):
            dice = random.Random(self._dice.random())
            self._tasks.append(asyncio.create_task(self._keep_calling(call, dice)))

    async def more(self, rows: int, *, timeout_s: float) -> None:
        """Wait until so many more rows were answered. Raises what a caller found wrong."""
        wanted = self.tally.rows + rows
        async with asyncio.timeout(timeout_s):
            while self.tally.rows < wanted:
                done, _ = await asyncio.wait(self._tasks, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()

    async def end(self) -> None:
        """Let everybody finish the call it is in. Raises what a caller found wrong."""
        self._ended = True
        async with asyncio.timeout(2 * _PATIENT_S):
            await asyncio.gather(*self._tasks)

    def predict(self, client: AsyncClient, model: ServedModel, *, max_rows: int) -> Callable[..., Awaitable[None]]:
        """Unary calls of the SDK, which hedges them and makes them again."""

        async def call(dice: random.Random) -> None:
            sent, era = self._rows(model, dice, max_rows), model.era
            answer = await client.infer(model.name, {"x": sent}, timeout_s=_time(dice))
            check_rows(sent, answer.tensors["y"], model.factor(answer.version, era))
            self.tally.answered("Predict", len(sent), answer.version, answer.cached_rows)

        return self._sometimes_cancelled(call)

    def predict_many(self, client: AsyncClient, model: ServedModel) -> Callable[..., Awaitable[None]]:
        """Streams of raw items, which go through the model's pipeline."""

        async def call(dice: random.Random) -> None:
            sent = self._rows(model, dice, 500)
            answered = 0
            asked: Any = client.predict_many(model.name, list(sent), timeout_s=_time(dice))
            async with aclosing(asked) as predictions:
                async for prediction in predictions:
                    if prediction.error is not None:
                        self.tally.failed(prediction.error)
                    else:
                        check_rows(sent[answered][None], prediction.outputs["y"][None], model.factors[1])
                        self.tally.answered("predict_many", 1, 1)
                    answered += 1
            assert answered == len(sent)

        return self._sometimes_cancelled(call)

    def model_infer(
        self, channels: Sequence[grpc.aio.Channel], model: ServedModel, *, max_rows: int
    ) -> Callable[..., Awaitable[None]]:
        """ModelInfer of the Open Inference Protocol, at either replica."""
        stubs = [service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in channels]

        async def call(dice: random.Random) -> None:
            sent, era = self._rows(model, dice, max_rows), model.era
            request = service_pb2.ModelInferRequest(model_name=model.name, raw_input_contents=[sent.tobytes()])
            request.inputs.add(name="x", datatype="FP32", shape=sent.shape)
            answer: Any = await dice.choice(stubs).ModelInfer(request, timeout=_time(dice))
            rows = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(-1, WIDTH)
            version = int(answer.model_version)
            check_rows(sent, rows, model.factor(version, era))
            self.tally.answered("ModelInfer", len(sent), version)

        return self._sometimes_cancelled(call)

    def predict_stream(
        self, channels: Sequence[grpc.aio.Channel], model: ServedModel, *, max_rows: int
    ) -> Callable[..., Awaitable[None]]:
        """PredictStream with many requests a message, at either replica; their answers come out of order."""
        stubs = [inference_pb2_grpc.InferenceServiceStub(channel) for channel in channels]

        async def call(dice: random.Random) -> None:
            under_way: dict[str, tuple[Array, int]] = {}

            async def messages() -> Any:
                for message in range(_MESSAGES_A_STREAM):
                    requests = []
                    for number in range(_REQUESTS_A_MESSAGE):
                        sent = self._rows(model, dice, max_rows)
                        request_id = f"{message}-{number}"
                        under_way[request_id] = sent, model.era
                        requests.append(_stream_request(model.name, sent, request_id, _time(dice)))
                    yield inference_pb2.PredictStreamRequest(requests=requests)

            async for message in dice.choice(stubs).PredictStream(messages(), timeout=2 * _PATIENT_S):
                for answer in message.responses or (message,):
                    self._take(answer, *under_way.pop(answer.request_id), model)
            assert not under_way, f"{len(under_way)} requests of a stream that ended well have no answer"

        return self._sometimes_cancelled(call)

    def _take(self, answer: Any, sent: Array, era: int, model: ServedModel) -> None:
        if answer.HasField("error"):
            self.tally.failed(from_status(answer.error))
            return
        response = answer.response
        check_rows(sent, from_proto(response.tensors[0]), model.factor(response.model_version, era))
        self.tally.answered("PredictStream", len(sent), response.model_version, response.cached_rows)

    def _rows(self, model: ServedModel, dice: random.Random, max_rows: int) -> Array:
        count = dice.randint(1, dice.choice((4, max_rows // 10, max_rows)))
        return self._marks.mixed(count, dice) if model.repeats else self._marks.fresh(count)

    def _sometimes_cancelled(
        self, call: Callable[[random.Random], Awaitable[None]]
    ) -> Callable[[random.Random], Awaitable[None]]:
        async def cancelled(dice: random.Random) -> None:
            task = asyncio.ensure_future(call(dice))
            if dice.random() < _HASTE:
                await asyncio.wait([task], timeout=dice.choice(_HASTY_S))
                if task.cancel():
                    self.tally.cancelled += 1
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

        return cancelled

    async def _keep_calling(self, call: Callable[[random.Random], Awaitable[None]], dice: random.Random) -> None:
        while not self._ended:
            try:
                await call(dice)
            except (LeptonError, grpc.aio.AioRpcError) as error:
                self.tally.failed(from_rpc_error(error) if isinstance(error, grpc.aio.AioRpcError) else error)
                await asyncio.sleep(_AFTER_FAILURE_S)


def _stream_request(model: str, rows: Array, request_id: str, timeout_s: float) -> inference_pb2.PredictStreamRequest:
    return inference_pb2.PredictStreamRequest(
        request=inference_pb2.PredictRequest(
            model=common_pb2.ModelRef(name=model), tensors=[to_proto("x", rows)], request_id=request_id
        ),
        timeout_us=round(timeout_s * 1e6),
    )


def _time(dice: random.Random) -> float:
    return dice.choice(_HASTY_S) if dice.random() < _HASTE else _PATIENT_S
