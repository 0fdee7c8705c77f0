"""A probe asks the original, so that it keeps no variant loaded that callers do not ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.v1 import inference_pb2, registry_pb2
from services.health.observe.golden import GoldenSamples, Sample
from services.health.observe.probes import ModelProber
from tests.sample_packages import onnx_package


class Samples:
    """In place of GoldenSamples: a package without a golden sample."""

    def __init__(self, directory: Path) -> None:
        self._description = onnx_package(directory).description

    async def sample(self, version: registry_pb2.DeployedVersion) -> Sample:
        return Sample(self._description, None)


class Inference:
    """In place of a pool of replicas: answers, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[inference_pb2.PredictRequest] = []

    async def call(self, invoke: Callable[[Any, float], Awaitable[Any]], *, timeout_s: float) -> Any:
        return await invoke(self, timeout_s)

    def unary_unary(self, path: str, **_: Any) -> Callable[..., Awaitable[Any]]:
        return self._predict

    def stream_stream(self, path: str, **_: Any) -> None:
        return None

    async def _predict(self, request: inference_pb2.PredictRequest, **_: Any) -> inference_pb2.PredictResponse:
        self.asked.append(request)
        return inference_pb2.PredictResponse(model_version=1)


async def test_a_probe_is_for_the_original(tmp_path: Path) -> None:
    inference = Inference()
    samples = cast(GoldenSamples, Samples(tmp_path / "package"))
    prober = ModelProber(cast(ServicePool, inference), samples, timeout_s=1.0)
    target = registry_pb2.WeightedVersion(version=1, weight=1)
    deployment = registry_pb2.Deployment(
        model="doubler",
        versions=[registry_pb2.DeployedVersion(version=1)],
        routes=[registry_pb2.Route(alias="production", targets=[target])],
        variant_policy=registry_pb2.VARIANT_POLICY_AUTO,
    )
    result = await prober.probe(deployment)
    assert result.succeeded, result.error
    (request,) = inference.asked
    assert request.options.exact
