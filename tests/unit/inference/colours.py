"""A whole small model for tests: photos go through a real pipeline, and the label is the strongest colour."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from opentelemetry.context import Context
from PIL import Image

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.errors import to_status
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.mesh.tracing.context import EMPTY
from lepton_ai.package import Caching
from lepton_ai.pipeline import Limits, Pipeline, raw_inputs
from lepton_ai.postprocessing import Postprocess
from lepton_ai.tensors import Array, to_proto
from lepton_ai.testing.fake_triton import FakeTriton
from lepton_ai.v1 import common_pb2, inference_pb2, preprocess_pb2
from services.inference.api.requests import read_request
from services.inference.api.responses import write_response
from services.inference.batching.admission import Limits as QueueLimits
from services.inference.batching.batcher import Batcher
from services.inference.cache.caches import Caches
from services.inference.cache.layer import CacheLayer
from services.inference.cache.shared.store import SharedStore
from services.inference.cache.tensors import CachedPreprocessing
from services.inference.call import Call, Caller
from services.inference.item import Item
from services.inference.paths.path import Path
from services.inference.predict.items import ItemRunner
from services.inference.predict.layers import LAYERS, Layer, RoutedCall
from services.inference.predict.predictor import Listeners, Predictor
from services.inference.predict.runtime import Runtimes
from services.inference.predict.shadows import Disagreed
from services.inference.preprocessing.made import Made
from services.inference.preprocessing.streams import Preprocessing
from services.inference.routing.routes import ModelRoutes, Routes, Target
from services.inference.triton.repository import ITEMS, RESULTS
from services.inference.triton.runner.items import ItemPipeline
from services.inference.version import LoadedVersion
from tests.unit.inference.parts import NO_TRACING, Described, Description, Reports

COLOURS = ("rot", "grün", "蓝色")
PIPELINE = {
    "inputs": {"photo": "image"},
    "steps": [
        {"op": "decode_image", "input": "photo"},
        {"op": "resize", "size": [8, 8]},
        {"op": "to_tensor", "output": "image", "dtype": "UINT8", "layout": "HWC"},
    ],
}
POSTPROCESS: list[dict[str, object]] = [
    {"op": "softmax", "input": "logits"},
    {"op": "classify", "labels": "labels.txt", "top_k": 2},
]
DESCRIPTION = Description(
    name="colours",
    inputs=(Described("image", "UINT8", (-1, 8, 8, 3)),),
    outputs=(Described("logits", "FP32", (-1, 3)),),
    max_batch_size=4,
)


CONFIG: Mapping[str, Any] = {
    "input": [{"name": "image", "data_type": "TYPE_UINT8", "dims": ["-1", "8", "8", "3"]}],
    "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": ["-1", "3"]}],
}


def mean_colour(name: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The model."""
    return {"logits": np.asarray(inputs["image"], np.float32).mean(axis=(1, 2)) / 16}


def photo(colour: tuple[int, int, int], *, kind: str = "PNG") -> bytes:
    """A picture of a single colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), colour).save(buffer, kind)
    return buffer.getvalue()


RED, GREEN, BLUE = (photo(colour) for colour in ((220, 0, 0), (0, 220, 0), (0, 0, 220)))


def item(data: bytes, item_id: str = "") -> common_pb2.Item:
    return common_pb2.Item(id=item_id, inputs={"photo": common_pb2.Value(data=data)})


def image_tensor(*colours: Sequence[int]) -> Array:
    """The model's own input: one picture a colour."""
    return np.array([np.full((8, 8, 3), colour) for colour in colours], dtype=np.uint8)


