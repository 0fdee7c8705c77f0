"""Traces to test with: a request through all services as their exporters send it, built span by span."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

TRITON_OTLP_JSON = Path(__file__).with_name("triton_otlp.json")
"""What Triton 2.51 posted for two requests that carried a traceparent; the second one failed in the model."""
TRITON_TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

Value = str | bool | int | float
START_US = 1_795_258_201_000_000
KINDS = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "": Span.SPAN_KIND_UNSPECIFIED,
}


def trace_id(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:16]


def span_id(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:8]


@dataclass(frozen=True)
class Sample:
    """One span; times are µs from START_US, `parent` and `name` are turned into ids."""

    name: str
    service: str
    start_us: int
    duration_us: int
    parent: str = ""
    operation: str = ""
    kind: str = "internal"
    error: str = ""
    tags: Mapping[str, Value] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    links: Sequence[tuple[str, str]] = ()


def otlp(samples: Sequence[Sample], *, trace: str = "trace", start_us: int = START_US) -> ExportTraceServiceRequest:
    """An export of these spans, one resource a service."""
    services = dict.fromkeys(sample.service for sample in samples)
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(
                    attributes=[_pair("service.name", service), _pair("service.instance.id", f"{service}-1")]
                ),
                scope_spans=[
                    ScopeSpans(
                        scope=InstrumentationScope(name="lepton", version="0.1.0"),
                        spans=[_span(sample, trace, start_us) for sample in samples if sample.service == service],
                    )
                ],
            )
            for service in services
        ]
    )


def _span(sample: Sample, trace: str, origin_us: int) -> Span:
    start_ns = (origin_us + sample.start_us) * 1000
    return Span(
        trace_id=trace_id(trace),
        span_id=span_id(sample.name),
        parent_span_id=span_id(sample.parent) if sample.parent else b"",
        name=sample.operation or sample.name,
        kind=KINDS[sample.kind],
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + sample.duration_us * 1000,
        attributes=[_pair(key, value) for key, value in sample.tags.items()],
        events=[
            Span.Event(name=name, time_unix_nano=(origin_us + time_us) * 1000)
            for name, time_us in sample.events.items()
        ],
        links=[Span.Link(trace_id=trace_id(trace), span_id=span_id(span)) for trace, span in sample.links],
        status=Status(code=Status.STATUS_CODE_ERROR, message=sample.error) if sample.error else None,
    )


def _pair(key: str, value: Value) -> KeyValue:
    if isinstance(value, bool):
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    if isinstance(value, float):
        return KeyValue(key=key, value=AnyValue(double_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=value))


MODEL: Mapping[str, Value] = {
    "lepton.model.name": "efficientnet-lite0",
    "lepton.model.version": 1,
    "lepton.model.alias": "production",
}
PREDICT = "lepton.v1.InferenceService/Predict"
INFER = "inference.GRPCInferenceService/ModelInfer"

PREDICTION = (
    Sample("call", "lepton-cli", 0, 41_200, operation=PREDICT, kind="client", tags={"rpc.system.name": "grpc"}),
    Sample("serve", "inference", 900, 39_400, "call", PREDICT, "server", tags=MODEL),
    Sample("pre-wait", "inference", 1_400, 9_800, "serve", "preprocess", "client"),
    Sample("pre", "preprocess", 2_100, 8_500, "pre-wait", "preprocess batch", "server", tags={"lepton.batch.size": 4}),
    Sample("decode", "preprocess", 2_300, 5_100, "pre", "decode_image"),
    Sample("resize", "preprocess", 7_400, 2_700, "pre", "resize"),
    Sample("queue", "inference", 11_300, 3_000, "serve", tags={"lepton.queue_ms": 3.0}),
    Sample("compute", "inference", 14_300, 24_900, "serve"),
    Sample("batch", "inference", 14_300, 24_800, "serve", tags={"lepton.batch.size": 4}, links=[("other", "serve")]),
    Sample("infer", "inference", 14_600, 24_300, "batch", INFER, "client"),
    Sample(
        "request", "triton-inference-server", 15_100, 23_500, "infer", "InferRequest", "server",
        events={"GRPC_WAITREAD_START": -450_000, "GRPC_SEND_START": 38_100, "GRPC_SEND_END": 38_400},
    ),
    Sample(
        "model", "triton-inference-server", 15_200, 23_300, "request", "efficientnet-lite0--v1", "server",
        tags={"triton.model_name": "efficientnet-lite0--v1", "triton.model_version": 1},
        events={"REQUEST_START": 15_200, "QUEUE_START": 15_300, "REQUEST_END": 38_500},
    ),
    Sample(
        "triton-compute", "triton-inference-server", 17_400, 20_900, "model", "compute", "server",
        events={
            "COMPUTE_START": 17_400,
            "COMPUTE_INPUT_END": 18_000,
            "COMPUTE_OUTPUT_START": 37_700,
            "COMPUTE_END": 38_300,
        },
    ),
    Sample("post", "inference", 39_300, 700, "serve", "postprocess"),
)  # fmt: skip
"""One prediction from the command line into Triton and back, in a batch of four."""

FAILED = (
    Sample("call", "lepton-cli", 0, 6_000, operation=PREDICT, kind="client", error="not an image"),
    Sample("serve", "inference", 700, 4_900, "call", PREDICT, "server", error="not an image"),
    Sample("pre", "preprocess", 1_500, 2_200, "serve", "decode_image", error="猫.jpg is not an image <b>&</b>"),
)
"""A prediction that failed in preprocessing."""

LEFT: Mapping[str, Value] = {"rpc.response.status_code": "CANCELLED"}
WATCHED = (
    Sample("deploy", "registry", 0, 30_000, operation="lepton.v1.RegistryService/Deploy", kind="server"),
    Sample(
        "watch", "health", 5_000, 90_000_000, "deploy", "lepton.v1.HealthService/WatchStatus", "server", tags=LEFT,
        error="the other side counts leaving as an error",
    ),
)  # fmt: skip
"""A deployment whose maker watched for a minute and a half and then left."""
