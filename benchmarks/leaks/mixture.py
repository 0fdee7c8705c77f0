"""A mixture of requests: rows over all three protocols, photos computed and from the cache, refused and given up."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from benchmarks import cache, rows
from benchmarks.streams import Filling, ready_made
from lepton_ai.tensors import to_proto
from lepton_ai.v1 import common_pb2, inference_pb2

_OIP = "/inference.GRPCInferenceService/ModelInfer"
_PREDICT = "/lepton.v1.InferenceService/Predict"
_STREAM = "/lepton.v1.InferenceService/PredictStream"
_TIMEOUT_S = 30.0
_STREAMED = 64
"""Requests of a stream."""
_PATIENCE_S = (0.0, 0.005)
"""How soon a call is given up."""
_SEED = 11
_EXPECTED = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})

_Unary: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
_Stream: TypeAlias = "grpc.aio.StreamStreamMultiCallable[bytes, bytes]"


@dataclass(frozen=True)
class Kind:
    """One kind of request."""

    share: int
    """How often it comes, in comparison."""
    requests: int
    """That one call of it makes."""
    call: Callable[[], Awaitable[object]]


class Mixture:
    """Callers that take one kind after the other at random until so many requests were made."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.made: Counter[str] = Counter()
        """Requests by kind."""
        self._kinds = kinds
        self._dice = random.Random(_SEED)

    @property
    def requests(self) -> int:
        """Made so far."""
        return self.made.total()

    async def run(self, requests: int, *, callers: int) -> None:
        """Make them. A failure that its kind does not expect ends it."""

        async def caller() -> None:
            names, weights = list(self._kinds), [kind.share for kind in self._kinds.values()]
            while self.requests < requests:
                (name,) = self._dice.choices(names, weights)
                self.made[name] += self._kinds[name].requests
                await self._kinds[name].call()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(caller())


def kinds(channel: grpc.aio.Channel, photos: Sequence[bytes]) -> Mapping[str, Kind]:
    """What is made to the platform's inference service, as ready-made bytes."""
    infer: _Unary = channel.unary_unary(_OIP)
    predict: _Unary = channel.unary_unary(_PREDICT)
    stream: _Stream = channel.stream_stream(_STREAM)
    turn = _Turn(photos)
    messages = ready_made(Filling(1, 1), rows.NAME, rows.WIDTH)[:_STREAMED]
    row, wrong = _row(rows.NAME, rows.WIDTH), _row(rows.NAME, rows.WIDTH + 1)
    return {
        "rows, Open Inference Protocol": Kind(700, 1, lambda: infer(row, timeout=_TIMEOUT_S)),
        "rows, Predict": Kind(150, 1, lambda: predict(_predicted(rows.NAME), timeout=_TIMEOUT_S)),
        "rows, PredictStream": Kind(3, _STREAMED, lambda: _streamed(stream, messages)),
        "refused: wrong shape": Kind(30, 1, lambda: _refused(infer(wrong, timeout=_TIMEOUT_S))),
        "refused: no such model": Kind(20, 1, lambda: _refused(predict(_predicted("nobody"), timeout=_TIMEOUT_S))),
        "given up": Kind(40, 1, lambda: _given_up(infer(row, timeout=_TIMEOUT_S))),
        "photos from the cache": Kind(20, 1, lambda: predict(turn.photo(), timeout=_TIMEOUT_S)),
        "photos": Kind(2, 1, lambda: predict(turn.photo(computed=True), timeout=_TIMEOUT_S)),
    }


class _Turn:
    """One photo after the other."""

    def __init__(self, photos: Sequence[bytes]) -> None:
        self._photos = photos
        self._number = 0

    def photo(self, *, computed: bool = False) -> bytes:
        self._number += 1
        policy = inference_pb2.CACHE_POLICY_BYPASS if computed else inference_pb2.CACHE_POLICY_UNSPECIFIED
        value = common_pb2.Value(data=self._photos[self._number % len(self._photos)])
        return inference_pb2.PredictRequest(
            model=common_pb2.ModelRef(name=cache.NAME),
            items=[common_pb2.Item(inputs={"photo": value})],
            options=inference_pb2.PredictOptions(cache=policy),
        ).SerializeToString()


def _row(model: str, width: int) -> bytes:
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="x", datatype="FP32", shape=[1, width])
    request.raw_input_contents.append(np.zeros(width, np.float32).tobytes())
    encoded: bytes = request.SerializeToString()
    return encoded


def _predicted(model: str) -> bytes:
    tensor = to_proto("x", np.zeros((1, rows.WIDTH), np.float32))
    return inference_pb2.PredictRequest(model=common_pb2.ModelRef(name=model), tensors=[tensor]).SerializeToString()


async def _streamed(stream: _Stream, messages: Sequence[bytes]) -> None:
    call = stream(iter(messages), timeout=_TIMEOUT_S)
    answers = [inference_pb2.PredictStreamResponse.FromString(answer) async for answer in call]
    if len(answers) != len(messages) or any(answer.HasField("error") for answer in answers):
        raise RuntimeError("A stream was not answered.")


async def _refused(call: grpc.aio.UnaryUnaryCall[bytes, bytes]) -> None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() in _EXPECTED:
            return
        raise
    raise RuntimeError("A wrong request was answered.")


async def _given_up(call: grpc.aio.UnaryUnaryCall[bytes, bytes]) -> None:
    await asyncio.wait((asyncio.ensure_future(_ended(call)),), timeout=random.uniform(*_PATIENCE_S))
    call.cancel()


async def _ended(call: grpc.aio.UnaryUnaryCall[bytes, bytes]) -> None:
    await call.code()
