"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import grpc
import numpy.typing as npt

from lepton_ai.addresses import Addresses, find_addresses, split_addresses
from lepton_ai.client import forking
from lepton_ai.client.model_inputs import ModelInputs
from lepton_ai.credentials import token_metadata
from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, InvalidInput, NotFound
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import fixed_endpoints
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.tracing import TRACE_ID_TRAILER, Tracing, client_interceptors
from lepton_ai.package.transfer import OnProgress, read_chunks, write_chunks
from lepton_ai.prediction import Answer, Input, Prediction, to_answer, to_examples, to_item
from lepton_ai.references import check_name, parse_model_ref
from lepton_ai.storage_faults import gather_faults
from lepton_ai.tensors import checked_text, to_proto
from lepton_ai.v1 import (
    common_pb2,
    health_pb2,
    health_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
)

T = TypeVar("T")

_PUSH_TIMEOUT_S = 600.0
_GRACE_S = 2.0
"""How much later than its timeout a call may end before it is given up."""
_CHECK_TIMEOUT_S = 3600.0
_SLOWEST_BYTES_PER_S = 50 << 20


class _TraceSettings:
    def __init__(self, otlp_endpoint: str, ratio: float) -> None:
        self.otlp_endpoint = otlp_endpoint or None
        self.trace_ratio = ratio


