"""An inference replica on the real etcd, Triton, preprocess process and trace store; only the registry is a fake."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from onnx import TensorProto, helper

from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd
from lepton_ai.mesh.discovery.etcd import EtcdStore
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.package import Package, write_package
from lepton_ai.testing import eventually
from lepton_ai.testing.running_triton import LocalTriton, running_triton
from lepton_ai.traces.process import Addresses, TraceStoreProcess
from lepton_ai.traces.settings import TraceStoreSettings
from services.inference.paths.path import Path as ItemPath
from services.inference.settings import InferenceSettings
from services.inference.triton.client import Triton
from services.inference.wiring import Connections, InferenceReplica
from tests.replica import FakeRegistry
from tests.unit.inference.colours import COLOURS, GREEN, PIPELINE, POSTPROCESS, RED

ROOT = Path(__file__).parents[3]


def colours_model(scale: float = 1 / 16) -> bytes:
    """logits = mean colour of the picture · scale, as an ONNX file."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 8, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor("scale", TensorProto.FLOAT, [1], [scale])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def colours_package(directory: Path, *, scale: float = 1 / 16, **changes: Any) -> Package:
    golden = [
        {"inputs": {"photo": f"{name}.png"}, "expect": {"label": label}}
        for name, label in (("red", COLOURS[0]), ("green", COLOURS[1]))
    ]
    document = {
        "format": 1,
        "name": "colours",
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "image", "dtype": "UINT8", "shape": [-1, 8, 8, 3]}],
        "outputs": [{"name": "logits", "dtype": "FP32", "shape": [-1, 3]}],
        "max_batch_size": 4,
        "preprocess": PIPELINE,
        "postprocess": POSTPROCESS,
        "golden": golden,
        **changes,
    }
    labels = "\n".join(COLOURS).encode()
    files = {"model.onnx": colours_model(scale), "labels.txt": labels, "red.png": RED, "green.png": GREEN}
    return write_package(directory, document, files)


@dataclass(frozen=True)
class WholePath:
    channel: grpc.aio.Channel
    address: str
    replica: InferenceReplica
    traces: Addresses
    triton: LocalTriton
    etcd: LocalEtcd
    registry: FakeRegistry


@asynccontextmanager
async def whole_path(
    directory: Path, *, package: Package | None = None, item_path: ItemPath | None = None, **settings: Any
) -> AsyncIterator[WholePath]:
    """`settings` of the inference service that differ from the usual ones."""
    async with AsyncExitStack() as stack:
        etcd = await stack.enter_async_context(running_etcd(directory / "etcd"))
        traces = await stack.enter_async_context(_trace_store(directory))
        triton = await stack.enter_async_context(
            running_triton(directory / "triton", otlp_http_address=traces.otlp_http)
        )
        await stack.enter_async_context(_preprocess_process(etcd.address, traces.grpc))
        store = EtcdStore(etcd.address)
        stack.push_async_callback(store.close)
        registry = FakeRegistry(store)
        registry.push(package or colours_package(directory / "package"))
        await registry.deploy("colours", 1)
        server, replica = await stack.enter_async_context(
            _replica(_settings(directory, etcd, traces, triton, item_path).model_copy(update=settings), store, registry)
        )
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield WholePath(channel, server.address, replica, traces, triton, etcd, registry)


def _settings(
    directory: Path, etcd: LocalEtcd, traces: Addresses, triton: LocalTriton, item_path: ItemPath | None
) -> InferenceSettings:
    return InferenceSettings(
        etcd_address=etcd.address,
        triton_address=triton.address,
        otlp_endpoint=traces.grpc,
        model_repository=triton.model_repository,
        cache_dir=directory / "cache",
        trace_ratio=0.0,
        propagation_s=0.0,
        ready_after_s=30.0,
        path=item_path,
    )


@asynccontextmanager
async def _replica(
    settings: InferenceSettings, store: EtcdStore, registry: FakeRegistry
) -> AsyncIterator[tuple[Server, InferenceReplica]]:
    """What `services.inference.__main__` does, with a registry of our own."""
    tracing, metrics = Tracing.create("inference", settings), Metrics("inference")
    opened = await Connections.open(store, Triton(settings.triton_address), settings, tracing)
    connections = replace(opened, registry=registry)
    server = Server("inference", settings, state=store, tracing=tracing, metrics=metrics)
    replica = InferenceReplica(server, settings, connections, tracing=tracing, metrics=metrics)
    try:
        await server.start()
        await eventually(lambda: opened.preprocess.addresses, timeout_s=30, description="preprocess is found in etcd")
        await replica.start()
        await server.ready()
        yield server, replica
    finally:
        await server.drain()
        await connections.close()
        await asyncio.to_thread(tracing.shutdown)


@asynccontextmanager
async def _trace_store(directory: Path) -> AsyncIterator[Addresses]:
    process = TraceStoreProcess(TraceStoreSettings(db=directory / "spans.sqlite"))
    try:
        yield await process.start()
    finally:
        await process.stop()


@asynccontextmanager
async def _preprocess_process(etcd_address: str, otlp_endpoint: str) -> AsyncIterator[None]:
    environment: dict[str, Any] = {
        "PATH": os.environ["PATH"],
        "LEPTON_ETCD_ADDRESS": etcd_address,
        "LEPTON_OTLP_ENDPOINT": otlp_endpoint,
        "LEPTON_PROPAGATION_S": "0",
        "LEPTON_LOG_LEVEL": "WARNING",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.preprocess", cwd=ROOT, env=environment
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
