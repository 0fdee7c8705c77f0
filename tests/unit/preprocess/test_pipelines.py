"""The cache of loaded pipelines: shared, bounded, not to be fooled."""

from __future__ import annotations

import pytest

from lepton_ai.errors import InvalidInput, ResourceExhausted
from lepton_ai.pipeline import Pipeline
from lepton_ai.v1 import preprocess_pb2
from services.preprocess.pipelines import PipelineCache, pipeline_bytes


def message(name: str) -> preprocess_pb2.Pipeline:
    document = {"inputs": {name: "number"}, "steps": [{"op": "concat", "on": [name], "output": "row"}]}
    return Pipeline.load(document).to_proto()


async def test_a_pipeline_is_loaded_once() -> None:
    cache = PipelineCache(max_pipelines=2, max_bytes=10_000)
    assert await cache.load(message("a")) is await cache.load(message("a"))


async def test_the_least_recently_used_one_goes_first() -> None:
    cache = PipelineCache(max_pipelines=2, max_bytes=10_000)
    first = await cache.load(message("a"))
    second = await cache.load(message("b"))
    assert await cache.load(message("a")) is first
    await cache.load(message("c"))
    assert await cache.load(message("a")) is first
    assert await cache.load(message("b")) is not second
    assert len(cache) == 2


async def test_bytes_are_bounded_too() -> None:
    one = pipeline_bytes(message("a"))
    cache = PipelineCache(max_pipelines=100, max_bytes=2 * one)
    for name in "abc":
        await cache.load(message(name))
    assert len(cache) == 2
    with pytest.raises(ResourceExhausted):
        await PipelineCache(max_pipelines=100, max_bytes=one - 1).load(message("a"))


async def test_the_digest_of_a_known_pipeline_does_not_open_the_door_to_another() -> None:
    cache = PipelineCache(max_pipelines=2, max_bytes=10_000)
    await cache.load(message("a"))
    forged = message("b")
    forged.digest = message("a").digest
    with pytest.raises(InvalidInput) as raised:
        await cache.load(forged)
    assert raised.value.reason == "DIGEST_MISMATCH"
