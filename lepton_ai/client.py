"""The client of a Lepton platform: push, deploy and predict. `Client` blocks, `AsyncClient` is for asyncio.

with Client() as lepton:
    lepton.push("efficientnet-lite0/")
    lepton.deploy("efficientnet-lite0")
    print(lepton.predict("efficientnet-lite0", "cat.jpg").labels[0].name)
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
import numpy.typing as npt

from lepton_ai.addresses import Addresses, find_addresses, split_addresses
from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, NotFound
from lepton_ai.mesh.calling.pool import ServicePool, channel_options
from lepton_ai.mesh.discovery.endpoints import fixed_endpoints
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.tracing import TRACE_ID_TRAILER, Tracing, client_interceptors
from lepton_ai.package.transfer import OnProgress, read_chunks, write_chunks
from lepton_ai.prediction import Answer, Input, Prediction, to_answer, to_item
from lepton_ai.references import parse_model_ref
from lepton_ai.tensors import to_proto
from lepton_ai.v1 import (
    health_pb2,
    health_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)

T = TypeVar("T")

_OPTIONS = channel_options(64 << 20)
_PUSH_TIMEOUT_S = 600.0


class _TraceSettings:
    def __init__(self, otlp_endpoint: str, ratio: float) -> None:
        self.otlp_endpoint = otlp_endpoint or None
        self.trace_ratio = ratio


class AsyncClient:
    """Talks to a platform from asyncio code. Make one and keep it: it holds the connections."""

    def __init__(
        self, addresses: Addresses | None = None, *, timeout_s: float = 30.0, trace_ratio: float = 0.0
    ) -> None:
        """Without addresses: those in LEPTON_INFERENCE_ADDRESS and its like, else the stack that runs on this machine.

        `trace_ratio` is the share of calls that are traced from here on; others are traced as the platform decides.
        """
        self.addresses = find_addresses(addresses or Addresses(), environ=os.environ)
        self._timeout_s = timeout_s
        self._tracing = Tracing.create("client", _TraceSettings(self.addresses.otlp, trace_ratio))
        self._traces = trace_ratio > 0
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._inference: ServicePool | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections and send the last spans."""
        if self._inference is not None:
            await self._inference.close()
            self._inference = None
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()
        await asyncio.to_thread(self._tracing.shutdown)

    async def predict(self, model: str, value: Input, *, top_k: int = 0, timeout_s: float | None = None) -> Prediction:
        """The model's answer for one example: a file, bytes, a text, a number, or a mapping of inputs by name.

        `model` is NAME, NAME@VERSION or NAME@ALIAS. Raises LeptonError: the class says what kind of problem it is.
        """
        answer = await self.predict_batch(model, [value], top_k=top_k, timeout_s=timeout_s)
        return answer.predictions[0]

    async def predict_batch(
        self,
        model: str,
        values: Sequence[Input],
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Answer:
        """Answers for several examples in one call; an example that fails has its `error`, the others are answered.

        A call with a single example raises instead.
        """
        request = inference_pb2.PredictRequest(model=parse_model_ref(model), items=[to_item(value) for value in values])
        request.options.top_k = top_k
        request.options.outputs.extend(outputs)
        return await self._predict(request, timeout_s)

    async def infer(
        self, model: str, tensors: Mapping[str, npt.ArrayLike], *, timeout_s: float | None = None
    ) -> Answer:
        """Run the model on ready tensors, one for each of its inputs, whose first dimension is the batch."""
        request = inference_pb2.PredictRequest(model=parse_model_ref(model))
        request.tensors.extend(to_proto(name, array) for name, array in tensors.items())
        return await self._predict(request, timeout_s)

    async def push(self, directory: Path | str, *, on_progress: OnProgress | None = None) -> registry_pb2.ModelVersion:
        """Upload a package as the next version of its model; content that is there already is not sent again."""
        from lepton_ai.package import Package  # needs nothing that a client which only predicts lacks, but time

        package = await asyncio.to_thread(Package.read, Path(directory))
        manifest = package.manifest()
        request = registry_pb2.FindMissingFilesRequest(sha256=[file.sha256 for file in manifest.files])
        registry = registry_pb2_grpc.RegistryServiceStub(self._channel("registry"))
        missing = await _explained(registry.FindMissingFiles(request, timeout=self._timeout_s))
        wanted = set(missing.sha256)
        paths = {file.sha256: package.path(file.path) for file in manifest.files if file.sha256 in wanted}

        async def messages() -> AsyncIterator[registry_pb2.PushVersionRequest]:
            yield registry_pb2.PushVersionRequest(manifest=manifest)
            async for chunk in read_chunks(paths, on_progress):
                yield registry_pb2.PushVersionRequest(chunk=chunk)

        pushed = await _explained(registry.PushVersion(messages(), timeout=_PUSH_TIMEOUT_S))
        return pushed.version

    async def download(self, model: str, file: str, path: Path | str) -> Path:
        """Fetch a file of a pushed version (NAME: the newest) from the registry to `path`, whole or not at all.

        Raises NotFound for a version that does not exist or has no such file, DataLoss when the registry's is damaged.
        """
        registry = registry_pb2_grpc.RegistryServiceStub(self._channel("registry"))
        request = registry_pb2.GetVersionRequest(model=parse_model_ref(model))
        version = await _explained(registry.GetVersion(request, timeout=self._timeout_s))
        found = next((each for each in version.manifest.files if each.path == file), None)
        if found is None:
            names = ", ".join(each.path for each in version.manifest.files[:20])
            raise NotFound(
                f"{version.model}@{version.version} has no {file}.", reason="NO_SUCH_FILE", fix=f"It has {names}."
            )
        chunks = registry.DownloadFile(registry_pb2.DownloadFileRequest(sha256=found.sha256), timeout=_PUSH_TIMEOUT_S)
        return await _explained(write_chunks(Path(path), found, chunks))

    async def deploy(self, model: str, *, wait_s: float = 60.0) -> registry_pb2.Deployment:
        """Serve a version (NAME: the newest) and wait until predictions work; `wait_s` 0 only asks for it.

        Raises FailedPrecondition when the version cannot be served, DeadlineExceeded when it takes longer.
        """
        registry = registry_pb2_grpc.RegistryServiceStub(self._channel("registry"))
        request = registry_pb2.DeployRequest(model=parse_model_ref(model))
        deployment = await _explained(registry.Deploy(request, timeout=self._timeout_s))
        if wait_s > 0:
            await self._wait_until_served(deployment, wait_s)
        return deployment

    async def undeploy(self, model: str) -> None:
        """Take a model out of service; its versions stay in the registry."""
        registry = registry_pb2_grpc.RegistryServiceStub(self._channel("registry"))
        await _explained(registry.Undeploy(registry_pb2.UndeployRequest(model=model), timeout=self._timeout_s))

    async def models(self, name: str = "") -> Sequence[registry_pb2.Model]:
        """All models with their versions, or one of them. Raises NotFound for a name that does not exist."""
        registry = registry_pb2_grpc.RegistryServiceStub(self._channel("registry"))
        request = registry_pb2.ListModelsRequest(name=name)
        return (await _explained(registry.ListModels(request, timeout=self._timeout_s))).models

    async def status(self) -> health_pb2.PlatformStatus:
        """What is up, what is served and whether predictions work."""
        health = health_pb2_grpc.HealthServiceStub(self._channel("health"))
        return await _explained(health.GetStatus(health_pb2.GetStatusRequest(), timeout=self._timeout_s))

    async def _predict(self, request: inference_pb2.PredictRequest, timeout_s: float | None) -> Answer:
        async def predict(channel: grpc.aio.Channel, left_s: float) -> Answer:
            call = inference_pb2_grpc.InferenceServiceStub(channel).Predict(request, timeout=left_s)
            response = await call
            trailing = dict(await call.trailing_metadata() or ())
            trace_id = trailing.get(TRACE_ID_TRAILER, "")
            return to_answer(response, trace_id=trace_id if isinstance(trace_id, str) else trace_id.decode())

        pool = await self._open_inference()
        return await pool.call(predict, timeout_s=self._timeout_s if timeout_s is None else timeout_s)

    async def _wait_until_served(self, deployment: registry_pb2.Deployment, wait_s: float) -> None:
        wanted = deployment.routes[0].targets[0].version
        health = health_pb2_grpc.HealthServiceStub(self._channel("health"))
        message = ""
        statuses = health.WatchStatus(health_pb2.WatchStatusRequest(), timeout=wait_s)
        try:
            async for status in statuses:
                found = next((model for model in status.models if model.name == deployment.model), None)
                if found is None or found.production_version != wanted:
                    continue
                message = found.message
                if found.condition == health_pb2.CONDITION_HEALTHY and found.last_probe.model_version == wanted:
                    return
                _raise_if_failed(found, wanted)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise from_rpc_error(error) from error
        finally:
            statuses.cancel()
        raise DeadlineExceeded(
            f"{deployment.model} version {wanted} is not served after {wait_s:g} s. {message}".rstrip(),
            fix="It is still being worked on: see `lepton health`, or wait longer.",
        )

    async def _open_inference(self) -> ServicePool:
        """The inference replicas: a call goes to the best of them, and to another one when it fails there."""
        if self._inference is None:
            address = self._address("inference")
            replicas = split_addresses(address)
            # With several the spans of the pool's calls cannot say which one was called.
            interceptors = self._interceptors(replicas[0] if len(replicas) == 1 else None)
            pool = ServicePool("inference", fixed_endpoints("inference", replicas), interceptors=interceptors)
            # Set before the first await, so that calls made at the same time share one pool.
            self._inference = pool
            await pool.start()
        return self._inference

    def _channel(self, service: str) -> grpc.aio.Channel:
        if service not in self._channels:
            address = self._address(service)
            interceptors = self._interceptors(address)
            self._channels[service] = grpc.aio.insecure_channel(address, options=_OPTIONS, interceptors=interceptors)
        return self._channels[service]

    def _interceptors(self, address: str | None) -> Sequence[grpc.aio.ClientInterceptor]:
        return client_interceptors(self._tracing.tracer, address=address) if self._traces else ()

    def _address(self, service: str) -> str:
        address: str = getattr(self.addresses, service)
        if not address:
            raise NotFound(
                f"No address of the {service} service is known.",
                fix=f"Start a stack with `lepton up`, or set LEPTON_{service.upper()}_ADDRESS=HOST:PORT.",
            )
        return address


class Client:
    """The same for code that is not asyncio: every call blocks until it is done. Safe to use from several threads."""

    def __init__(
        self, addresses: Addresses | None = None, *, timeout_s: float = 30.0, trace_ratio: float = 0.0
    ) -> None:
        """See AsyncClient."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lepton-client", daemon=True)
        self._thread.start()
        try:
            self._client = self._run(_make(addresses, timeout_s, trace_ratio))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def addresses(self) -> Addresses:
        """Where this client's platform is."""
        return self._client.addresses

    def close(self) -> None:
        """Close all connections."""
        if not self._loop.is_closed():
            self._run(self._client.close())
            self._stop()

    def predict(self, model: str, value: Input, *, top_k: int = 0, timeout_s: float | None = None) -> Prediction:
        """See AsyncClient.predict."""
        return self._run(self._client.predict(model, value, top_k=top_k, timeout_s=timeout_s))

    def predict_batch(
        self,
        model: str,
        values: Sequence[Input],
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Answer:
        """See AsyncClient.predict_batch."""
        call = self._client.predict_batch(model, values, top_k=top_k, outputs=outputs, timeout_s=timeout_s)
        return self._run(call)

    def infer(self, model: str, tensors: Mapping[str, npt.ArrayLike], *, timeout_s: float | None = None) -> Answer:
        """See AsyncClient.infer."""
        return self._run(self._client.infer(model, tensors, timeout_s=timeout_s))

    def push(self, directory: Path | str, *, on_progress: OnProgress | None = None) -> registry_pb2.ModelVersion:
        """See AsyncClient.push."""
        return self._run(self._client.push(directory, on_progress=on_progress))

    def download(self, model: str, file: str, path: Path | str) -> Path:
        """See AsyncClient.download."""
        return self._run(self._client.download(model, file, path))

    def deploy(self, model: str, *, wait_s: float = 60.0) -> registry_pb2.Deployment:
        """See AsyncClient.deploy."""
        return self._run(self._client.deploy(model, wait_s=wait_s))

    def undeploy(self, model: str) -> None:
        """See AsyncClient.undeploy."""
        self._run(self._client.undeploy(model))

    def models(self, name: str = "") -> Sequence[registry_pb2.Model]:
        """See AsyncClient.models."""
        return self._run(self._client.models(name))

    def status(self) -> health_pb2.PlatformStatus:
        """See AsyncClient.status."""
        return self._run(self._client.status())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _make(addresses: Addresses | None, timeout_s: float, trace_ratio: float) -> AsyncClient:
    """Inside the loop, to which grpc.aio binds what is made."""
    return AsyncClient(addresses, timeout_s=timeout_s, trace_ratio=trace_ratio)


async def _explained(call: Awaitable[T]) -> T:
    """Await a call; a failure becomes the LeptonError it stands for."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


def _raise_if_failed(model: health_pb2.ModelStatus, wanted: int) -> None:
    mine = [each.status for each in model.served if each.status.version == wanted]
    if mine and all(each.state == health_pb2.VERSION_STATE_FAILED for each in mine):
        raise FailedPrecondition(
            f"{model.name} version {wanted} cannot be served: {mine[0].message}",
            fix="Correct the package and push it again. What was served before is still served.",
        )
