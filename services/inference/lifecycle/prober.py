"""Asks a loaded model for real answers: whether it lives, and whether it says what its package expects.

Triton calls a model ready whose process is dead, so only an answer is proof of life.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from tritonclient.grpc import service_pb2

from lepton_ai import tensors
from lepton_ai.errors import DeadlineExceeded, InternalError, LeptonError, ResourceExhausted, Unavailable
from lepton_ai.package import ExpectedTensor, GoldenItem
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.triton.backend import InferenceBackend
from services.inference.triton.errors import MODEL_FAILED, TRITON_AWAY, TRITON_REJECTED, smells_dead
from services.inference.version import LoadedVersion, TensorDescription

Predict = Callable[[LoadedVersion, inference_pb2.PredictRequest], Awaitable[inference_pb2.PredictResponse]]
"""The data plane's whole path (preprocess, batch, Triton, postprocess) on this very version, routes or not."""

GOLDEN_MISMATCH = "GOLDEN_MISMATCH"

_WARM_UP_TIMEOUT_S = 60.0
_ALIVE_TIMEOUT_S = 3.0
_GOLDEN_TIMEOUT_S = 30.0
# Rejections that prove that the process behind the model lives: it read the request and had an opinion.
_ANSWERED = (MODEL_FAILED, TRITON_REJECTED)


class Prober:
    """Synthetic inferences. `predict` is None only where there is no data plane, as in tests of the control plane."""

    def __init__(self, triton: InferenceBackend, predict: Predict | None = None) -> None:
        self._triton = triton
        self._predict = predict

    async def warm_up(self, loaded: LoadedVersion) -> None:
        """Let every instance run once, so that the first caller does not pay for it.

        Raises what the model raises, but forgives a model with free dimensions, which may well refuse zeros.
        """
        strict = _is_fixed(loaded)
        await self._ask_all(loaded, timeout_s=_WARM_UP_TIMEOUT_S, forgive=() if strict else _ANSWERED)

    async def check_alive(self, loaded: LoadedVersion) -> None:
        """Get an answer from every instance, as far as Triton spreads concurrent requests. Raises when one is dead."""
        await self._ask_all(loaded, timeout_s=_ALIVE_TIMEOUT_S, forgive=_ANSWERED)

    async def check_golden(self, loaded: LoadedVersion, samples: Sequence[GoldenItem]) -> None:
        """Predict all golden samples through the real path and compare.

        Raises InternalError (GOLDEN_MISMATCH) for a wrong answer, and Unavailable when the path itself is not there:
        then nothing is known about the answers.
        """
        if self._predict is None:
            return
        for index, sample in enumerate(samples):
            request = golden_request(loaded, sample)
            async with asyncio.timeout(_GOLDEN_TIMEOUT_S):
                response = await self._predict(loaded, request)
            check_answer(loaded, sample, response, name=f"golden[{index}]")

    async def _ask_all(self, loaded: LoadedVersion, *, timeout_s: float, forgive: Sequence[str]) -> None:
        request = zeros_request(loaded)
        # Triton hands concurrent requests to idle instances, so this many at once reach each of them.
        answers = await asyncio.gather(
            *(self._ask(request, timeout_s=timeout_s) for _ in range(max(1, loaded.instances))), return_exceptions=True
        )
        errors = [error for error in answers if isinstance(error, BaseException)]
        for error in errors:
            if not (isinstance(error, LeptonError) and error.reason in forgive):
                raise error
        loaded.succeeded()

    async def _ask(self, request: service_pb2.ModelInferRequest, *, timeout_s: float) -> None:
        own = service_pb2.ModelInferRequest()
        own.CopyFrom(request)
        await self._triton.infer(own, timeout_s=timeout_s)


def _is_fixed(loaded: LoadedVersion) -> bool:
    return all(dimension >= 0 for tensor in loaded.description.inputs for dimension in tuple(tensor.shape)[1:])


