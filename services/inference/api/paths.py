"""Writes what was measured of a model's paths and batches."""

from __future__ import annotations

from lepton_ai.v1 import inference_pb2
from services.inference.batching.latency import LatencyModel
from services.inference.batching.pace import Pace
from services.inference.paths.chooser import PathChooser
from services.inference.predict.runtime import ModelRuntime
from services.inference.variants.offers import Offer, Policy


def write_paths(runtime: ModelRuntime, offer: Offer | None = None) -> inference_pb2.DescribePathsResponse:
    """What a version's runtime knows by now, and which variants may answer in its place."""
    loaded = runtime.loaded
    response = inference_pb2.DescribePathsResponse(
        model_name=loaded.model,
        model_version=loaded.version,
        instances=loaded.instances,
        max_batch_size=loaded.max_batch_size,
    )
    response.variant_policy = Policy.EXACT if offer is None else offer.policy
    if offer is not None:
        response.variants.extend(_variants(offer))
    if loaded.pipeline_proto is not None:
        response.paths.extend(_paths(runtime.paths.small, large=False))
        response.paths.extend(_paths(runtime.paths.large, large=True))
    for name, pace in runtime.batcher.paces.items():
        if pace.latency.batches:
            response.batches.append(_batches(name, pace, loaded.max_batch_size))
    return response


def _variants(offer: Offer) -> list[inference_pb2.PathVariant]:
    return [
        inference_pb2.PathVariant(name=name, serving=name == offer.name and offer.loaded is not None, message=message)
        for name, message in offer.states.items()
    ]


def _paths(chooser: PathChooser, *, large: bool) -> list[inference_pb2.MeasuredPath]:
    return [
        inference_pb2.MeasuredPath(
            path=path.value,
            large_items=large,
            alone_us=_us(chooser.alone.estimate_s(path)),
            under_load_us=_us(chooser.under_load.estimate_s(path)),
            chosen_alone=path is chooser.alone.best,
            chosen_under_load=path is chooser.under_load.best,
        )
        for path in chooser.paths
    ]


def _batches(name: str, pace: Pace, max_rows: int) -> inference_pb2.MeasuredBatches:
    return inference_pb2.MeasuredBatches(
        input=name,
        batches=pace.shared.batches + pace.alone.batches + pace.wide.batches,
        fixed_us=pace.latency.fixed_s * 1e6,
        per_row_us=pace.latency.per_row_s * 1e6,
        worthwhile_rows=pace.latency.worthwhile_rows(max_rows),
        alone_us=_of_one_row(pace.alone),
        wide_us=_of_one_row(pace.wide),
    )


def _of_one_row(model: LatencyModel) -> float:
    return model.estimate_s(1) * 1e6


def _us(seconds: float | None) -> int:
    return round((seconds or 0.0) * 1e6)
