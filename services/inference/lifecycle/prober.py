"""Asks a loaded model for real answers: whether it lives, and whether it says what its package expects.

Triton calls a model ready whose process is dead, so only an answer is proof of life.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from lepton_ai.errors import DeadlineExceeded, InternalError, LeptonError, ResourceExhausted, Unavailable
from lepton_ai.package.golden import GoldenItem
from lepton_ai.package.trial import GOLDEN_MISMATCH, golden_request, verdict, zeros
from lepton_ai.tensors import proto_dtype
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.rows import NamedTensor, Rows
from services.inference.triton.backend import InferenceBackend
from services.inference.triton.errors import MODEL_FAILED, TRITON_AWAY, TRITON_REJECTED, smells_dead
from services.inference.triton.items import no_items
from services.inference.triton.messages import infer_request
from services.inference.version import LoadedVersion

Predict = Callable[[LoadedVersion, inference_pb2.PredictRequest], Awaitable[inference_pb2.PredictResponse]]
"""The data plane's whole path (preprocess, batch, Triton, postprocess) on this very version, routes or not."""

_log = logging.getLogger(__name__)
_WARM_UP_TIMEOUT_S = 60.0
_ALIVE_TIMEOUT_S = 3.0
_GOLDEN_TIMEOUT_S = 30.0
# Rejections that prove that the model's process is alive: it has read the request and judged it.
_ANSWERED = (MODEL_FAILED, TRITON_REJECTED)


class Prober:
    """Synthetic inferences. `predict` is None only where there is no data plane, as in tests of the control plane."""

    def __init__(self, triton: InferenceBackend, predict: Predict | None = None) -> None:
        self._triton = triton
        self._predict = predict

    async def warm_up(self, loaded: LoadedVersion) -> None:
        """Let every instance run once, so that the first caller does not pay for it.

        Raises what the model raises, except for a model with free dimensions, which may well refuse zeros.
        """
        strict = _is_fixed(loaded)
        await self._ask_all(loaded, timeout_s=_WARM_UP_TIMEOUT_S, forgive=() if strict else _ANSWERED)
        if loaded.runs_items:
            loaded.runs_items = await self._takes_items(loaded)

    async def check_alive(self, loaded: LoadedVersion) -> None:
        """Get an answer from every instance, as far as Triton spreads concurrent requests. Raises when one is dead."""
        await self._ask_all(loaded, timeout_s=_ALIVE_TIMEOUT_S, forgive=_ANSWERED)

    async def check_golden(self, loaded: LoadedVersion, samples: Sequence[GoldenItem]) -> None:
        """Predict all golden samples through the real path and compare.

        Raises InternalError (GOLDEN_MISMATCH) for a wrong answer, and Unavailable when part of the path is missing:
        then nothing is known about the answers.
        """
        if self._predict is None:
            return
        for index, sample in enumerate(samples):
            ref = common_pb2.ModelRef(name=loaded.model, version=loaded.version)
            request = golden_request(ref, sample, piped=loaded.pipeline_proto is not None)
            async with asyncio.timeout(_GOLDEN_TIMEOUT_S):
                response = await self._predict(loaded, request)
            if problem := verdict(sample, response):
                raise InternalError(
                    f"golden[{index}]: {problem}.",
                    reason=GOLDEN_MISMATCH,
                    fix="Check the model file, the pipeline and the package's golden samples.",
                )

    async def _ask_all(self, loaded: LoadedVersion, *, timeout_s: float, forgive: Sequence[str]) -> None:
        rows = _row_of_zeros(loaded)
        # Triton hands concurrent requests to idle instances, so this many at once reach each of them.
        answers = await asyncio.gather(
            *(self._ask(loaded, rows, timeout_s=timeout_s) for _ in range(max(1, loaded.instances))),
            return_exceptions=True,
        )
        errors = [error for error in answers if isinstance(error, BaseException)]
        for error in errors:
            if not (isinstance(error, LeptonError) and error.reason in forgive):
                raise error
        loaded.succeeded()

    async def _takes_items(self, loaded: LoadedVersion) -> bool:
        """Whether the pipeline really runs beside the model: not where Triton's Python lacks Lepton."""
        request = infer_request(loaded.triton_name, no_items())
        try:
            await self._triton.infer(request, timeout_s=_ALIVE_TIMEOUT_S)
        except LeptonError as error:
            if error.reason not in _ANSWERED:
                raise
            _log.info("The pipeline of %s runs in the preprocess service only: %s", loaded.triton_name, error.message)
            return False
        return True

    async def _ask(self, loaded: LoadedVersion, rows: Rows, *, timeout_s: float) -> None:
        await self._triton.infer(infer_request(loaded.triton_name, rows), timeout_s=timeout_s)


def _is_fixed(loaded: LoadedVersion) -> bool:
    return all(dimension >= 0 for tensor in loaded.description.inputs for dimension in tuple(tensor.shape)[1:])


def _row_of_zeros(loaded: LoadedVersion) -> Rows:
    tensors = zeros(loaded.description.inputs)
    return Rows(1, tuple(NamedTensor(each.name, proto_dtype(each), tuple(each.shape), each.data) for each in tensors))


def path_is_away(error: BaseException) -> bool:
    """Whether golden samples could not be tested at all, for instance because no preprocess service is up.

    That says nothing about the model, so it may serve: its liveness is known from `warm_up`.
    """
    if isinstance(error, Unavailable):
        return error.reason != TRITON_AWAY and not smells_dead(error)
    return isinstance(error, TimeoutError | DeadlineExceeded | ResourceExhausted)
