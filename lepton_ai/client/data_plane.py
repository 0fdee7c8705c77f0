"""What a client asks of every inference replica for itself: how it runs models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.json_format import MessageToDict

from lepton_ai.client.connections import Connections
from lepton_ai.errors import LeptonError
from lepton_ai.references import parse_model_ref
from lepton_ai.v1 import inference_pb2, inference_pb2_grpc

T = TypeVar("T")


class DataPlane:
    """Calls of AsyncClient that go to all inference replicas."""

    _connections: Connections
    _timeout_s: float
    _proof: tuple[tuple[str, str], ...]

    async def paths(self, model: str) -> dict[str, dict[str, Any]]:
        """How each inference replica, by its address, runs MODEL: the paths of raw items with what was measured of
        them, and how batches are run; as in `DescribePathsResponse` of the contract.

        Raises what the replicas say when none of them answers, NotFound for a model that is not served.
        """
        request = inference_pb2.DescribePathsRequest(model=parse_model_ref(model))

        async def ask(channel: grpc.aio.Channel, left_s: float) -> inference_pb2.DescribePathsResponse:
            answer: inference_pb2.DescribePathsResponse = await inference_pb2_grpc.InferenceServiceStub(
                channel
            ).DescribePaths(request, timeout=left_s)
            return answer

        answers = await self._ask_each(ask)
        return {
            address: MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            for address, answer in answers.items()
        }

    async def cache_status(self, model: str = "") -> dict[str, inference_pb2.GetCacheStatusResponse]:
        """What each inference replica keeps of earlier answers, of all models or of one, by the replica's address.

        Raises what the replicas say when none of them answers.
        """
        request = inference_pb2.GetCacheStatusRequest(model=model)

        async def ask(channel: grpc.aio.Channel, left_s: float) -> inference_pb2.GetCacheStatusResponse:
            answer: inference_pb2.GetCacheStatusResponse = await inference_pb2_grpc.InferenceServiceStub(
                channel
            ).GetCacheStatus(request, timeout=left_s)
            return answer

        return await self._ask_each(ask)

    async def clear_cache(self, model: str = "") -> dict[str, int]:
        """Have all inference replicas forget what they keep, of all models or of one; returns the bytes by replica.

        Raises the error of a replica that could not be told, after the others have forgotten it.
        """
        request = inference_pb2.ClearCacheRequest(model=model)

        async def ask(channel: grpc.aio.Channel, left_s: float) -> int:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            return (await stub.ClearCache(request, timeout=left_s, metadata=self._proof)).bytes

        pool = await self._connections.open("inference")
        cleared: dict[str, int] = {}
        for address, answer in (await pool.call_each(ask, timeout_s=self._timeout_s)).items():
            if isinstance(answer, LeptonError):
                raise answer
            cleared[address] = answer
        return cleared

    async def _ask_each(self, ask: Callable[[grpc.aio.Channel, float], Awaitable[T]]) -> dict[str, T]:
        """The answers by replica. Raises the first error when no replica gives an answer."""
        pool = await self._connections.open("inference")
        answers = await pool.call_each(ask, timeout_s=self._timeout_s)
        found = {address: answer for address, answer in answers.items() if not isinstance(answer, LeptonError)}
        if not found:
            raise next(answer for answer in answers.values() if isinstance(answer, LeptonError))
        return found
