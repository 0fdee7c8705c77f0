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

PREDICTION_EDGES = {
    "fused": {("client", "inference"), ("inference", "triton")},
    "remote": {("client", "inference"), ("inference", "preprocess"), ("inference", "triton")},
}
"""Path of a photo → caller and callee of every hop in the trace of its prediction; no more, no less."""

_ALWAYS = (
    "lepton.v1.InferenceService/Predict",
    "decode_image",
    "queue",
    "batch",
    "inference.GRPCInferenceService/ModelInfer",
    "InferRequest",
    "compute",
)
PREDICTION_SPANS = {
    "fused": (*_ALWAYS, "preprocess"),
    "remote": (*_ALWAYS, "lepton.v1.PreprocessService/PreprocessStream"),
}
"""Names of spans that such a trace must have; InferRequest and compute are Triton's own."""
