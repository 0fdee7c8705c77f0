"""Server reflection (grpc.reflection.v1alpha) whose streams end when the server drains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, cast

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from lepton_ai.mesh.serving.draining import until_set

SERVICE_NAME: str = reflection.SERVICE_NAME


class Reflection(reflection_pb2_grpc.ServerReflectionServicer):
    """Tells tools such as grpcurl which services there are and what their messages look like."""

    def __init__(self, service_names: Iterable[str], draining: asyncio.Event) -> None:
        # Typed by hand: the published stubs take its generator for a coroutine.
        self._answer: Callable[..., AsyncIterator[reflection_pb2.ServerReflectionResponse]]
        self._answer = cast(Any, reflection.aio.ReflectionServicer(service_names)).ServerReflectionInfo
        self._draining = draining

    async def ServerReflectionInfo(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[reflection_pb2.ServerReflectionRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        requests = until_set(request_iterator, self._draining)
        async for response in self._answer(requests, context):
            yield response
