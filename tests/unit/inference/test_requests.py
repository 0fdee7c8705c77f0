"""Requests by version for Prometheus."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition

from lepton_ai.errors import InvalidInput, LeptonError, Unavailable
from lepton_ai.mesh.tracing.context import enter_sampled_trace, leave_sampled_trace
from lepton_ai.v1 import inference_pb2
from services.inference.forwarding.forwarder import Forwarder
from services.inference.forwarding.placement import Placement
from services.inference.requests import RequestCollector
from services.inference.routing.refusals import Refusals
from services.inference.routing.routes import ModelReference, ModelRoutes, Routes, Target
from services.inference.variants.offers import Offer, Policy
from tests.unit.inference.colours import BLUE, RED, DataPlane, colours_version, data_plane, item


async def ask(plane: DataPlane, photo: bytes) -> None:
    request = inference_pb2.PredictRequest(items=[item(photo)])
    request.model.name = "colours"
    await plane.predict(request, plane.call())


async def test_requests_are_counted_by_version_and_outcome_and_timed() -> None:
    plane, registry = await data_plane(colours_version(version=3)), CollectorRegistry()
    RequestCollector(registry, plane.routes, Refusals(plane.routes))
    for photo in (RED, BLUE):
        await ask(plane, photo)
    with pytest.raises(InvalidInput):
        await ask(plane, b"no picture")
    page = generate_latest(registry).decode()
    assert 'lepton_requests_total{code="OK",model="colours",version="3"} 2.0' in page
    assert 'lepton_requests_total{code="INVALID_ARGUMENT",model="colours",version="3"} 1.0' in page
    assert 'lepton_request_seconds_count{model="colours",version="3"} 2.0' in page
    assert 'lepton_request_seconds_bucket{le="+Inf",model="colours",version="3"} 2.0' in page
    assert 'lepton_request_seconds_sum{model="colours",version="3"} 0.' in page


async def test_requests_of_a_variant_have_a_label_of_their_own_beside_the_version() -> None:
    plane, registry = await data_plane(colours_version(version=3)), CollectorRegistry()
    RequestCollector(registry, plane.routes, Refusals(plane.routes))
    (model,) = plane.routes.models()
    variant = colours_version(version=3)
    variant.variant = "int8"
    offers = {3: Offer(Policy.AUTO, "int8", variant)}
    plane.routes.replace({model.name: replace(model, offers=offers)})
    await ask(plane, RED)
    variant.statistics.failed(1, "INTERNAL")
    page = generate_latest(registry).decode()
    assert 'lepton_requests_total{code="OK",model="colours",version="3"} 1.0' in page
    assert 'lepton_requests_total{code="INTERNAL",model="colours",variant="int8",version="3"} 1.0' in page
    assert 'lepton_request_seconds_count{model="colours",variant="int8",version="3"} 0.0' in page


async def test_a_sampled_request_is_the_exemplar_of_its_bucket() -> None:
    plane, registry = await data_plane(colours_version(version=3)), CollectorRegistry()
    RequestCollector(registry, plane.routes, Refusals(plane.routes))
    await ask(plane, RED)
    assert "# {" not in exposition.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    token = enter_sampled_trace("0af7651916cd43dd8448eb211c80319c")
    await ask(plane, BLUE)
    leave_sampled_trace(token)
    page = exposition.generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    assert page.count('# {trace_id="0af7651916cd43dd8448eb211c80319c"} ') == 1


def test_before_anything_is_deployed_there_is_nothing_to_tell() -> None:
    registry, routes = CollectorRegistry(), Routes()
    RequestCollector(registry, routes, Refusals(routes))
    assert "model=" not in generate_latest(registry).decode()


def refused(refusals: Refusals, *errors: tuple[ModelReference, LeptonError]) -> None:
    for reference, error in errors:
        with pytest.raises(LeptonError), refusals.counted(reference, error):
            raise error


def test_calls_that_a_version_does_not_answer_are_failures_of_it() -> None:
    registry, routes = CollectorRegistry(), Routes()
    refusals = Refusals(routes)
    RequestCollector(registry, routes, refusals)
    targets = (Target(version=1, weight=10), Target(version=2, weight=90))
    waiting = {1: "is being loaded", 2: "waits for Triton"}
    routes.replace({"colours": ModelRoutes("colours", {}, {"production": targets}, waiting)})
    page = generate_latest(registry).decode()
    assert 'lepton_requests_total{code="UNAVAILABLE",model="colours",version="2"} 0.0' in page
    not_ready = Unavailable("Not now.", reason="MODEL_NOT_READY")
    refused(
        refusals,
        (ModelReference("colours"), not_ready),
        (ModelReference("colours", version=1), not_ready),
        (ModelReference("colours", alias="production"), Unavailable("Gone.", reason="FORWARD_FAILED")),
        (ModelReference("colours", version=77), not_ready),
        (ModelReference("made up"), not_ready),
        (ModelReference("colours"), InvalidInput("Wrong.")),
    )
    page = generate_latest(registry).decode()
    assert 'lepton_requests_total{code="UNAVAILABLE",model="colours",version="2"} 2.0' in page
    assert 'lepton_requests_total{code="UNAVAILABLE",model="colours",version="1"} 1.0' in page
    assert "made up" not in page
    assert 'version="77"' not in page


def test_what_another_replica_refuses_is_counted_there() -> None:
    routes = Routes()
    refusals = Refusals(routes)
    routes.replace({"m": ModelRoutes("m", {}, {"production": (Target(1, 1),)}, {1: "is being loaded"})})
    ours, theirs = (Unavailable("Not now.", reason="MODEL_NOT_READY") for _ in range(2))
    with pytest.raises(Unavailable), refusals.counted(ModelReference("m"), ours):
        raise theirs
    assert refusals.of("m", 1) == 0


def test_refusals_of_a_version_that_is_deployed_no_more_are_forgotten() -> None:
    routes = Routes()
    refusals = Refusals(routes)
    there = {"m": ModelRoutes("m", {}, {"production": (Target(1, 1),)}, {1: "is being loaded"})}
    routes.replace(there)
    refused(refusals, (ModelReference("m"), Unavailable("Not now.", reason="MODEL_NOT_READY")))
    assert refusals.of("m", 1) == 1
    routes.replace({})
    routes.replace(there)
    assert refusals.of("m", 1) == 0


async def test_counters_of_a_version_stand_while_it_does_not_serve() -> None:
    plane, registry = await data_plane(colours_version(version=3)), CollectorRegistry()
    refusals = Refusals(plane.routes)
    RequestCollector(registry, plane.routes, refusals)
    await ask(plane, RED)
    served = generate_latest(registry).decode()
    assert 'lepton_requests_total{code="OK",model="colours",version="3"} 1.0' in served
    (routes,) = plane.routes.models()
    plane.routes.replace({"colours": replace(routes, serving={}, waiting={3: "waits for Triton"})})
    refused(refusals, (ModelReference("colours"), Unavailable("Not now.", reason="MODEL_NOT_READY")))
    waiting = generate_latest(registry).decode()
    assert 'lepton_requests_total{code="OK",model="colours",version="3"} 1.0' in waiting
    assert 'lepton_requests_total{code="UNAVAILABLE",model="colours",version="3"} 1.0' in waiting
    assert 'lepton_request_seconds_count{model="colours",version="3"} 1.0' in waiting
    plane.routes.replace({"colours": routes})
    again = generate_latest(registry).decode()
    assert 'lepton_requests_total{code="OK",model="colours",version="3"} 1.0' in again
    assert 'lepton_requests_total{code="UNAVAILABLE",model="colours",version="3"} 1.0' in again


class _Caller:
    """Of a call that nobody has handed on."""

    def invocation_metadata(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize(("is_prediction", "counted"), [(True, 1), (False, 0)])
async def test_only_predictions_are_counted_where_no_call_is_handed_on(is_prediction: bool, counted: int) -> None:
    routes = Routes()
    refusals = Refusals(routes)
    routes.replace({"m": ModelRoutes("m", {}, {"production": (Target(1, 1),)}, {1: "is being loaded"})})
    forwarder = Forwarder(None, Placement(SimpleNamespace(entries={})), refusals, own_address=lambda: "")
    error, reference = Unavailable("Not now.", reason="MODEL_NOT_READY"), ModelReference("m")
    call, context = cast(Any, None), cast(Any, _Caller())
    with pytest.raises(Unavailable) as raised:
        await forwarder.forward(
            error, cast(Any, None), reference=reference, call=call, context=context, is_prediction=is_prediction
        )
    assert raised.value is error
    assert refusals.of("m", 1) == counted
