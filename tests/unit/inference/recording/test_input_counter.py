"""Inputs are sampled, counted beside the calls, and told to health as counts: within bounds, wherever pipelines run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput, Unavailable
from lepton_ai.inputs.counts import InputCounts
from lepton_ai.inputs.profile import Profile
from lepton_ai.mesh.tracing.context import EMPTY
from lepton_ai.tensors import to_proto
from lepton_ai.testing import eventually
from lepton_ai.v1 import common_pb2, drift_pb2, inference_pb2
from services.inference.api.requests import read_request
from services.inference.call import Call, Caller
from services.inference.item import FileView, ItemView
from services.inference.paths.path import Path
from services.inference.predict.layers import RoutedCall
from services.inference.recording import counter as counting
from services.inference.recording.counter import InputCounter
from services.inference.recording.sampling import MOST_ROWS, InputSampler, TakenItem
from services.inference.version import LoadedVersion
from tests.unit.inference.colours import BLUE, GREEN, RED, DataPlane, colours_version, data_plane, image_tensor, item

T = TypeVar("T")
COLOURS_MODEL = common_pb2.ModelRef(name="colours")
PROFILE = Profile.of(InputCounts())


class Health:
    """The pool of health services, of which there is one, or none."""

    def __init__(self) -> None:
        self.up = True
        self.wanted: list[str] = []
        self.told: list[drift_pb2.CountedInputs] = []

    async def call(self, invoke: Callable[[Any, float], Awaitable[T]], *, timeout_s: float) -> T:
        if not self.up:
            raise Unavailable("No health service answers.")
        return await invoke(self, timeout_s)

    def unary_unary(self, method: str, *_: object, **__: object) -> Callable[..., Awaitable[object]]:
        async def call(request: drift_pb2.CountInputsRequest, **_: object) -> object:
            assert method == "/lepton.v1.DriftService/CountInputs" or method.endswith("GetDrift")
            self.told += request.versions
            return drift_pb2.CountInputsResponse(wanted_profiles=self.wanted)

        return call

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.told)


@dataclass
class World:
    health: Health
    plane: DataPlane
    loaded: LoadedVersion

    async def predict(self, request: inference_pb2.PredictRequest, **metadata: str) -> None:
        caller = Caller(named=lambda name: metadata.get(name.replace("-", "_"), ""))
        call = Call.arrive(timeout_s=5.0, context=EMPTY, caller=caller)
        await self.plane.predict(request, call)


@pytest.fixture(params=list(Path))
async def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """What holds for raw items holds wherever the pipeline runs."""
    monkeypatch.setattr(counting, "_EVERY_S", 0.02)
    monkeypatch.setattr(counting, "SHARE_OF_A_CORE", 10.0)
    health = Health()
    inputs = InputCounter(health)  # type: ignore[arg-type]
    inputs.start()
    loaded = colours_version(version=2)
    loaded.input_kinds = {"photo": "image"}
    yield World(health, await data_plane(loaded, path=request.param, answered=inputs.offer), loaded)
    await inputs.close()


def photos(*content: bytes) -> inference_pb2.PredictRequest:
    return inference_pb2.PredictRequest(model=COLOURS_MODEL, items=[item(each) for each in content])


def feature(told: drift_pb2.CountedInputs, name: str) -> drift_pb2.CountedFeature:
    return next(each for each in told.features if each.name == name)


async def test_what_comes_in_is_told_as_counts(world: World) -> None:
    await world.predict(photos(RED, GREEN, RED))
    await eventually(lambda: world.health.rows == 3, description="health was told of three rows")
    (told,) = world.health.told
    assert (told.model, told.version, told.profile_digest) == ("colours", 2, "")
    assert sorted(feature(told, "photo.brightness").counts) == [1, 2]
    assert {each.name for each in told.features} == {
        "photo.width", "photo.height", "photo.brightness", "photo.contrast",
    }  # fmt: skip


async def test_the_profile_is_told_once_it_is_asked_for(world: World) -> None:
    world.loaded.profile, world.health.wanted = PROFILE, [PROFILE.digest]
    await world.predict(photos(RED))
    await eventually(lambda: world.health.told, description="health was told")
    assert (world.health.told[0].profile_digest, world.health.told[0].profile) == (PROFILE.digest, b"")
    await world.predict(photos(RED))
    await eventually(lambda: len(world.health.told) > 1, description="health was told again")
    assert world.health.told[1].profile == PROFILE.to_json()


async def test_probes_and_failed_calls_are_no_inputs(world: World) -> None:
    await world.predict(photos(BLUE), lepton_probe="1")
    with pytest.raises(InvalidInput):
        await world.predict(photos(b"no picture"))
    await world.predict(photos(RED, RED))
    await eventually(lambda: world.health.told, description="health was told")
    assert world.health.rows == 2


async def test_tensors_that_pass_by_the_pipeline_are_not_counted(world: World) -> None:
    await world.predict(
        inference_pb2.PredictRequest(model=COLOURS_MODEL, tensors=[to_proto("image", image_tensor((200, 0, 0)))])
    )
    await world.predict(photos(RED))
    await eventually(lambda: world.health.told, description="health was told")
    assert world.health.rows == 1


async def test_counting_goes_on_when_health_is_back(world: World) -> None:
    world.health.up = False
    await world.predict(photos(RED))
    await asyncio.sleep(0)
    world.health.up = True

    async def told() -> bool:
        await world.predict(photos(RED))
        return bool(world.health.told)

    async with asyncio.timeout(10):
        while not await told():
            pass


def routed(request: inference_pb2.PredictRequest, plane: DataPlane, loaded: LoadedVersion) -> RoutedCall:
    asked = read_request(request)
    resolved = plane.routes.resolve(asked.model)
    call = Call.arrive(timeout_s=5.0, context=EMPTY)
    return RoutedCall(asked, replace(resolved, loaded=loaded), plane.runtimes.of(loaded), call)


async def test_of_a_thousand_calls_about_as_many_are_taken_as_are_wanted() -> None:
    plane, sampler = await data_plane(), InputSampler()
    loaded = plane.routes.resolve(read_request(photos(RED)).model).loaded
    one = routed(photos(RED), plane, loaded)
    taken = []
    for _ in range(6):
        for _ in range(1000):
            sampler.offer(one)
        taken.append(sum(len(rows) for _, rows in sampler.next_turn({loaded: MOST_ROWS})))
    assert all(20 <= count <= 2 * MOST_ROWS for count in taken[1:]), taken
    assert sampler.active == 0


async def test_a_large_call_does_not_fill_a_turn_alone() -> None:
    plane, sampler = await data_plane(), InputSampler()
    loaded = plane.routes.resolve(read_request(photos(RED)).model).loaded
    sampler.offer(routed(photos(*[RED] * 60), plane, loaded))
    ((_, rows),) = sampler.next_turn({})
    assert len(rows) == 8


async def test_a_version_that_has_no_calls_is_forgotten() -> None:
    plane, sampler = await data_plane(), InputSampler()
    loaded = plane.routes.resolve(read_request(photos(RED)).model).loaded
    sampler.offer(routed(photos(RED), plane, loaded))
    for _ in range(100):
        sampler.next_turn({})
    assert not sampler.knows(loaded)


def test_a_file_that_lies_in_the_body_of_a_request_is_read_from_there() -> None:
    body = memoryview(b"..photo..")
    taken = TakenItem(ItemView(body, "", {"photo": FileView(body[2:7])}))
    assert taken.values() == {"photo": b"photo"}


async def test_a_call_that_is_not_taken_costs_next_to_nothing() -> None:
    plane, sampler = await data_plane(), InputSampler()
    loaded = plane.routes.resolve(read_request(photos(RED)).model).loaded
    one, durations = routed(photos(RED), plane, loaded), []
    for _ in range(5):
        sampler.next_turn({loaded: 1.0})
        begun_s = time.thread_time()
        for _ in range(2000):
            sampler.offer(one)
        durations.append((time.thread_time() - begun_s) / 2000)
    assert np.median(durations) < 20e-6, "a request takes hundreds of microseconds"
