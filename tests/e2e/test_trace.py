"""One trace through everything: from the client into Triton, with queue and compute times, errors marked."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any, cast

import httpx
import pytest

from examples.efficientnet_lite0 import NAME, photos
from lepton_ai.errors import InvalidInput
from lepton_ai.testing import eventually
from lepton_ai.traces.client import TraceClient
from lepton_ai.traces.edges import call_edges
from tests.platform import Platform
from tests.topology import PREDICTION_EDGES, PREDICTION_SPANS

Trace = dict[str, Any]
_PREDICTIONS = 200
"""More than the lone callers after whom the slower path is tried again."""


async def traced_prediction(platform: Platform) -> str:
    async with platform.client(trace_ratio=1.0) as client:
        answer = await client.predict_batch(NAME, [photos()[0].path])
    return answer.trace_id


async def read_trace(platform: Platform, trace_id: str) -> Trace:
    traces = TraceClient(platform.state.addresses["traces"])
    return await asyncio.to_thread(partial(traces.wait, trace_id, timeout_s=10))


def tags(span: dict[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in span["tags"]}


async def test_a_prediction_is_one_trace_whose_edges_are_the_topology(platform: Platform) -> None:
    seen: set[str] = set()
    ways: set[str] = set()
    for _ in range(_PREDICTIONS):  # the first lone callers try each path, so that both are measured
        trace = await read_trace(platform, await traced_prediction(platform))
        (path,) = {tags(span)["lepton.path"] for span in trace["spans"] if "lepton.path" in tags(span)}
        assert call_edges(trace) == PREDICTION_EDGES[path]
        assert set(PREDICTION_SPANS[path]) <= {span["operationName"] for span in trace["spans"]}
        seen.add(path)
        ways |= {tags(span)["lepton.tensors"] for span in trace["spans"] if "lepton.tensors" in tags(span)}
        if seen == PREDICTION_EDGES.keys() and "memory" in ways:  # preprocess and inference run on one host
            return
    pytest.fail(f"only {seen} in {_PREDICTIONS} predictions, tensors of the preprocess service through {ways}")


async def test_the_times_in_tritons_queue_and_compute_are_in_the_trace(platform: Platform) -> None:
    trace = await read_trace(platform, await traced_prediction(platform))
    events = {
        field["value"] for span in trace["spans"] for log in span["logs"] for field in log["fields"]
    }  # fmt: skip
    assert {"QUEUE_START", "COMPUTE_START", "COMPUTE_END"} <= events


async def test_a_bad_photo_marks_the_spans_it_failed_in(platform: Platform) -> None:
    async with platform.client(trace_ratio=1.0) as client:
        with pytest.raises(InvalidInput):
            await client.predict(NAME, b"no photo")
    found = eventually(lambda: newest_failed(platform), timeout_s=10, description="the failed trace arrives")
    trace = cast(Trace, await found)
    marked = {span["operationName"] for span in trace["spans"] if tags(span).get("error") is True}
    assert "lepton.v1.InferenceService/Predict" in marked
    assert marked & {"preprocess", "lepton.v1.PreprocessService/PreprocessStream"}, "where the photo was decoded"


async def newest_failed(platform: Platform) -> Trace | None:
    """The newest trace of a failed call of a client."""
    query: dict[str, str | int] = {"service": "inference", "tags": json.dumps({"error": "true"}), "limit": 1}
    async with httpx.AsyncClient(base_url=platform.state.addresses["traces"]) as http:
        found: list[Trace] = (await http.get("/api/traces", params=query)).json()["data"]
    services = {process["serviceName"] for trace in found for process in trace["processes"].values()}
    return found[0] if {"client", "inference"} <= services else None
