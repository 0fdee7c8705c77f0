"""A control plane for tests: a registry in memory, and a replica of it that may run on a fake or a real Triton."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import numpy as np
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from lepton_ai.errors import NotFound, Unavailable
from lepton_ai.mesh.discovery.state import DEPLOYMENTS, SERVING, StateStore
from lepton_ai.package import Package
from lepton_ai.v1 import health_pb2, registry_pb2
from services.inference.lifecycle.control import ControlOptions, make_reconciler
from services.inference.lifecycle.prober import Predict
from services.inference.lifecycle.reconciler import Reconciler
from services.inference.routing.routes import ModelReference, Routes
from services.inference.triton.backend import InferenceBackend
from services.inference.variants.demand import Demand
from services.inference.version import LoadedVersion
from services.registry.messages import measured_message
from tests.sample_packages import onnx_package

T = TypeVar("T")
ADDRESS = "127.0.0.1:8500"


@dataclass
class FakeRegistry:
    """Holds packages, writes deployments to the state store, and answers what replicas ask. `up` is its switch."""

    state: StateStore
    up: bool = True
    chunk_bytes: int = 100
    downloads: list[str] = field(default_factory=list)
    """Hashes of the files that were fetched, in order."""
    deployments: dict[str, registry_pb2.Deployment] = field(default_factory=dict)
    versions: dict[tuple[str, int], Package] = field(default_factory=dict)
    variants: dict[tuple[str, int], dict[str, Package]] = field(default_factory=dict)
    policy: registry_pb2.VariantPolicy.ValueType = registry_pb2.VARIANT_POLICY_UNSPECIFIED
    """Of every model."""
    damaged: dict[str, bytes] = field(default_factory=dict)
    """Hash → the content sent in place of the right one."""

    def push(self, package: Package) -> int:
        """The new version's number."""
        name = package.description.name
        version = 1 + sum(model == name for model, _ in self.versions)
        self.versions[name, version] = package
        return version

    def push_variant(self, version: int, name: str, package: Package) -> None:
        self.variants.setdefault((package.description.name, version), {})[name] = package

    def deployed_version(self, model: str, version: int) -> registry_pb2.DeployedVersion:
        package = self.versions[model, version]
        deployed = registry_pb2.DeployedVersion(version=version, digest=package.digest, manifest=package.manifest())
        if self.policy > registry_pb2.VARIANT_POLICY_EXACT:
            for name, variant in self.variants.get((model, version), {}).items():
                assert variant.description.optimised is not None
                deployed.variants.add(
                    name=name,
                    digest=variant.digest,
                    manifest=variant.manifest(),
                    measured=measured_message(variant.description.optimised.model_dump(mode="json")),
                )
        return deployed

    async def deploy(self, model: str, *versions: int, **routes: Mapping[int, int]) -> None:
        """Ask for versions to be served; without routes all production calls go to the last one."""
        weights: Mapping[str, Mapping[int, int]] = routes or {"production": {versions[-1]: 1}}
        deployment = registry_pb2.Deployment(
            model=model,
            versions=[self.deployed_version(model, version) for version in versions],
            routes=[
                registry_pb2.Route(
                    alias=alias,
                    targets=[registry_pb2.WeightedVersion(version=v, weight=w) for v, w in targets.items()],
                )
                for alias, targets in weights.items()
            ],
            variant_policy=self.policy,
        )
        self.deployments[model] = deployment
        await self.publish(model)

    async def publish(self, model: str) -> None:
        await self.state.put(f"{DEPLOYMENTS}{model}", json_format.MessageToJson(self.deployments[model]).encode())

    async def undeploy(self, model: str) -> None:
        del self.deployments[model]
        await self.state.delete(f"{DEPLOYMENTS}{model}")

    async def call(
        self, invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]], *, timeout_s: float, idempotent: bool = True
    ) -> T:
        if not self.up:
            raise Unavailable("No registry answers.")
        return await invoke(cast(grpc.aio.Channel, _Channel(self)), timeout_s)

    def content(self, sha256: str) -> bytes:
        for package in (*self.versions.values(), *(each for own in self.variants.values() for each in own.values())):
            for path, file in package.files.items():
                if file.sha256 == sha256:
                    return self.damaged.get(sha256) or package.path(path).read_bytes()
        raise NotFound("No version holds this file.")


