"""The platform's services and who calls whom, as data: the README's table and the traces are checked against it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """A row of the README's table."""

    name: str
    port: int
    """Usual port of the local stack."""
    calls: tuple[str, ...]


SERVICES = (
    Service("inference", 8500, ("preprocess", "triton", "registry")),
    Service("registry", 8510, ()),
    Service("health", 8520, ("inference", "registry")),
    Service("preprocess", 8530, ()),
)

PREDICTION_EDGES = {("client", "inference"), ("inference", "preprocess"), ("inference", "triton")}
"""Caller and callee of every hop in the trace of one prediction of a photo; no more, no less."""

PREDICTION_SPANS = (
    "lepton.v1.InferenceService/Predict",
    "lepton.v1.PreprocessService/PreprocessStream",
    "decode_image",
    "queue",
    "batch",
    "inference.GRPCInferenceService/ModelInfer",
    "InferRequest",
    "compute",
)
"""Names of spans that such a trace must have, the last two being Triton's own."""
