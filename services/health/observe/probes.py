"""Predicts a golden sample of a model through the real path and judges the answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable

import grpc

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.serving.metadata import PROBE
from lepton_ai.package.trial import golden_request, verdict, zeros_request
from lepton_ai.v1 import common_pb2, health_pb2, inference_pb2, inference_pb2_grpc, registry_pb2
from services.health.observe.assessment import production_version
from services.health.observe.golden import GoldenSamples, Sample

Invoke = Callable[[grpc.aio.Channel, float], Awaitable[inference_pb2.PredictResponse]]


class ModelProber:
    """Makes one prediction a call over the production route, so that it meets every fault that users would meet."""

    def __init__(self, inference: ServicePool, samples: GoldenSamples, *, timeout_s: float) -> None:
        self._inference = inference
        self._samples = samples
        self._timeout_s = timeout_s

    async def probe(self, deployment: registry_pb2.Deployment) -> health_pb2.ProbeResult:
        """Predict and judge. Never raises LeptonError: a failure is a result."""
        result = health_pb2.ProbeResult(model_version=production_version(deployment))
        result.probed_at.GetCurrentTime()
        begin_s = time.monotonic()
        try:
            await self._predict_and_judge(deployment, result)
        except LeptonError as error:
            result.error = error.message
        result.succeeded = not result.error
        result.duration_us = round((time.monotonic() - begin_s) * 1e6)
        return result

    async def _predict_and_judge(self, deployment: registry_pb2.Deployment, result: health_pb2.ProbeResult) -> None:
        wanted = next((each for each in deployment.versions if each.version == result.model_version), None)
        if wanted is None:
            result.error = "the deployment has no production version"
            return
        sample = await self._samples.sample(wanted)
        answer = await self._inference.call(_predict(_request(deployment.model, sample)), timeout_s=self._timeout_s)
        # While a new version is being loaded the old one answers, and that has samples of its own.
        if answer.model_version == result.model_version and sample.golden is not None:
            result.error = verdict(sample.golden, answer)
        result.model_version = answer.model_version


def _request(model: str, sample: Sample) -> inference_pb2.PredictRequest:
    """For the original: a probe must not keep a variant loaded that no caller asks for."""
    ref = common_pb2.ModelRef(name=model)
    if sample.golden is None:
        request = zeros_request(ref, sample.description.inputs)
    else:
        request = golden_request(ref, sample.golden, piped=sample.description.preprocess is not None)
    request.options.exact = True
    return request


def _predict(request: inference_pb2.PredictRequest) -> Invoke:
    async def invoke(channel: grpc.aio.Channel, timeout_s: float) -> inference_pb2.PredictResponse:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        metadata = (("traceparent", _unsampled()), (PROBE, "1"))
        return await stub.Predict(request, timeout=timeout_s, metadata=metadata)

    return invoke


def _unsampled() -> str:
    """A W3C traceparent that asks not to be sampled: probes would crowd out the traces people look for."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
