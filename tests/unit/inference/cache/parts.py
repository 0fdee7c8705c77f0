"""Requests and versions that tests of the cache share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from lepton_ai.package import Caching
from lepton_ai.tensors import to_proto
from lepton_ai.testing import eventually
from lepton_ai.testing.memory_shared_store import MemorySharedStore
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.routing.routes import ModelRoutes, Target
from services.inference.version import LoadedVersion
from tests.unit.inference.colours import (
    RED,
    DataPlane,
    colours_version,
    image_tensor,
    item,
)

ANSWERS = Caching(answers=True)
MODEL = common_pb2.ModelRef(name="colours")


def version(number: int = 1, *, digest: str = "", **allowed: Any) -> LoadedVersion:
    return colours_version(version=number, digest=digest, caching=Caching(**(allowed or {"answers": True})))


def photos(*data: bytes, **options: Any) -> inference_pb2.PredictRequest:
    request = inference_pb2.PredictRequest(model=MODEL, options=inference_pb2.PredictOptions(**options))
    request.items.extend(item(each, str(index)) for index, each in enumerate(data))
    return request


def tensors(*colours: Sequence[int], **options: Any) -> inference_pb2.PredictRequest:
    request = inference_pb2.PredictRequest(model=MODEL, options=inference_pb2.PredictOptions(**options))
    request.tensors.append(to_proto("image", image_tensor(*colours)))
    return request


def computed(plane: DataPlane) -> int:
    return sum(plane.reports.batch_rows)


def bare(response: inference_pb2.PredictResponse) -> inference_pb2.PredictResponse:
    """What an answer says, without ids, timings and where it came from."""
    stripped = inference_pb2.PredictResponse()
    stripped.CopyFrom(response)
    for field in ("request_id", "prediction_id", "timings", "cached_rows"):
        stripped.ClearField(field)
    for prediction in stripped.predictions:
        prediction.ClearField("prediction_id")
    return stripped


def route(plane: DataPlane, *versions: LoadedVersion) -> None:
    serving = {each.version: each for each in versions}
    aliases = {"production": (Target(max(serving), 1),)} if serving else {}
    plane.routes.replace({"colours": ModelRoutes("colours", serving, aliases)} if serving else {})


async def share(plane: DataPlane, data: bytes = RED) -> None:
    """Have a photo's answer kept where all replicas find it."""
    store = plane.caches._store
    assert isinstance(store, MemorySharedStore)

    async def is_kept() -> bool:
        await plane.caches.clear()
        await plane.predict(photos(data), plane.call())
        await asyncio.sleep(0)
        return bool(store.values)

    await eventually(is_kept, timeout_s=5, description="the answer is in the shared cache")