def zeros_request(loaded: LoadedVersion) -> service_pb2.ModelInferRequest:
    """One row of zeros (empty strings for BYTES); free dimensions are 1."""
    request = service_pb2.ModelInferRequest(model_name=loaded.triton_name)
    for tensor in loaded.description.inputs:
        shape = [1, *(max(1, dimension) for dimension in tuple(tensor.shape)[1:])]
        request.inputs.add(name=tensor.name, datatype=tensor.dtype, shape=shape)
        request.raw_input_contents.append(_zeros(tensor, math.prod(shape)))
    return request


def _zeros(tensor: TensorDescription, count: int) -> bytes:
    # An empty BYTES element is its length alone: four zero bytes.
    return bytes(count * tensors.ELEMENT_BYTES.get(tensor.dtype, 4))


def golden_request(loaded: LoadedVersion, sample: GoldenItem) -> inference_pb2.PredictRequest:
    """The sample as a call: raw for a model with a pipeline, tensors with a batch of one for a model without."""
    request = inference_pb2.PredictRequest(
        model=common_pb2.ModelRef(name=loaded.model, version=loaded.version),
        options=inference_pb2.PredictOptions(top_k=sample.top_k, cache=inference_pb2.CACHE_POLICY_BYPASS),
    )
    if loaded.pipeline_proto is not None:
        request.options.outputs.extend(sample.outputs)
        request.items.append(sample.item)
        return request
    for name, value in sample.item.inputs.items():
        tensor = request.tensors.add()
        tensor.CopyFrom(value.tensor)
        tensor.name = name
        tensor.shape[:] = [1, *value.tensor.shape]
    return request


def check_answer(
    loaded: LoadedVersion, sample: GoldenItem, response: inference_pb2.PredictResponse, *, name: str
) -> None:
    """Compare an answer with what the sample expects. Raises InternalError (GOLDEN_MISMATCH)."""
    answered = {tensor.name: tensor for tensor in response.tensors}
    for output, expected in sample.outputs.items():
        if output not in answered or not _matches(expected, answered[output]):
            raise _mismatch(f"{name}: output {output!r} is not what the package expects")
    if sample.label is None:
        return
    labels = _labels(loaded, sample, response)
    if sample.label not in labels[: sample.top_k]:
        raise _mismatch(f"{name}: {sample.label!r} is not among the best {sample.top_k}: {', '.join(labels) or 'none'}")


def _labels(loaded: LoadedVersion, sample: GoldenItem, response: inference_pb2.PredictResponse) -> list[str]:
    """The labels of the answer; a tensor call has none, so they are made here of its tensors."""
    if response.predictions or loaded.postprocess is None:
        return [label.name for prediction in response.predictions for label in prediction.classification.labels]
    outputs = {tensor.name: tensors.from_proto(tensor) for tensor in response.tensors}
    return [label.name for row in loaded.postprocess.run(outputs, sample.top_k) for label in row.labels]


def _matches(expected: ExpectedTensor, tensor: common_pb2.Tensor) -> bool:
    actual = tensors.from_proto(tensor)
    if actual.shape != (1, *expected.values.shape):
        return False
    if actual.dtype.kind not in "fiub":
        return bool(np.array_equal(actual[0], expected.values))
    return bool(np.allclose(actual[0].astype(float), expected.values.astype(float), rtol=0, atol=expected.tolerance))


def _mismatch(message: str) -> InternalError:
    return InternalError(
        f"{message}.",
        reason=GOLDEN_MISMATCH,
        fix="Check the model file, the pipeline and the package's golden samples.",
    )


def path_is_away(error: BaseException) -> bool:
    """Whether golden samples could not be asked at all, for instance as no preprocess service is up.

    That says nothing about the model, so it may serve: its liveness is known from `warm_up`.
    """
    if isinstance(error, Unavailable):
        return error.reason != TRITON_AWAY and not smells_dead(error)
    return isinstance(error, TimeoutError | DeadlineExceeded | ResourceExhausted)
