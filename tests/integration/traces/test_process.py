"""The trace store as a process: real exporters in, Jaeger's JSON out, killed, drained, refused a port."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from click.testing import CliRunner
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode

from lepton_ai.cli.trace import trace as trace_command
from lepton_ai.errors import InternalError, InvalidInput, NotFound, Unavailable
from lepton_ai.traces.client import TraceClient
from lepton_ai.traces.edges import call_edges
from lepton_ai.traces.tree import build_tree
from tests.integration.traces.conftest import StartStore, launch
from tests.unit.traces.samples import PREDICTION, TRITON_OTLP_JSON, TRITON_TRACE_ID, Sample, otlp, trace_id

ID = trace_id("trace").hex()


async def export(address: str, *samples: Sample) -> Any:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = TraceServiceStub(channel)  # type: ignore[no-untyped-call]
        return await stub.Export(otlp(samples), timeout=10)


async def test_spans_of_opentelemetrys_exporter_come_back_as_they_were(start_store: StartStore) -> None:
    store = await start_store()
    provider = TracerProvider(resource=Resource.create({"service.name": "推理"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(store.grpc, insecure=True)))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("elsewhere") as other:
        pass
    links = [Link(other.get_span_context())]
    with (
        tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer,
        tracer.start_as_current_span("inner", links=links) as inner,
    ):
        inner.add_event("tick", {"n": 1})
        inner.set_status(StatusCode.ERROR, "no")
    provider.shutdown()

    trace = TraceClient(store.url).fetch(f"{outer.get_span_context().trace_id:x}")
    spans = list(build_tree(trace).spans)
    assert [(span.service, span.operation, span.kind, span.error) for span in spans] == [
        ("推理", "outer", "server", False),
        ("推理", "inner", "internal", True),
    ]
    assert spans[1].events[0].fields == (("n", 1),)
    assert spans[1].links[0].span_id == f"{other.get_span_context().span_id:016x}"


async def test_tritons_json_over_the_second_port(start_store: StartStore) -> None:
    store = await start_store(OTLP_HTTP_PORT=0)

    assert store.otlp_http != store.http
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"http://{store.otlp_http}/v1/traces",
            content=TRITON_OTLP_JSON.read_bytes(),
            headers={"content-type": "application/json"},
        )
    assert answer.status_code == 200
    assert len(TraceClient(store.url).fetch(TRITON_TRACE_ID)["spans"]) == 3


async def test_what_was_acknowledged_survives_a_kill(start_store: StartStore) -> None:
    store = await start_store()
    await export(store.grpc, *PREDICTION)
    store.stop(signal.SIGKILL)

    again = await start_store()
    trace = TraceClient(again.url).fetch(ID)
    assert len(trace["spans"]) == len(PREDICTION)
    assert ("inference", "triton-inference-server") in call_edges(trace)
    await export(again.grpc, *PREDICTION)
    assert len(TraceClient(again.url).fetch(ID)["spans"]) == len(PREDICTION)


async def test_sigterm_ends_it_in_order(start_store: StartStore, tmp_path: Path) -> None:
    store = await start_store()
    await export(store.grpc, *PREDICTION)

    assert store.stop(signal.SIGTERM) == 0
    assert not (tmp_path / "traces.db-wal").exists()
    with sqlite3.connect(tmp_path / "traces.db") as connection:
        assert connection.execute("SELECT count(*) FROM exports").fetchone() == (1,)
    connection.close()


async def test_an_export_that_is_too_large_is_refused_over_grpc(start_store: StartStore) -> None:
    store = await start_store(MAX_REQUEST_BYTES=2000)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(store.grpc, *PREDICTION)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await export(store.grpc, PREDICTION[0])).partial_success.rejected_spans == 0


async def test_a_packed_export_is_taken_over_grpc_and_unpacked_only_as_far_as_it_may_be(
    start_store: StartStore,
) -> None:
    store = await start_store(MAX_REQUEST_BYTES=1 << 20)
    async with grpc.aio.insecure_channel(store.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        stub: Any = TraceServiceStub(channel)  # type: ignore[no-untyped-call]
        await stub.Export(otlp(PREDICTION), timeout=10, compression=grpc.Compression.Gzip)
        bomb: Any = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await bomb(bytes(100 << 20), timeout=30, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(TraceClient(store.url).fetch(ID)["spans"]) == len(PREDICTION)
    assert psutil.Process(store.process.pid).memory_info().rss < 150 << 20


async def test_an_export_that_is_too_large_is_refused_over_http_while_it_is_still_sent(start_store: StartStore) -> None:
    store = await start_store(MAX_REQUEST_BYTES=1 << 20)
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{store.url}/v1/traces", content=bytes(12 << 20), headers={"content-type": "application/x-protobuf"}
        )
    assert answer.status_code == 413


async def test_what_is_no_export_is_an_invalid_argument_over_grpc(start_store: StartStore) -> None:
    store = await start_store()
    async with grpc.aio.insecure_channel(store.grpc) as channel:
        call: Any = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff", timeout=10)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "protobuf" in (caught.value.details() or "")


@pytest.mark.parametrize("name", ["HTTP_PORT", "GRPC_PORT", "OTLP_HTTP_PORT"])
async def test_a_port_that_is_taken_is_said_with_its_setting(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        store = launch(tmp_path, **{name: taken.getsockname()[1]})

        assert store.process.wait(30) == 1
    assert re.search(rf"Cannot listen on 127\.0\.0\.1:\d+.*LEPTON_TRACES_{name}", store.log.read_text())


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"HTTP_PORT": "much"}, "LEPTON_TRACES_HTTP_PORT"), ({"MAX_SPANS": 0}, "LEPTON_TRACES_MAX_SPANS")],
)
async def test_a_wrong_setting_is_named(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    store = launch(tmp_path, **settings)

    assert store.process.wait(30) == 2
    assert said in store.log.read_text()


async def test_the_command_prints_the_tree_and_the_page(start_store: StartStore) -> None:
    store = await start_store()
    await export(store.grpc, *PREDICTION)

    shown = CliRunner().invoke(trace_command, [ID, "--url", store.url])
    assert shown.exit_code == 0, shown.output
    assert "└─ inference lepton.v1.InferenceService/Predict" in shown.stdout
    assert f"In a browser: {store.url}/trace/{ID}" in shown.stdout
    assert "not arrived" not in shown.stderr

    document = json.loads(CliRunner().invoke(trace_command, [ID, "--url", store.url, "--json"]).stdout)
    assert document["traceID"] == ID
    async with httpx.AsyncClient() as http:
        assert 'src="/static/trace.js"' in (await http.get(f"{store.url}/trace/{ID}")).text


async def test_the_command_shows_what_is_there_when_the_rest_does_not_come(start_store: StartStore) -> None:
    store = await start_store()
    await export(store.grpc, *PREDICTION[5:])

    shown = CliRunner().invoke(trace_command, [ID, "--url", store.url, "--wait", "0.3"])
    assert shown.exit_code == 0
    assert "was not received" in shown.stdout
    assert "not arrived" in shown.stderr


async def test_the_client_says_what_is_wrong(start_store: StartStore) -> None:
    store = await start_store()
    with pytest.raises(NotFound, match="no trace"):
        TraceClient(store.url).wait(ID, timeout_s=0.1)
    with pytest.raises(InvalidInput, match="hexadecimal"):
        TraceClient(store.url).fetch("../services")
    with pytest.raises(InvalidInput, match="http://"):
        TraceClient("file:///etc/passwd")
    with pytest.raises(InternalError, match="HTTP 405"):
        TraceClient(f"{store.url}/v1/traces?").fetch(ID)
    store.stop()
    with pytest.raises(Unavailable, match="No trace store answers"):
        TraceClient(store.url).fetch(ID)
