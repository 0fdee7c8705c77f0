"""A version that gets copies of calls: callers see nothing of it, and what it answers is counted and compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import InternalError
from lepton_ai.tensors import Array
from lepton_ai.testing import eventually
from lepton_ai.v1 import inference_pb2
from services.inference.call import Call
from services.inference.routing.routes import ModelRoutes, Target
from services.inference.routing.trial import Candidate, Trial
from tests.unit.inference.colours import BLUE, GREEN, RED, DataPlane, colours_version, data_plane, item, mean_colour

OLD, NEW = colours_version(version=1), colours_version(version=2)


class Shadowed:
    """Version 1 answers, version 2 gets copies."""

    def __init__(self, plane: DataPlane, share: float = 1.0) -> None:
        self.plane = plane
        plane.routes.replace(
            {
                "colours": ModelRoutes(
                    "colours",
                    {1: OLD, 2: NEW},
                    {"production": (Target(1, 1),)},
                    candidates={"production": Candidate(2, 7, shadow=share)},
                )
            }
        )

    @property
    def trial(self) -> Trial:
        return self.plane.predictor.trial("colours")

    async def ask(self, *photos: bytes) -> inference_pb2.PredictResponse:
        request = inference_pb2.PredictRequest(items=[item(photo) for photo in photos])
        request.model.name = "colours"
        return await self.plane.predict(request, self.plane.call())

    async def copied(self, answers: int) -> Trial:
        await eventually(lambda: self.trial.baseline.answers == answers, description="copies are done")
        return self.trial

    def compute_new(self, logits: object) -> None:
        """Have version 2 answer something else than version 1."""

        def compute(name: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
            found = mean_colour(name, inputs)
            if name != NEW.triton_name:
                return found
            if isinstance(logits, Exception):
                raise logits
            return {"logits": np.broadcast_to(np.float32(logits), found["logits"].shape)}  # type: ignore[arg-type]

        self.plane.triton.compute = compute

    def hang_new(self) -> None:
        """Have version 2 never answer."""
        infer = self.plane.triton.infer

        async def hanging(request: Any, **options: Any) -> Any:
            if request.model_name == NEW.triton_name:
                await asyncio.Event().wait()
            return await infer(request, **options)

        self.plane.triton.infer = hanging  # type: ignore[method-assign]


def copies_under_way() -> int:
    return sum("Shadows._follow" in repr(task) for task in asyncio.all_tasks())


@pytest.fixture
async def shadowed() -> AsyncIterator[Shadowed]:
    made = Shadowed(await data_plane(OLD, NEW))
    yield made
    await made.plane.predictor.close()


async def test_callers_get_the_old_version_and_the_new_one_answers_the_same(shadowed: Shadowed) -> None:
    answer = await shadowed.ask(RED)
    assert answer.model_version == 1
    trial = await shadowed.copied(1)
    assert (trial.candidate.answers, trial.candidate.errors.total()) == (1, 0)
    assert (trial.candidate.compared, trial.candidate.disagreeing) == (1, 0)
    assert trial.candidate.distances.count == 1
    assert trial.rest.answers == 0
    assert NEW.statistics.success.count == 0, "a copy is no request"


async def test_other_answers_are_counted_row_by_row(shadowed: Shadowed) -> None:
    shadowed.compute_new([0.0, 0.0, 9.0])
    answer = await shadowed.ask(RED, GREEN, BLUE)
    assert [each.classification.labels[0].name for each in answer.predictions] == ["rot", "grün", "蓝色"]
    trial = await shadowed.copied(1)
    assert (trial.candidate.compared, trial.candidate.disagreeing) == (3, 2)
    assert trial.candidate.labels.by_label == {"蓝色": 3}
    assert trial.candidate.distances.count == 3


async def test_who_keeps_inputs_is_told_which_rows_the_new_version_answers_otherwise() -> None:
    heard: list[tuple[Call, Mapping[int, str]]] = []
    shadowed = Shadowed(await data_plane(OLD, NEW, disagreed=lambda call, others: heard.append((call, others))))
    await shadowed.ask(RED, GREEN, BLUE)
    await shadowed.copied(1)
    assert heard == [], "it answers the same"
    shadowed.compute_new([0.0, 0.0, 9.0])
    await shadowed.ask(RED, b"no photo", BLUE, GREEN)
    await shadowed.copied(2)
    assert [others for _, others in heard] == [{0: "蓝色", 3: "蓝色"}]
    await shadowed.plane.predictor.close()


async def test_a_new_version_that_fails_is_seen_by_nobody_but_the_judge(shadowed: Shadowed) -> None:
    shadowed.compute_new(InternalError("it broke"))
    assert (await shadowed.ask(RED)).model_version == 1
    trial = await shadowed.copied(1)
    assert trial.candidate.errors == {"INTERNAL": 1}
    assert trial.candidate.distances.count == 0


async def test_callers_do_not_wait_for_a_slow_copy(shadowed: Shadowed) -> None:
    shadowed.hang_new()
    assert (await asyncio.wait_for(shadowed.ask(RED), 5.0)).model_version == 1
    assert shadowed.trial.baseline.answers == 0


async def test_only_so_many_copies_are_under_way(shadowed: Shadowed) -> None:
    shadowed.hang_new()
    for _ in range(100):
        await shadowed.ask(RED)
    assert 1 <= copies_under_way() <= 64


async def test_a_share_of_the_calls_can_be_copied() -> None:
    shadowed = Shadowed(await data_plane(OLD, NEW), share=0.5)
    for _ in range(200):
        await shadowed.ask(RED)
    await eventually(lambda: not copies_under_way(), description="copies are done")
    assert 60 <= shadowed.trial.baseline.answers <= 140


async def test_without_a_shadow_nothing_is_copied() -> None:
    plane = await data_plane(OLD, NEW)
    request = inference_pb2.PredictRequest(items=[item(RED)])
    request.model.name = "colours"
    assert (await plane.predict(request, plane.call())).model_version == 2
    assert plane.routes.trial("colours") is None