class _Channel:
    """As much of a gRPC channel as the registry's generated stub needs, without a network."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    def unary_unary(self, path: str, **_: Any) -> Callable[..., Awaitable[Any]]:
        return self._get_version if path.endswith("/GetVersion") else self._list_deployments

    def unary_stream(self, path: str, **options: Any) -> Callable[..., AsyncIterator[Any]]:
        decode = options.get("response_deserializer") or bytes

        async def download(request: Any, **_: Any) -> AsyncIterator[Any]:
            async for response in self._download(request):
                yield decode(response.SerializeToString())

        return download

    def stream_unary(self, path: str, **_: Any) -> None:
        return None

    stream_stream = stream_unary

    async def _list_deployments(self, request: Any, timeout: float) -> registry_pb2.ListDeploymentsResponse:
        return registry_pb2.ListDeploymentsResponse(deployments=self._registry.deployments.values())

    async def _get_version(self, request: registry_pb2.GetVersionRequest, timeout: float) -> registry_pb2.ModelVersion:
        package = self._registry.versions[request.model.name, request.model.version]
        return registry_pb2.ModelVersion(digest=package.digest, manifest=package.manifest())

    async def _download(
        self, request: registry_pb2.DownloadFileRequest
    ) -> AsyncIterator[registry_pb2.DownloadFileResponse]:
        self._registry.downloads.append(request.sha256)
        content = self._registry.content(request.sha256)
        for start in range(0, len(content), self._registry.chunk_bytes):
            yield registry_pb2.DownloadFileResponse(data=content[start : start + self._registry.chunk_bytes])


@dataclass
class Replica:
    """One replica's control plane."""

    state: StateStore
    registry: FakeRegistry
    routes: Routes
    reconciler: Reconciler
    triton: InferenceBackend

    def loaded(self, model: str = "doubler", version: int = 0, alias: str = "") -> LoadedVersion:
        """Where a call goes. Raises what a caller would get."""
        return self.routes.resolve(ModelReference(model, version or None, alias)).loaded

    def version(self, model: str = "doubler") -> int:
        """The version that production calls go to; 0 while there is none."""
        try:
            return self.loaded(model).version
        except (Unavailable, NotFound):
            return 0

    def status(self, version: int, model: str = "doubler") -> health_pb2.VersionStatus:
        """What the replica says of a version; raises LookupError when it knows nothing of it."""
        for status in self.reconciler.serving_state().versions:
            if (status.model, status.version) == (model, version):
                return status
        raise LookupError(f"{model} {version} is unknown")

    def state_of(self, version: int, model: str = "doubler") -> str:
        """SERVING, LOADING, …, or GONE."""
        try:
            return health_pb2.VersionState.Name(self.status(version, model).state).removeprefix("VERSION_STATE_")
        except LookupError:
            return "GONE"

    async def published(self) -> health_pb2.ServingState:
        value = await self.state.get(f"{SERVING}{ADDRESS}")
        if value is None:
            raise LookupError("nothing is published")
        return json_format.Parse(value, health_pb2.ServingState())

    async def ask(self, model: str = "doubler", rows: int = 1, timeout_s: float = 5.0) -> list[list[float]]:
        """What production answers to rows [0, 1, 2, 3], [4, …"""
        values = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
        loaded = self.loaded(model)
        request = service_pb2.ModelInferRequest(model_name=loaded.triton_name)
        request.inputs.add(name="x", datatype="FP32", shape=values.shape)
        request.raw_input_contents.append(values.tobytes())
        response = await self.triton.infer(request, timeout_s=timeout_s)
        answer = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(values.shape)
        return cast(list[list[float]], answer.tolist())


def make_replica(
    directory: Path,
    state: StateStore,
    triton: InferenceBackend,
    *,
    registry: FakeRegistry | None = None,
    predict: Predict | None = None,
    restart_triton: Callable[[], Awaitable[None]] | None = None,
    demand: Demand | None = None,
    **options: Any,
) -> Replica:
    """A replica whose files lie in `directory`; a second one made there is the first one, restarted."""
    registry = registry or FakeRegistry(state)
    routes = Routes()
    places = {"model_repository": directory / "models", "cache": directory / "cache"}
    chosen: dict[str, Any] = {**places, "triton_backend": "python", "triton_device": "cpu", "cores": 1, **options}
    reconciler = make_reconciler(
        state,
        registry,
        triton=triton,
        routes=routes,
        options=ControlOptions(**chosen),
        demand=demand,
        predict=predict,
        restart_triton=restart_triton,
    )
    return Replica(state, registry, routes, reconciler, triton)


def push_versions(registry: FakeRegistry, directory: Path, count: int, *, name: str = "doubler") -> None:
    """Push versions 1 to `count` of a small model, each of them another package."""
    for number in range(1, count + 1):
        package = onnx_package(directory / f"{name}-{number}", name=name, description=f"version {number}")
        assert registry.push(package) == number
