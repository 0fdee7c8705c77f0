"""Calls through the cache: the same answers as without it, and only what is not known is computed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from lepton_ai.errors import DeadlineExceeded, InvalidInput, Unavailable
from lepton_ai.mesh.errors import from_status
from lepton_ai.testing import captured_spans, eventually
from lepton_ai.testing.memory_shared_store import MemorySharedStore
from lepton_ai.v1 import inference_pb2
from services.inference.cache.caches import Caches
from services.inference.call import Call
from services.inference.paths.path import Path
from services.inference.routing.routes import ModelRoutes, Target
from tests.unit.inference.cache.parts import bare, computed, photos, route, share, tensors, version
from tests.unit.inference.colours import (
    BLUE,
    COLOURS,
    GREEN,
    RED,
    InlinePreprocessing,
    colours_version,
    data_plane,
    photo,
)


async def test_a_photo_that_comes_again_is_not_computed_again() -> None:
    plane = await data_plane(version())
    first = await plane.predict(photos(RED), plane.call())
    second = await plane.predict(photos(RED), plane.call())
    assert bare(first) == bare(second)
    assert first.predictions[0].classification.labels[0].name == COLOURS[0]
    assert (first.cached_rows, second.cached_rows, computed(plane)) == (0, 1, 1)
    assert first.prediction_id != second.prediction_id
    assert second.predictions[0].prediction_id == f"{second.prediction_id}-0"


async def test_without_the_packages_leave_nothing_is_kept() -> None:
    plane = await data_plane(colours_version())
    for _ in range(2):
        assert (await plane.predict(photos(RED), plane.call())).cached_rows == 0
    assert computed(plane) == 2


async def test_a_call_that_passes_the_cache_by_neither_reads_nor_writes() -> None:
    plane = await data_plane(version(answers=True, tensors=True), path=Path.REMOTE)
    bypass = photos(RED, cache=inference_pb2.CACHE_POLICY_BYPASS)
    for _ in range(2):
        await plane.predict(bypass, plane.call())
    assert (await plane.predict(photos(RED), plane.call())).cached_rows == 0
    await plane.predict(bypass, plane.call())
    assert computed(plane) == 4
    assert [each.counts.lookups for each in plane.caches.partitions()] == [1, 1]


async def test_of_many_photos_only_the_new_one_is_computed() -> None:
    plane = await data_plane(version())
    await plane.predict(photos(RED, BLUE), plane.call())
    response = await plane.predict(photos(BLUE, GREEN, RED, BLUE), plane.call())
    assert [each.classification.labels[0].name for each in response.predictions] == [
        COLOURS[index] for index in (2, 1, 0, 2)
    ]
    assert (response.cached_rows, computed(plane)) == (3, 3)
    assert [each.item_id for each in response.predictions] == ["0", "1", "2", "3"]


async def test_the_same_photo_twice_in_one_call_is_computed_once() -> None:
    plane = await data_plane(version())
    response = await plane.predict(photos(RED, RED, GREEN, RED), plane.call())
    assert (response.cached_rows, computed(plane)) == (2, 2)


async def test_rows_of_ready_tensors_are_kept_one_by_one() -> None:
    plane = await data_plane(version())
    await plane.predict(tensors((9, 0, 0), (0, 9, 0)), plane.call())
    request = tensors((0, 9, 0), (0, 0, 9), (9, 0, 0), top_k=1)
    response = await plane.predict(request, plane.call())
    fresh = await data_plane(colours_version())
    assert bare(response) == bare(await fresh.predict(request, fresh.call()))
    assert (response.cached_rows, computed(plane)) == (2, 3)


async def test_other_wishes_are_answered_from_the_same_outputs() -> None:
    plane, fresh = await data_plane(version()), await data_plane(colours_version())
    await plane.predict(photos(RED), plane.call())
    for options in ({"top_k": 1}, {"top_k": 3}, {"outputs": ["logits"]}, {"routing_key": "user"}, {"priority": 2}):
        request = photos(RED, **options)
        response = await plane.predict(request, plane.call())
        assert response.cached_rows == 1
        assert bare(response) == bare(await fresh.predict(request, fresh.call()))
    assert computed(plane) == 1


async def test_errors_are_each_callers_own_and_are_not_kept() -> None:
    plane = await data_plane(version())
    response = await plane.predict(photos(RED, b"not an image", GREEN, b"not an image"), plane.call())
    wrong = [from_status(response.predictions[index].error) for index in (1, 3)]
    assert [error.fields[0].field for error in wrong] == ["items[1].inputs.photo", "items[3].inputs.photo"]
    assert [response.predictions[index].WhichOneof("outcome") for index in (0, 2)] == ["classification"] * 2
    for _ in range(2):
        with pytest.raises(InvalidInput) as refused:
            await plane.predict(photos(b"not an image"), plane.call())
        assert refused.value.fields[0].field == "items[0].inputs.photo"
        assert refused.value.message.startswith("items[0].")
    response = await plane.predict(photos(RED, b"not an image"), plane.call())
    assert from_status(response.predictions[1].error).fields[0].field == "items[1].inputs.photo"


async def test_a_failing_model_fails_every_caller_and_is_asked_again() -> None:
    plane = await data_plane(version())
    plane.triton.kill()
    with pytest.raises(Unavailable):
        await plane.predict(tensors((9, 0, 0)), plane.call())
    plane.triton.restart()
    await plane.triton.load("colours--v1")
    assert (await plane.predict(tensors((9, 0, 0)), plane.call())).cached_rows == 0


async def test_callers_at_the_same_time_cost_one_computation_and_get_ids_of_their_own() -> None:
    plane = await data_plane(version())
    plane.triton.compute_s = 0.05
    responses = await asyncio.gather(*(plane.predict(photos(RED), plane.call()) for _ in range(10)))
    assert computed(plane) == 1
    assert sum(each.cached_rows for each in responses) == 9
    assert len({each.prediction_id for each in responses}) == len({each.request_id for each in responses}) == 10
    assert len({bare(each).SerializeToString(deterministic=True) for each in responses}) == 1


async def test_one_callers_end_does_not_harm_the_others() -> None:
    plane = await data_plane(version())
    plane.triton.compute_s = 0.1
    hasty = asyncio.create_task(plane.predict(photos(RED, GREEN), plane.call(timeout_s=0.02)))
    await asyncio.sleep(0)
    gone = asyncio.create_task(plane.predict(photos(RED), plane.call()))
    patient = asyncio.create_task(plane.predict(photos(GREEN, RED), plane.call()))
    await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(DeadlineExceeded):
        await hasty
    response = await patient
    assert [each.classification.labels[0].name for each in response.predictions] == [COLOURS[1], COLOURS[0]]


async def test_a_version_that_no_longer_serves_is_forgotten_at_once() -> None:
    one, two = version(1), version(2)
    plane = await data_plane(one, two)
    await plane.predict(photos(RED), plane.call())
    assert sum(each.size_bytes for each in plane.caches.partitions()) > 0
    route(plane, one)
    assert [each.owner.version for each in plane.caches.partitions()] == [1]
    assert sum(each.size_bytes for each in plane.caches.partitions()) == 0
    route(plane, one, two)
    assert (await plane.predict(photos(RED), plane.call())).cached_rows == 0


async def test_what_is_kept_of_a_version_outlives_its_healing() -> None:
    store = MemorySharedStore()
    loaded = version()
    plane = await data_plane(loaded, store=store)
    plane.caches.start()
    await plane.predict(photos(RED), plane.call())
    waiting = {loaded.version: "is being loaded again"}
    plane.routes.replace({"colours": ModelRoutes("colours", {}, {"production": (Target(1, 1),)}, waiting)})
    with pytest.raises(Unavailable):
        await plane.predict(photos(RED), plane.call())
    route(plane, loaded)
    assert (await plane.predict(photos(RED), plane.call())).cached_rows == 1
    await plane.caches.close()


async def test_a_version_pushed_again_under_the_same_number_is_another_one() -> None:
    store = MemorySharedStore()
    plane = await data_plane(version(1, digest="a" * 64), store=store)
    plane.caches.start()
    await share(plane)
    other = version(1, digest="b" * 64)
    await plane.triton.load(other.triton_name)
    route(plane, other)
    assert (await plane.predict(photos(RED), plane.call())).cached_rows == 0
    await plane.caches.close()


async def test_what_ends_after_its_version_is_not_kept() -> None:
    one, two = version(1), version(2)
    plane = await data_plane(one, two)
    plane.triton.compute_s = 0.05
    late = asyncio.create_task(plane.predict(photos(RED), plane.call()))
    await eventually(lambda: len(plane.triton.requests) > 0, timeout_s=5, description="it is computed")
    partition = next(each for each in plane.caches.partitions() if each.owner.version == 2)
    route(plane, one)
    assert (await late).model_version == 2
    assert partition.size_bytes == 0


async def test_what_was_begun_before_a_clearing_is_not_kept() -> None:
    plane = await data_plane(version())
    plane.triton.compute_s = 0.05
    late = asyncio.create_task(plane.predict(photos(RED), plane.call()))
    await eventually(lambda: len(plane.triton.requests) > 0, timeout_s=5, description="it is computed")
    await plane.caches.clear("colours")
    await late
    assert (await plane.predict(photos(RED), plane.call())).cached_rows == 0


async def test_tenants_are_kept_apart_when_the_package_says_so() -> None:
    plane = await data_plane(version(answers=True, isolate=True))
    cached = [
        (await plane.predict(photos(RED), plane.call(tenant=tenant))).cached_rows
        for tenant in ("a", "a", "b", "b", "", "")
    ]
    assert cached == [0, 1, 0, 1, 0, 0]
    plane = await data_plane(version())
    cached = [(await plane.predict(photos(RED), plane.call(tenant=tenant))).cached_rows for tenant in ("a", "b", "")]
    assert cached == [0, 1, 1]


class CountedPreprocessing(InlinePreprocessing):
    def __init__(self) -> None:
        self.items = 0

    async def process(self, *arguments: Any, **options: Any) -> Any:
        self.items += 1
        await asyncio.sleep(0.01)
        return await super().process(*arguments, **options)


async def test_tensors_of_a_photo_serve_the_next_version_with_the_same_pipeline() -> None:
    preprocessing = CountedPreprocessing()
    one, two = (version(number, answers=True, tensors=True) for number in (1, 2))
    plane = await data_plane(one, preprocessing=preprocessing, path=Path.REMOTE)
    before = await plane.predict(photos(RED), plane.call())
    await plane.triton.load(two.triton_name)
    route(plane, one, two)
    after = await plane.predict(photos(RED), plane.call())
    assert (before.model_version, after.model_version) == (1, 2)
    assert before.predictions[0].classification == after.predictions[0].classification
    assert (preprocessing.items, computed(plane), after.cached_rows) == (1, 2, 0)
    route(plane)
    assert list(plane.caches.partitions()) == []


async def test_tensors_alone_may_be_kept_and_are_made_once_for_all_who_ask() -> None:
    preprocessing = CountedPreprocessing()
    plane = await data_plane(version(tensors=True), preprocessing=preprocessing, path=Path.REMOTE)
    await asyncio.gather(*(plane.predict(photos(RED), plane.call()) for _ in range(5)))
    assert (preprocessing.items, computed(plane)) == (1, 5)


async def test_spans_say_where_the_answer_came_from() -> None:
    with captured_spans("inference", ratio=1.0) as captured:
        plane = await data_plane(version(), tracing=captured.tracing)

        async def asked(request: inference_pb2.PredictRequest) -> dict[str, object]:
            from opentelemetry import trace

            span = captured.tracing.tracer.start_span("call")
            context = trace.set_span_in_context(span)
            await plane.predict(request, Call.arrive(timeout_s=5, context=context))
            span.end()
            (found,) = [each for each in captured.spans if each.context == span.get_span_context()]
            return {name: value for name, value in (found.attributes or {}).items() if name.startswith("lepton.cache")}

        assert await asked(photos(RED)) == {"lepton.cache": "miss"}
        assert await asked(photos(RED)) == {"lepton.cache": "hit_l1"}
        assert await asked(photos(RED, GREEN)) == {"lepton.cache": "miss", "lepton.cache.rows": 1}
        assert await asked(photos(RED, cache=inference_pb2.CACHE_POLICY_BYPASS)) == {"lepton.cache": "off"}


async def test_rows_never_mix_whatever_is_kept_cancelled_cleared_or_refused() -> None:
    """Thousands of random calls against what each picture must answer."""
    plane = await data_plane(version(answers=True, tensors=True))
    chance = random.Random(11)
    pictures = [photo((red, 40, 255 - red)) for red in range(0, 256, 8)] + [b"broken"]
    fresh = await data_plane(colours_version())
    truth: dict[bytes, bytes] = {}
    for data in pictures[:-1]:
        answer = await fresh.predict(photos(data, outputs=["logits"]), fresh.call())
        truth[data] = answer.tensors[0].data
    plane.triton.compute_s = 0.001

    async def caller() -> int:
        rows = 0
        for _ in range(40):
            chosen = chance.choices(pictures, k=chance.randint(1, 6))
            timeout_s = chance.choice((0.002, 5.0, 5.0, 5.0))
            try:
                response = await plane.predict(photos(*chosen, outputs=["logits"]), plane.call(timeout_s=timeout_s))
            except (DeadlineExceeded, InvalidInput):
                continue
            good = [data for data, each in zip(chosen, response.predictions, strict=True) if not each.HasField("error")]
            content = response.tensors[0].data if good else b""
            assert [content[12 * index : 12 * index + 12] for index in range(len(good))] == [
                truth[data] for data in good
            ]
            rows += len(good)
            if chance.random() < 0.02:
                await plane.caches.clear()
        return rows

    async def canceller() -> None:
        for _ in range(60):
            task = asyncio.create_task(plane.predict(photos(*chance.choices(pictures, k=3)), plane.call()))
            await asyncio.sleep(chance.random() * 0.004)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    cancelling = asyncio.create_task(canceller())
    rows = sum(await asyncio.gather(*(caller() for _ in range(16))))
    await cancelling
    assert rows > 1000
    assert computed(plane) < rows
    partitions = list(plane.caches.partitions())
    await eventually(
        lambda: not any(len(each.flights) for each in partitions), timeout_s=5, description="all flights have ended"
    )


def test_a_replica_without_memory_for_it_keeps_nothing() -> None:
    caches = Caches(max_bytes=0)
    loaded = version()
    caches.follow({loaded.model: ModelRoutes(loaded.model, {loaded.version: loaded}, {})})
    assert caches.kept(loaded) is None