class AsyncClient:
    """Talks to a platform from asyncio code. Make one and keep it: it holds the connections.

    In a process that was forked from one in which gRPC ran, it raises FailedPrecondition; `Client` works there.
    """

    def __init__(
        self, addresses: Addresses | None = None, *, timeout_s: float = 30.0, trace_ratio: float = 0.0
    ) -> None:
        """Without addresses: those in LEPTON_INFERENCE_ADDRESS and its like, else the stack that runs on this machine.
        What changes the registry (push, deploy, undeploy) needs its token: that of the stack, or LEPTON_TOKEN.

        `trace_ratio` is the share of calls that are traced from here on; others are traced as the platform decides.
        """
        forking.check_grpc()
        self.addresses = find_addresses(addresses or Addresses(), environ=os.environ)
        self._proof = token_metadata(self.addresses.token)
        self._timeout_s = timeout_s
        self._tracing = Tracing.create("client", _TraceSettings(self.addresses.otlp, trace_ratio))
        self._traces = trace_ratio > 0
        self._pools: dict[str, ServicePool] = {}
        self._model_inputs = ModelInputs()
        forking.leave_to_parent(self)
        forking.grpc_used_by(self, uses=bool(self.addresses.otlp))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections and send the last spans."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close()
        await asyncio.to_thread(self._tracing.shutdown)
        forking.grpc_used_by(self, uses=False)

    async def predict(
        self,
        model: str,
        value: Input,
        *,
        top_k: int = 0,
        outputs: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Prediction:
        """The model's answer for one example: a file, bytes, a text, a number, or a mapping of inputs by name.

        `model` is NAME, NAME@VERSION or NAME@ALIAS. A file is a `pathlib.Path` or a `File`; a plain text is its path
        only for a model that takes nothing but a picture or a sound, and never in a mapping.

        A model without labels answers with all its outputs: see `value`, `values` and `outputs` of the prediction. Of
        one with labels, `outputs` asks for some by name as well.

        Raises LeptonError: the class says what kind of problem it is.
        """
        answer = await self.predict_batch(model, [value], top_k=top_k, outputs=outputs, timeout_s=timeout_s)
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
        end_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        request = inference_pb2.PredictRequest(model=parse_model_ref(model))
        values = to_examples(values)

        async def describe() -> Mapping[str, str]:
            return await self._input_kinds(request.model, end_s - time.monotonic())

        paths = await self._model_inputs.texts_are_paths(model, values, describe)
        request.items.extend(to_item(value, texts_are_paths=paths) for value in values)
        request.options.top_k = _checked_top_k(top_k)
        request.options.outputs.extend(checked_text(name, "outputs") for name in outputs)
        return await self._predict(request, end_s - time.monotonic())

    async def infer(
        self, model: str, tensors: Mapping[str, npt.ArrayLike], *, timeout_s: float | None = None
    ) -> Answer:
        """Run the model on ready tensors, one for each of its inputs, whose first dimension is the batch."""
        request = inference_pb2.PredictRequest(model=parse_model_ref(model))
        request.tensors.extend(to_proto(checked_text(name, "tensors"), array) for name, array in tensors.items())
        return await self._predict(request, self._timeout_s if timeout_s is None else timeout_s)

    async def push(self, directory: Path | str, *, on_progress: OnProgress | None = None) -> registry_pb2.ModelVersion:
        """Upload a package as the next version of its model; content that is there already is not sent again.

        Pushing a package that is a version already returns that version, and mends the registry's files if they are
        damaged.
        """
        from lepton_ai.package import Package  # imported here to save time in clients that only predict

        package = await asyncio.to_thread(Package.read, Path(directory))
        manifest = package.manifest()
        request = registry_pb2.FindMissingFilesRequest(sha256=[file.sha256 for file in manifest.files])
        # The registry may have to read those of the files that it has.
        timeout_s = self._timeout_s + sum(file.size_bytes for file in manifest.files) / _SLOWEST_BYTES_PER_S
        missing = await self._registry(lambda stub, left_s: stub.FindMissingFiles(request, timeout=left_s), timeout_s)
        wanted = set(missing.sha256)
        paths = {file.sha256: package.path(file.path) for file in manifest.files if file.sha256 in wanted}

        async def messages() -> AsyncIterator[registry_pb2.PushVersionRequest]:
            yield registry_pb2.PushVersionRequest(manifest=manifest)
            async for chunk in read_chunks(paths, on_progress):
                yield registry_pb2.PushVersionRequest(chunk=chunk)

        pushed = await self._registry(
            lambda stub, left_s: stub.PushVersion(messages(), timeout=left_s, metadata=self._proof),
            _PUSH_TIMEOUT_S,
            idempotent=False,
        )
        return pushed.version

    async def download(self, model: str, file: str, path: Path | str) -> Path:
        """Fetch a file of a pushed version (NAME: the newest) from the registry to `path`, whole or not at all.

        Raises NotFound for a version that does not exist or has no such file, DataLoss when the registry's is damaged.
        """
        request = registry_pb2.GetVersionRequest(model=parse_model_ref(model))
        version = await self._registry(lambda stub, left_s: stub.GetVersion(request, timeout=left_s), self._timeout_s)
        found = next((each for each in version.manifest.files if each.path == file), None)
        if found is None:
            names = ", ".join(each.path for each in version.manifest.files[:20])
            raise NotFound(
                f"{version.model}@{version.version} has no {file}.", reason="NO_SUCH_FILE", fix=f"It has {names}."
            )
        wanted = registry_pb2.DownloadFileRequest(sha256=found.sha256)
        return await self._registry(
            lambda stub, left_s: write_chunks(Path(path), found, stub.DownloadFile(wanted, timeout=left_s)),
            _PUSH_TIMEOUT_S,
        )

    async def check_storage(self, *, on_progress: OnProgress | None = None) -> Sequence[registry_pb2.StorageFault]:
        """Have the registry read every file it holds, which takes a while; returns what is damaged, missing or unused.

        `on_progress` is called with (bytes read, bytes in all) about every second.
        """
        request = registry_pb2.CheckStorageRequest()
        return await self._registry(
            lambda stub, left_s: gather_faults(
                stub.CheckStorage(request, timeout=left_s, metadata=self._proof), on_progress
            ),
            _CHECK_TIMEOUT_S,
            idempotent=False,
        )

    async def deploy(self, model: str, *, wait_s: float = 60.0) -> registry_pb2.Deployment:
        """Serve a version (NAME: the newest) and wait until predictions work; `wait_s` 0 only asks for it.

        Raises FailedPrecondition when the version cannot be served, DeadlineExceeded when it takes longer.
        """
        request = registry_pb2.DeployRequest(model=parse_model_ref(model))
        deployment = await self._registry(
            lambda stub, left_s: stub.Deploy(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )
        if wait_s > 0:
            await self._wait_until_served(deployment, wait_s)
        return deployment

    async def undeploy(self, model: str) -> None:
        """Take a model out of service; its versions stay in the registry."""
        request = registry_pb2.UndeployRequest(model=check_name(model, field="model"))
        await self._registry(
            lambda stub, left_s: stub.Undeploy(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def models(self, name: str = "") -> Sequence[registry_pb2.Model]:
        """All models with their versions, or one of them. Raises NotFound for a name that does not exist."""
        request = registry_pb2.ListModelsRequest(name=check_name(name) if name else "")
        listed = await self._registry(lambda stub, left_s: stub.ListModels(request, timeout=left_s), self._timeout_s)
        return list(listed.models)

    async def status(self) -> health_pb2.PlatformStatus:
        """What is up, what is served and whether predictions work."""
        request = health_pb2.GetStatusRequest()

        def get(channel: grpc.aio.Channel, left_s: float) -> Awaitable[health_pb2.PlatformStatus]:
            return health_pb2_grpc.HealthServiceStub(channel).GetStatus(request, timeout=left_s)

        return await self._call("health", get, self._timeout_s)

    async def _input_kinds(self, model: common_pb2.ModelRef, timeout_s: float) -> Mapping[str, str]:
        request = inference_pb2.DescribeModelRequest(model=model)

        async def describe(channel: grpc.aio.Channel, left_s: float) -> Mapping[str, str]:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            return (await stub.DescribeModel(request, timeout=left_s)).input_kinds

        return await self._call("inference", describe, timeout_s)

    async def _predict(self, request: inference_pb2.PredictRequest, timeout_s: float) -> Answer:
        async def predict(channel: grpc.aio.Channel, left_s: float) -> Answer:
            call = inference_pb2_grpc.InferenceServiceStub(channel).Predict(request, timeout=left_s)
            response = await call
            trailing = dict(await call.trailing_metadata() or ())
            trace_id = trailing.get(TRACE_ID_TRAILER, "")
            return to_answer(response, trace_id=trace_id if isinstance(trace_id, str) else trace_id.decode())

        return await self._call("inference", predict, timeout_s)

    async def _registry(
        self,
        invoke: Callable[[registry_pb2_grpc.RegistryServiceAsyncStub, float], Awaitable[T]],
        timeout_s: float,
        *,
        idempotent: bool = True,
    ) -> T:
        def call(channel: grpc.aio.Channel, left_s: float) -> Awaitable[T]:
            return invoke(registry_pb2_grpc.RegistryServiceStub(channel), left_s)

        return await self._call("registry", call, timeout_s, idempotent=idempotent)

    async def _call(
        self,
        service: str,
        invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]],
        timeout_s: float,
        *,
        idempotent: bool = True,
    ) -> T:
        pool = await self._open(service)
        return await _explained(pool.call(invoke, timeout_s=timeout_s, idempotent=idempotent), timeout_s)

    async def _wait_until_served(self, deployment: registry_pb2.Deployment, wait_s: float) -> None:
        health = await self._open("health")
        with health.pick() as pick:
            stub = health_pb2_grpc.HealthServiceStub(pick.channel)
            statuses = stub.WatchStatus(health_pb2.WatchStatusRequest(), timeout=wait_s)
            message = ""
            try:
                async for status in statuses:
                    found = next((model for model in status.models if model.name == deployment.model), None)
                    if found is None or found.production_version != deployment.routes[0].targets[0].version:
                        continue
                    message = found.message
                    if _is_served(found):
                        return
                    _raise_if_failed(found, found.production_version)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise from_rpc_error(error) from error
            finally:
                statuses.cancel()
        raise DeadlineExceeded(
            f"{deployment.model} version {deployment.routes[0].targets[0].version} is not served after {wait_s:g} s. "
            f"{message}".rstrip(),
            fix="It is still being worked on: see `lepton health`, or wait longer.",
        )

    async def _open(self, service: str) -> ServicePool:
        """The service's replicas: a call goes to the best of them, and to another one when it fails there."""
        forking.check_grpc()
        if service not in self._pools:
            replicas = split_addresses(self._address(service))
            # With several addresses, the spans of the pool's calls cannot say which one was called.
            interceptors = self._interceptors(replicas[0] if len(replicas) == 1 else None)
            pool = ServicePool(service, fixed_endpoints(service, replicas), interceptors=interceptors)
            forking.grpc_used_by(self, uses=True)
            # Set before the first await, so that calls made at the same time share one pool.
            self._pools[service] = pool
            await pool.start()
        return self._pools[service]

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


def _checked_top_k(top_k: int) -> int:
    if not 0 <= top_k < 1 << 32:
        raise InvalidInput.of_field("top_k", f"is {top_k}", fix="Ask for 1 or more labels, or 0 for the usual number.")
    return top_k


async def _explained(call: Awaitable[T], timeout_s: float) -> T:
    """Await a call; a failure becomes the LeptonError it stands for, also when gRPC forgets its own timeout."""
    try:
        async with asyncio.timeout(timeout_s + _GRACE_S):
            return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"gRPC does not work in this process: after {timeout_s:g} s it gives neither an answer nor an error.",
            fix="If it was forked from one that used gRPC: import lepton_ai before that, or start it with spawn.",
        ) from error


def _is_served(model: health_pb2.ModelStatus) -> bool:
    """Whether predictions with the version in production were seen to work."""
    return (
        model.condition == health_pb2.CONDITION_HEALTHY and model.last_probe.model_version == model.production_version
    )


def _raise_if_failed(model: health_pb2.ModelStatus, wanted: int) -> None:
    mine = [each.status for each in model.served if each.status.version == wanted]
    if mine and all(each.state == health_pb2.VERSION_STATE_FAILED for each in mine):
        raise FailedPrecondition(
            f"{model.name} version {wanted} cannot be served: {mine[0].message}",
            fix="Correct the package and push it again. What was served before is still served.",
        )
