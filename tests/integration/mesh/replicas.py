"""Real gRPC servers on loopback that answer as a test tells them to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.errors import abort
from lepton_ai.mesh.retry import REPEAT_KEY
from lepton_ai.mesh.serving.handlers import Layer, LayeredInterceptor

Answer = Callable[[bytes], Awaitable[bytes]]


class Replica(grpc.GenericRpcHandler):
    """One server with one method, /test.Echo/Say. Set `answer` to what it shall do; by default it echoes."""

    def __init__(self, layers: Sequence[Layer] = ()) -> None:
        self._interceptors = [LayeredInterceptor(layers)] if layers else []
        self.address = ""
        self.calls = 0
        self.notes: list[str] = []
        """What the calls said in their metadata under lepton-repeat."""
        self.under_way = 0
        self.answer: Answer = _echo
        self._server: grpc.aio.Server | None = None

    async def start(self, address: str = "127.0.0.1:0") -> None:
        self._server = grpc.aio.server(interceptors=self._interceptors, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))
        port = self._server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self, *, grace_s: float | None = None) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace_s)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._say)

    async def _say(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.calls += 1
        self.under_way += 1
        self.notes += [str(value) for key, value in context.invocation_metadata() or () if key == REPEAT_KEY]
        try:
            return await self.answer(request)
        except LeptonError as error:
            if self._interceptors:
                raise  # for the layers
            await abort(context, error)
        finally:
            self.under_way -= 1


async def say(channel: grpc.aio.Channel, timeout_s: float) -> bytes:
    """Call a replica; fits `ServicePool.call`."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Echo/Say")
    return await method(b"hello", timeout=timeout_s)


def failing(error: LeptonError) -> Answer:
    async def fail(_: bytes) -> bytes:
        raise error

    return fail


def slow(delay_s: float) -> Answer:
    async def answer(request: bytes) -> bytes:
        await asyncio.sleep(delay_s)
        return request

    return answer


async def _echo(request: bytes) -> bytes:
    return request


@contextlib.asynccontextmanager
async def running_replicas(count: int, layers: Sequence[Layer] = ()) -> AsyncIterator[list[Replica]]:
    replicas = [Replica(layers) for _ in range(count)]
    for replica in replicas:
        await replica.start()
    try:
        yield replicas
    finally:
        await asyncio.gather(*(replica.stop() for replica in replicas))
