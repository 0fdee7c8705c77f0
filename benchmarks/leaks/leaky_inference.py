"""`python -m benchmarks.leaks.leaky_inference`: the inference service with a planted leak of 1 KB a request."""

from __future__ import annotations

import os

from lepton_ai.mesh.serving.launch import launch
from services.inference import service
from services.inference.call import Call
from services.inference.predict.predictor import Predictor
from services.inference.predict.request import InferenceRequest
from services.inference.predict.result import InferenceResult

_LEAKED_BYTES = 1024


async def main() -> None:
    """Serve until SIGTERM, and forget nothing."""
    kept: list[bytes] = []
    predict = Predictor.predict

    async def leak(self: Predictor, request: InferenceRequest, call: Call) -> InferenceResult:
        kept.append(os.urandom(_LEAKED_BYTES))
        return await predict(self, request, call)

    Predictor.predict = leak  # type: ignore[method-assign]
    await service.main()


if __name__ == "__main__":
    launch("benchmarks.leaks.leaky_inference:main")
