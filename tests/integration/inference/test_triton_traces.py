"""Triton's own spans: sent over OTLP/HTTP for requests with a traceparent, and for no others."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.local.programs.triton import find_triton
from lepton_ai.local.programs.triton_repair import needs_repair
from lepton_ai.testing import eventually
from lepton_ai.testing.running_triton import running_triton
from services.inference.triton.client import Triton
from tests.integration.inference.test_triton_models import ROWS, add, request
from tests.sample_packages import onnx_bytes

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(ThreadingHTTPServer):
    """Keeps the spans that are posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[dict[str, Any]] = []
        self.services: set[str] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def take(self, document: dict[str, Any]) -> None:
        for resource in document["resourceSpans"]:
            attributes = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
            self.services.add(attributes["service.name"]["stringValue"])
            for scope in resource["scopeSpans"]:
                self.spans += scope["spans"]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.take(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Not to the test's output."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_only_requests_with_a_traceparent_are_traced_and_join_the_callers_trace(
    tmp_path: Path, collector: Collector
) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_bytes())
    async with running_triton(tmp_path / "triton", otlp_http_address=collector.address) as local_triton:
        triton = Triton(local_triton.address)
        name = add(local_triton, tmp_path / "model.onnx")
        await triton.load(name)
        for _ in range(5):
            await triton.infer(request(name, x=ROWS), timeout_s=5)
        traced = [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")]
        answer = await triton.infer(request(name, x=ROWS), timeout_s=5, metadata=traced)
        assert np.frombuffer(answer.raw_output_contents[0], np.float32).sum() == ROWS.sum() * 2
        await eventually(lambda: len(collector.spans) >= 3, timeout_s=10, description="Triton's spans arrive")
        await triton.close()
    # After Triton has ended it has sent all that it had.
    spans = {span["name"]: span for span in collector.spans}
    assert sorted(spans) == ["InferRequest", "compute", name] and len(collector.spans) == 3
    assert {span["traceId"] for span in collector.spans} == {TRACE_ID}
    assert spans["InferRequest"]["parentSpanId"] == PARENT_ID
    assert spans[name]["parentSpanId"] == spans["InferRequest"]["spanId"]
    assert spans["compute"]["parentSpanId"] == spans[name]["spanId"]
    assert collector.services == {"triton"}


@pytest.fixture
def mended() -> None:
    installation = find_triton()
    if installation.backend is None or not needs_repair(installation.binary):
        pytest.skip("This tritonserver is run as it is: see lepton_ai/local/programs/triton_repair.py.")


@pytest.mark.usefixtures("mended")
async def test_no_traced_request_is_missed(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_bytes())
    async with running_triton(tmp_path / "triton", otlp_http_address=collector.address) as local_triton:
        triton = Triton(local_triton.address)
        name = add(local_triton, tmp_path / "model.onnx")
        await triton.load(name)
        sent = [secrets.token_hex(16) for _ in range(200)]
        for trace_id in sent:
            traced = [("traceparent", f"00-{trace_id}-{PARENT_ID}-01")]
            await triton.infer(request(name, x=ROWS), timeout_s=5, metadata=traced)
        await triton.close()
    assert sorted(span["traceId"] for span in collector.spans) == sorted(sent * 3)


@pytest.mark.usefixtures("mended")
async def test_triton_lives_through_many_traced_requests_at_once(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "model.onnx").write_bytes(onnx_bytes())
    async with running_triton(tmp_path / "triton", otlp_http_address=collector.address) as local_triton:
        triton = Triton(local_triton.address)
        name = add(local_triton, tmp_path / "model.onnx")
        await triton.load(name)

        async def ask() -> None:
            for _ in range(150):
                traced = [("traceparent", f"00-{secrets.token_hex(16)}-{PARENT_ID}-01")]
                await triton.infer(request(name, x=ROWS), timeout_s=20, metadata=traced)

        pid = local_triton.pid
        await asyncio.gather(*(ask() for _ in range(40)))
        assert local_triton.pid == pid
        await triton.close()