class ColoursTriton(FakeTriton):
    """Runs the pipeline beside the model, as the runner in the real one does."""

    def run(self, name: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if ITEMS not in inputs:
            return super().run(name, inputs)
        pipeline = ItemPipeline(Pipeline.load(PIPELINE), CONFIG, limits=Limits(), log_fault=print)
        answered = pipeline.answer(
            inputs[ITEMS].tolist(), lambda feeds: list(self.compute(name, feeds).values()), timed=False
        )
        results = np.array([each.SerializeToString() for each in answered.results], dtype=object)
        logits = {} if answered.outputs is None else {"logits": answered.outputs[0]}
        return {**logits, RESULTS: results}


class InlinePreprocessing:
    """Runs the pipeline here and now, as the preprocess service would."""

    is_there = True

    async def process(
        self, pipeline: preprocess_pb2.Pipeline, item: Item, *, deadline: float, context: Context
    ) -> Made:
        message = common_pb2.Item.FromString(bytes(item.SerializeToString()))
        processed = Pipeline.from_proto(pipeline).run(raw_inputs(message))
        tensors = common_pb2.TensorList(tensors=[to_proto(name, array) for name, array in processed.tensors.items()])
        return Made(preprocess_pb2.ItemResult(tensors=tensors))


def colours_version(
    *, version: int = 1, labelled: bool = True, digest: str = "", caching: Caching | None = None
) -> LoadedVersion:
    labels = "\n".join(COLOURS).encode()
    return LoadedVersion(
        model="colours",
        version=version,
        triton_name=f"colours--v{version}",
        description=DESCRIPTION,
        max_batch_size=DESCRIPTION.max_batch_size,
        instances=1,
        runs_items=True,
        pipeline_proto=Pipeline.load(PIPELINE).to_proto(),
        postprocess=Postprocess.load(POSTPROCESS, {"labels.txt": labels}) if labelled else None,
        digest=digest or f"digest of {version}",
        caching=caching or Caching(),
    )


@dataclass(frozen=True)
class DataPlane:
    """A data plane with two versions of the model: production is 2, the alias `canary` is 1."""

    predictor: Predictor
    routes: Routes
    runtimes: Runtimes
    triton: FakeTriton
    reports: Reports
    caches: Caches

    async def predict(
        self, request: inference_pb2.PredictRequest, call: Call, *, loaded: LoadedVersion | None = None
    ) -> inference_pb2.PredictResponse:
        """As the server does: by the routes, or with this very version."""
        asked = read_request(request)
        if loaded is None:
            return write_response(request, await self.predictor.predict(asked, call), call)
        return write_response(request, await self.predictor.predict_with(loaded, asked, call), call)

    def call(self, *, timeout_s: float = 5.0, context: Context = EMPTY, tenant: str = "") -> Call:
        return Call.arrive(timeout_s=timeout_s, context=context, caller=Caller(tenant))


async def data_plane(
    *versions: LoadedVersion,
    tracing: Tracing = NO_TRACING,
    preprocessing: Preprocessing | None = None,
    path: Path | None = None,
    limits: QueueLimits | None = None,
    store: SharedStore | None = None,
    disagreed: Disagreed | None = None,
    answered: Callable[[RoutedCall], None] | None = None,
) -> DataPlane:
    serving = {each.version: each for each in versions or (colours_version(version=1), colours_version(version=2))}
    triton, routes, reports = ColoursTriton(mean_colour), Routes(), Reports()
    caches = Caches(max_bytes=64 << 20, store=store)
    routes.on_replace(caches.follow)
    for each in serving.values():
        await triton.load(each.triton_name)
    aliases = {"production": (Target(max(serving), 1),), "canary": (Target(min(serving), 1),)}
    routes.replace({"colours": ModelRoutes("colours", serving, aliases, waiting={9: "is being loaded"})})

    def make_batcher(loaded: LoadedVersion) -> Batcher:
        return Batcher(
            loaded,
            triton,
            tracer=tracing.tracer,
            batch_done=reports.batch_done,
        )

    runtimes = Runtimes(routes, make_batcher, limits=limits, path=path)
    items = ItemRunner(CachedPreprocessing(preprocessing or InlinePreprocessing()), max_item_bytes=1 << 20)
    layers: tuple[Layer, ...] = (CacheLayer(caches.kept, max_rows=64), *LAYERS)
    listeners = Listeners(answered, disagreed)
    predictor = Predictor(routes, runtimes, items, max_items=64, layers=layers, listeners=listeners)
    return DataPlane(predictor, routes, runtimes, triton, reports, caches)


def failed(error: LeptonError) -> preprocess_pb2.ItemResult:
    return preprocess_pb2.ItemResult(error=to_status(error))
