"""Answers that are kept, on the real path and with a real Valkey: never another version's, whatever is deployed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio
from pydantic import SecretStr
from redis.asyncio import Redis

from lepton_ai.package import Package
from lepton_ai.tensors import from_proto
from lepton_ai.testing import eventually
from lepton_ai.v1 import common_pb2, inference_pb2, inference_pb2_grpc
from tests.integration.inference.whole_path import WholePath, colours_package, whole_path
from tests.unit.inference.colours import BLUE, COLOURS, GREEN, RED, item
from tests.valkey import LocalValkey, running_valkey

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCALES = {1: 1 / 16, 2: 1 / 32, 3: 1 / 64}


@dataclass(frozen=True)
class Cached:
    path: WholePath
    valkey: LocalValkey
    directory: Path

    def package(self, scale: float) -> Package:
        directory = self.directory / f"package-{scale}"
        return colours_package(directory, scale=scale, cache={"answers": True, "tensors": True})

    def stub(self) -> inference_pb2_grpc.InferenceServiceAsyncStub:
        return inference_pb2_grpc.InferenceServiceStub(self.path.channel)

    async def status(self) -> inference_pb2.GetCacheStatusResponse:
        return await self.stub().GetCacheStatus(inference_pb2.GetCacheStatusRequest(), timeout=5)

    def digest(self) -> str:
        """Of the package that production calls are answered by now."""
        (model,) = self.path.replica.routes.models()
        return next(model.serving[target.version].digest for target in model.aliases["production"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cached(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cached]:
    directory = tmp_path_factory.mktemp("cached")
    package = colours_package(directory / "package", cache={"answers": True, "tensors": True})
    async with (
        running_valkey() as valkey,
        whole_path(directory, package=package, cache_url=SecretStr(valkey.url)) as path,
    ):
        yield Cached(path, valkey, directory)


def request(data: bytes) -> inference_pb2.PredictRequest:
    options = inference_pb2.PredictOptions(outputs=["logits"])
    return inference_pb2.PredictRequest(model=common_pb2.ModelRef(name="colours"), items=[item(data)], options=options)


def scale_of(response: inference_pb2.PredictResponse) -> float:
    """Of the model that made these logits of the picture RED."""
    return float(from_proto(response.tensors[0])[0, 0]) / 220


@dataclass
class Load:
    """Callers that ask for the same picture over and over, each answer with when its call began."""

    cached: Cached
    answers: list[tuple[float, inference_pb2.PredictResponse]] = field(default_factory=list)
    refused: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(8)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call(self) -> None:
        stub, loop = self.cached.stub(), asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                self.answers.append((began, await stub.Predict(request(RED), timeout=10)))
            except grpc.aio.AioRpcError:
                self.refused += 1
                await asyncio.sleep(0.01)

    async def until(self, is_so: Callable[[], bool], description: str) -> float:
        """When it came true."""
        await eventually(is_so, timeout_s=60, description=description)
        return asyncio.get_running_loop().time()

    async def some_more(self) -> None:
        count = len(self.answers)
        await eventually(lambda: len(self.answers) > count + 50, timeout_s=30, description="more answers")


async def test_both_protocols_are_answered_from_what_one_of_them_left(cached: Cached) -> None:
    first = await cached.stub().Predict(request(BLUE), timeout=20)
    second = await cached.stub().Predict(request(BLUE), timeout=20)
    assert (first.cached_rows, second.cached_rows) == (0, 1)
    assert first.tensors == second.tensors
    assert first.predictions[0].classification == second.predictions[0].classification
    client = tritonclient.grpc.aio.InferenceServerClient(cached.path.address)
    photo = tritonclient.grpc.aio.InferInput("photo", [1], "BYTES")
    photo.set_data_from_numpy(np.array([BLUE], dtype=object))
    labels = tritonclient.grpc.aio.InferRequestedOutput("labels")
    before = (await cached.status()).caches[0].local_hits
    answer = await client.infer("colours", [photo], outputs=[labels])
    assert answer.as_numpy("labels")[0][0].decode() == COLOURS[2]
    assert (await cached.status()).caches[0].local_hits == before + 1
    await client.close()


async def test_what_is_kept_is_told_and_forgotten_on_demand(cached: Cached) -> None:
    await cached.stub().Predict(request(GREEN), timeout=20)
    answers, tensors = (await cached.status()).caches
    assert (answers.kind, tensors.kind) == ("answers", "tensors")
    assert answers.bytes > 0
    assert answers.saved_seconds > 0
    assert (await cached.status()).shared == inference_pb2.SHARED_CACHE_STATE_UP
    cleared = await cached.stub().ClearCache(inference_pb2.ClearCacheRequest(model="colours"), timeout=5)
    assert cleared.bytes == answers.bytes + tensors.bytes
    assert (await cached.stub().Predict(request(GREEN), timeout=20)).cached_rows == 0


async def test_after_a_promotion_under_load_no_answer_is_the_old_versions(cached: Cached) -> None:
    old = cached.digest()
    async with Load(cached) as load:
        await load.some_more()
        cached.path.registry.push(cached.package(SCALES[2]))
        await cached.path.registry.deploy("colours", 1, 2, production={2: 1})
        promoted = await load.until(lambda: cached.digest() != old, "version 2 takes the calls")
        await load.some_more()
    assert load.refused == 0
    assert {answer.cached_rows for _, answer in load.answers} == {0, 1}
    for began, answer in load.answers:
        assert scale_of(answer) == pytest.approx(SCALES[answer.model_version])
        assert began < promoted or answer.model_version == 2


async def test_after_a_rollback_the_first_version_answers(cached: Cached) -> None:
    new = cached.digest()
    async with Load(cached) as load:
        await load.some_more()
        await cached.path.registry.deploy("colours", 1)
        back = await load.until(lambda: cached.digest() != new, "version 1 takes the calls")
        await load.some_more()
    assert all(answer.model_version == 1 for began, answer in load.answers if began >= back)
    assert all(scale_of(answer) == pytest.approx(SCALES[answer.model_version]) for _, answer in load.answers)
    await eventually(lambda: _versions(cached, {1}), timeout_s=20, description="version 2 is forgotten")


async def _versions(cached: Cached, versions: set[int]) -> bool:
    return {each.model_version for each in (await cached.status()).caches if each.kind == "answers"} == versions


async def test_another_package_under_the_same_number_never_gets_the_first_ones_answers(cached: Cached) -> None:
    old = cached.digest()
    async with Load(cached) as load:
        await load.some_more()
        cached.path.registry.versions["colours", 1] = cached.package(SCALES[3])  # deleted, and pushed again
        await cached.path.registry.deploy("colours", 1)

        def is_replaced() -> bool:
            models = cached.path.replica.routes.models()
            return bool(models and 1 in models[0].serving) and cached.digest() != old

        replaced = await load.until(is_replaced, "the other package takes the calls")
        await load.some_more()
    later = [scale_of(answer) for began, answer in load.answers if began >= replaced]
    assert len(later) > 40
    assert later == pytest.approx([SCALES[3]] * len(later))


async def test_after_an_undeployment_nothing_is_answered_and_nothing_kept(cached: Cached) -> None:
    async with Load(cached) as load:
        await load.some_more()
        await cached.path.registry.undeploy("colours")
        gone = await load.until(lambda: not cached.path.replica.routes.models(), "it is gone")
        refused = load.refused
        await eventually(lambda: load.refused > refused + 20, timeout_s=20, description="calls are refused")
    assert all(began < gone for began, _ in load.answers)
    assert not (await cached.status()).caches

    async def is_empty() -> bool:
        async with Redis.from_url(cached.valkey.url) as client:
            keys = [key async for key in client.scan_iter(match="lepton:cache:*/*")]
        return not keys

    await eventually(is_empty, timeout_s=10, description="the shared cache holds nothing of it")
