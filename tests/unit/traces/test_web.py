"""The HTTP side without a socket: ingest, Jaeger's envelope and errors, the page's questions, and the page."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lepton_ai.traces.ingest import Ingest
from lepton_ai.traces.otlp_http import OtlpEndpoint
from lepton_ai.traces.reader import TraceReader
from lepton_ai.traces.store import TraceStore
from lepton_ai.traces.web import make_app
from lepton_ai.traces.writer import SpanWriter
from tests.unit.traces.samples import (
    FAILED,
    PREDICTION,
    START_US,
    TRITON_OTLP_JSON,
    TRITON_TRACE_ID,
    WATCHED,
    Sample,
    otlp,
    span_id,
    trace_id,
)

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
MAX_REQUEST_BYTES = 20_000
WHEN = {"start": str(START_US - 1), "end": str(START_US + 10**9)}


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    store = TraceStore(tmp_path / "t.db", max_spans=1000, max_stored_bytes=10**9, max_trace_spans=20)
    writer = SpanWriter(store, max_queued_spans=1000, max_queued_bytes=10**9)
    reader = TraceReader(tmp_path / "t.db", store.directory)
    ingest = Ingest(writer, max_span_bytes=5000, write_timeout_s=5)
    app = make_app(reader, OtlpEndpoint(ingest, max_request_bytes=MAX_REQUEST_BYTES))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://store") as client:
        yield client
    writer.close(timeout_s=5)
    reader.close()


async def test_what_came_is_told_to_prometheus(http: httpx.AsyncClient) -> None:
    await post(http, *PREDICTION)
    page = (await http.get("/metrics")).text
    assert 'lepton_trace_spans_total{outcome="stored"} ' in page
    assert "process_resident_memory_bytes" in page


async def post(http: httpx.AsyncClient, *samples: Sample, trace: str = "trace", start_us: int = START_US) -> None:
    body = otlp(samples, trace=trace, start_us=start_us).SerializeToString()
    assert (await http.post("/v1/traces", content=body, headers=PROTOBUF)).status_code == 200


async def ask(http: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    response = await http.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def found(http: httpx.AsyncClient, **parameters: Any) -> list[str]:
    return [trace["traceID"] for trace in await ask(http, "/api/traces", **{**WHEN, **parameters})]


async def test_protobuf_in_jaegers_envelope_out(http: httpx.AsyncClient) -> None:
    await post(http, *PREDICTION)

    answer = (await http.get(f"/api/traces/{trace_id('trace').hex()}")).json()
    assert {key: answer[key] for key in ("total", "limit", "offset", "errors")} == {
        "total": 0,
        "limit": 0,
        "offset": 0,
        "errors": None,
    }
    assert len(answer["data"][0]["spans"]) == len(PREDICTION)


async def test_tritons_json_is_taken_as_it_is(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/traces", content=TRITON_OTLP_JSON.read_bytes(), headers=JSON)

    assert (response.status_code, response.json()) == (200, {})
    assert response.headers["content-type"] == "application/json"
    assert len((await ask(http, f"/api/traces/{TRITON_TRACE_ID}"))[0]["spans"]) == 3


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_exports(http: httpx.AsyncClient, encoding: str, compress: Any) -> None:
    body = compress(otlp(PREDICTION).SerializeToString())
    response = await http.post("/v1/traces", content=body, headers={**PROTOBUF, "content-encoding": encoding})

    assert response.status_code == 200
    assert await ask(http, "/api/services") == ["inference", "lepton-cli", "preprocess", "triton-inference-server"]


async def test_partial_success_counts_what_was_refused(http: httpx.AsyncClient) -> None:
    request = otlp([Sample(str(index), "s", 0, 1) for index in range(25)])
    request.resource_spans[0].scope_spans[0].spans[0].span_id = b"short"
    response = await http.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)

    answer = ExportTraceServiceResponse.FromString(response.content)
    assert response.status_code == 200
    assert answer.partial_success.rejected_spans == 1 + 4  # a bad id, and four more than a trace may have
    assert "span id" in answer.partial_success.error_message


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"\xff\xff\xff", PROTOBUF, 400),
        (b"{", JSON, 400),
        (b"", JSON, 400),
        (b"not gzip", {**PROTOBUF, "content-encoding": "gzip"}, 400),
        (gzip.compress(otlp(PREDICTION).SerializeToString())[:-20], {**PROTOBUF, "content-encoding": "gzip"}, 400),
        (b"x", {**PROTOBUF, "content-encoding": "br"}, 415),
        (b"x", {"content-type": "text/plain"}, 415),
        (b"x" * (MAX_REQUEST_BYTES + 1), PROTOBUF, 413),
        (gzip.compress(b"\0" * 50_000_000), {**PROTOBUF, "content-encoding": "gzip"}, 413),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_a_reason(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = await http.post("/v1/traces", content=content, headers=headers)

    assert response.status_code == status
    is_protobuf = response.headers["content-type"] == "application/x-protobuf"
    assert Status.FromString(response.content).message if is_protobuf else response.json()["message"]


async def test_exports_are_only_posted(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/traces")).status_code == 405


async def test_an_unknown_trace_is_jaegers_404(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/traces/abc")

    assert response.status_code == 404
    assert response.json() == {
        "data": None,
        "total": 0,
        "limit": 0,
        "offset": 0,
        "errors": [{"code": 404, "msg": "trace not found"}],
    }


async def test_a_search_without_service_is_jaegers_400(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/traces")

    assert response.status_code == 400
    assert response.json()["errors"][0]["code"] == 400
    assert "parameter 'service' is required" in response.json()["errors"][0]["msg"]


async def test_services_and_operations_are_counted(http: httpx.AsyncClient) -> None:
    await post(http, *PREDICTION)
    await post(http, Sample("x", "预处理/a b", 0, 1, operation="解码"), trace="other")

    assert (await http.get("/api/services")).json()["total"] == 5
    assert await ask(http, "/api/services/preprocess/operations") == ["decode_image", "preprocess batch", "resize"]
    assert await ask(http, "/api/services/预处理%2Fa b/operations") == ["解码"]
    assert await ask(http, "/api/services/nobody/operations") == []


async def test_search_finds_the_traces_with_one_span_that_meets_all(http: httpx.AsyncClient) -> None:
    ids = {name: trace_id(name).hex() for name in ("old", "new", "failed")}
    await post(http, *PREDICTION, trace="old", start_us=START_US)
    await post(http, *PREDICTION, trace="new", start_us=START_US + 5_000_000)
    await post(http, *FAILED, trace="failed", start_us=START_US + 2_000_000)

    assert await found(http, service="inference") == [ids["new"], ids["failed"], ids["old"]]
    assert await found(http, service="inference", limit=1) == [ids["new"]]
    assert await found(http, service="triton-inference-server") == [ids["new"], ids["old"]]
    assert await found(http, service="preprocess", operation="resize", end=START_US + 4_000_000) == [ids["old"]]
    assert await found(http, service="preprocess", operation="decode_image", maxDuration="3ms") == [ids["failed"]]
    assert await found(http, service="preprocess", operation="decode_image", minDuration="3ms") == [
        ids["new"],
        ids["old"],
    ]
    assert await found(http, service="inference", tags='{"error":"true"}') == [ids["failed"]]
    assert await found(http, service="inference", tag="lepton.batch.size:4", limit=1) == [ids["new"]]
    of_process = await found(http, service="inference", tag="service.instance.id:inference-1")
    assert of_process == [ids["new"], ids["failed"], ids["old"]]
    assert await found(http, service="triton-inference-server", tag="event:QUEUE_START") == [ids["new"], ids["old"]]
    assert await found(http, service="inference", tag="lepton.batch.size:5") == []
    assert await found(http, traceID=[ids["old"], "123", ids["old"]]) == [ids["old"]]


async def test_the_list_has_one_line_a_trace_newest_first(http: httpx.AsyncClient) -> None:
    await post(http, *PREDICTION, trace="old")
    await post(http, *FAILED, trace="failed", start_us=START_US + 1_000_000)

    failed, old = await ask(http, "/api/lepton/recent")
    assert failed == {
        "trace_id": trace_id("failed").hex(),
        "service": "lepton-cli",
        "operation": "lepton.v1.InferenceService/Predict",
        "start_us": START_US + 1_000_000,
        "duration_us": 6000,
        "spans": 3,
        "errors": 3,
        "services": ["inference", "lepton-cli", "preprocess"],
        "models": [],
        "left": False,
    }
    assert old["trace_id"] == trace_id("old").hex()
    assert [line["errors"] for line in await ask(http, "/api/lepton/recent", service="triton-inference-server")] == [0]
    assert len(await ask(http, "/api/lepton/recent", limit=1)) == 1


async def test_the_list_names_models_and_does_not_take_leaving_for_failing(http: httpx.AsyncClient) -> None:
    await post(http, *PREDICTION)
    alone = replace(WATCHED[1], parent="")
    await post(http, alone, trace="watch", start_us=START_US + 1_000_000)

    watch, prediction = await ask(http, "/api/lepton/recent")
    assert (watch["left"], watch["errors"], watch["models"]) == (True, 0, [])
    assert (prediction["left"], prediction["models"]) == (False, ["efficientnet-lite0@1"])
    (picture,) = await ask(http, f"/api/lepton/waterfall/{watch['trace_id']}")
    assert (picture["errors"], picture["rows"][0]["span"]["left"]) == (0, True)


async def test_what_triton_posts_as_json_is_in_the_list(http: httpx.AsyncClient) -> None:
    await http.post("/v1/traces", content=TRITON_OTLP_JSON.read_bytes(), headers=JSON)
    lines = await ask(http, "/api/lepton/recent")
    assert [(line["models"], line["left"]) for line in lines] == [([], False)] * 2


async def test_the_waterfall_has_times_from_the_start_of_the_trace(http: httpx.AsyncClient) -> None:
    await post(http, *PREDICTION)

    (picture,) = await ask(http, f"/api/lepton/waterfall/{trace_id('trace').hex()}")
    model = next(row for row in picture["rows"] if row["span"]["operation"] == "efficientnet-lite0--v1")
    assert (picture["durationUs"], picture["spans"], picture["errors"]) == (41_200, 14, 0)
    assert model["segments"] == [{"name": "queue", "startUs": 15_300, "durationUs": 2_100}]
    assert (model["depth"], model["span"]["startUs"], model["span"]["spanID"]) == (5, 15_200, span_id("model").hex())
    assert (await http.get("/api/lepton/waterfall/abc")).status_code == 404


@pytest.mark.parametrize("path", ["/", "/search", "/trace/abc"])
async def test_pages_may_run_and_load_only_what_is_theirs(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)

    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "<script>" not in response.text
    assert " style=" not in response.text
    for name in ("style.css", "shared.js", "icon.svg"):
        assert (await http.get(f"/static/{name}")).status_code == 200


async def test_scripts_never_build_markup_from_text(http: httpx.AsyncClient) -> None:
    for name in ("shared.js", "list.js", "trace.js"):
        script = (await http.get(f"/static/{name}")).text
        assert not [
            word
            for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
            if word in script
        ]


async def test_answers_are_plain_json_whatever_the_names(http: httpx.AsyncClient) -> None:
    await post(http, Sample("x", "<img>", 0, 1, operation="</script>\0\u2028", tags={"n": float("nan")}))

    response = await http.get(f"/api/traces/{trace_id('trace').hex()}")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert json.loads(response.text)["data"][0]["spans"][0]["operationName"] == "</script>\0\u2028"


async def test_healthz(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).status_code == 200


async def test_operations_come_with_their_kinds_and_are_counted(http: httpx.AsyncClient) -> None:
    await post(http, *PREDICTION)
    kinds = {(span.operation or span.name, span.kind) for span in PREDICTION if span.service == "inference"}
    answer = (await http.get("/api/operations", params={"service": "inference"})).json()
    assert {(each["name"], each["spanKind"]) for each in answer["data"]} == kinds
    assert answer["total"] == len(answer["data"]) == len(kinds)
    servers = await ask(http, "/api/operations", service="inference", spanKind="server")
    assert {(each["name"], each["spanKind"]) for each in servers} == {pair for pair in kinds if pair[1] == "server"}
    assert await ask(http, "/api/operations", service="nobody") == []


async def test_operations_need_a_service(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/operations")
    assert response.status_code == 400
    assert "service" in response.json()["errors"][0]["msg"]


DURING = {"endTs": str(START_US // 1000 + 60_000), "lookback": "120000"}


async def test_dependencies_are_the_calls_between_services_counted(http: httpx.AsyncClient) -> None:
    await post(http, *PREDICTION)
    await post(http, *PREDICTION, trace="another")
    services = {span.name: span.service for span in PREDICTION}
    pairs = [(services[span.parent], span.service) for span in PREDICTION if span.parent in services]
    expected = {pair: 2 * pairs.count(pair) for pair in pairs if pair[0] != pair[1]}
    links = await ask(http, "/api/dependencies", **DURING)
    assert {(link["parent"], link["child"]): link["callCount"] for link in links} == expected
    assert expected


async def test_dependencies_of_one_service_are_those_on_either_side_of_it(http: httpx.AsyncClient) -> None:
    await post(http, Sample("a", "one", 0, 9), Sample("b", "two", 1, 5, "a"), Sample("c", "three", 2, 2, "b"))
    await post(http, Sample("d", "four", 3, 1), Sample("e", "five", 4, 1, "d"), trace="another")
    links = await ask(http, "/api/dependencies", **DURING, service="two")
    assert [(link["parent"], link["child"]) for link in links] == [("one", "two"), ("two", "three")]


async def test_a_call_whose_sides_came_in_exports_of_their_own_counts_once_however_often_it_came(
    http: httpx.AsyncClient,
) -> None:
    for _ in range(2):
        await post(http, Sample("b", "two", 1, 5, "a"))
    await post(http, Sample("a", "one", 0, 9))
    assert await ask(http, "/api/dependencies", **DURING) == [{"parent": "one", "child": "two", "callCount": 1}]


async def test_calls_outside_of_the_time_asked_for_and_links_do_not_count(http: httpx.AsyncClient) -> None:
    await post(http, Sample("a", "one", 0, 9), Sample("b", "two", 1, 5, "a"))
    await post(http, Sample("f", "six", 0, 9, links=[("trace", "a")]), trace="linked")
    before = {"endTs": str(START_US // 1000 - 1000), "lookback": "1000"}
    assert await ask(http, "/api/dependencies", **before) == []
    assert [link["child"] for link in await ask(http, "/api/dependencies", **DURING)] == ["two"]


async def test_dependencies_reach_a_day_back_and_say_what_is_wrong_with_a_time(http: httpx.AsyncClient) -> None:
    two_days_ago_us = time.time_ns() // 1000 - 2 * 86_400 * 10**6
    calls = (Sample("a", "one", 0, 9), Sample("b", "two", 1, 5, "a"))
    await post(http, *calls, start_us=two_days_ago_us)
    assert await ask(http, "/api/dependencies") == []
    await post(http, *calls, trace="now", start_us=time.time_ns() // 1000 - 10**6)
    assert (await http.get("/api/dependencies")).json()["total"] == 0
    assert [link["callCount"] for link in await ask(http, "/api/dependencies")] == [1]
    assert (await http.get("/api/dependencies", params={"endTs": "soon"})).status_code == 400
