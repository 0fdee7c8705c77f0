"""From pictures to a served model: what the README shows, on a running platform."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

import lepton_ai as la
from lepton_ai.datasets import DogsAndCats
from lepton_ai.models import CNN, LSTM
from tests.platform import Platform

PICTURES = 8


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of drawn cats and dogs that has only just begun to learn."""
    train, _ = DogsAndCats.split(train=120, test=20, size=64)
    model = CNN((64, 64, 3), 2, channels=(8, 16))
    model.fit(train, epochs=2, progress=False)
    return model.save(tmp_path_factory.mktemp("模型") / "cat_dog_classifier.pth")


async def test_a_trained_model_is_served_with_the_answers_that_it_gives_itself(platform: Platform, saved: Path) -> None:
    deployment = await asyncio.to_thread(la.deploy, saved, name="cats-dogs", addresses=platform.addresses)
    assert deployment.model == "cats-dogs"
    model = la.load(saved)
    _, test = DogsAndCats.split(train=120, test=PICTURES, size=64)
    pictures = [test.inputs(row) for row in range(PICTURES)]
    async with platform.client() as client:
        served = (await client.predict_batch("cats-dogs", pictures)).predictions
    for answer, expected in zip(served, model.predict(test), strict=True):
        assert [label.name for label in answer.labels] == [label.name for label in expected.labels]
        scores = [label.score for label in expected.labels]
        assert [label.score for label in answer.labels] == pytest.approx(scores, abs=1e-4)
    async with platform.client() as client:
        await client.undeploy("cats-dogs")


async def test_a_regression_is_served_with_its_numbers(platform: Platform) -> None:
    texts = ["好" * length for length in range(1, 41)]
    model = LSTM(8)
    model.fit(texts, np.arange(1, 41) * 1.5, epochs=1, progress=False)
    await asyncio.to_thread(la.deploy, model, name="stars", addresses=platform.addresses)
    expected = [each.value for each in model.predict(texts[:3])]
    async with platform.client() as client:
        served = (await client.predict_batch("stars", texts[:3])).predictions
        assert [each.value for each in served] == pytest.approx(expected, rel=1e-4)
        printed = platform.lepton("predict", "stars", "--text", texts[0])
        assert printed.stdout.split()[:3] == ["Input", "values", texts[0]]
        assert float(printed.stdout.split()[3]) == pytest.approx(expected[0], rel=1e-4)
        document = json.loads(platform.lepton("predict", "stars", "--text", texts[0], "--json").stdout)
        assert document["predictions"][0]["outputs"]["values"] == pytest.approx(expected[:1], rel=1e-4)
        await client.undeploy("stars")
