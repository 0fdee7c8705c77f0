"""The data plane behind both APIs on a real gRPC server; Triton and the preprocess service are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from lepton_ai.mesh.tracing import Tracing
from lepton_ai.testing import running
from services.inference.api import servicer
from services.inference.backpressure import StreamRoom
from services.inference.oip import servicer as oip
from services.inference.paths.path import Path
from services.inference.preprocessing.streams import Preprocessing
from services.inference.streaming import Streaming
from services.inference.version import LoadedVersion
from tests.unit.inference.colours import DataPlane, data_plane
from tests.unit.inference.parts import NO_TRACING


@dataclass(frozen=True)
class ServedColours:
    address: str
    channel: grpc.aio.Channel
    plane: DataPlane
    draining: asyncio.Event


@asynccontextmanager
async def served_colours(
    *versions: LoadedVersion,
    tracing: Tracing = NO_TRACING,
    preprocessing: Preprocessing | None = None,
    max_in_flight: int = 16,
    max_stream_rows: int = 256,
) -> AsyncIterator[ServedColours]:
    plane = await data_plane(*versions, tracing=tracing, preprocessing=preprocessing, path=Path.REMOTE)
    draining = asyncio.Event()
    streaming = Streaming(tracing, draining, StreamRoom(max_stream_rows), timeout_s=5.0, max_in_flight=max_in_flight)
    native = servicer.InferenceServicer(plane.predictor, caches=plane.caches, streaming=streaming)
    open_inference = oip.OpenInferenceServicer(
        plane.predictor, plane.routes, plane.runtimes, lambda: True, version="1.2.3", streaming=streaming
    )
    async with running(
        (servicer.InferenceServicer.add_to, native, servicer.SERVICE_NAME),
        (add_GRPCInferenceServiceServicer_to_server, open_inference, oip.SERVICE_NAME),
        tracing=tracing,
    ) as server:
        yield ServedColours(server.address, server.channel, plane, draining)
