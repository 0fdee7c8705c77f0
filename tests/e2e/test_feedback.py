"""Feedback on the whole platform: from the id of an answer to the quality of a version, and back to a rollout."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from examples.efficientnet_lite0 import NAME, photos
from lepton_ai.errors import InvalidInput
from lepton_ai.testing import eventually
from tests.platform import Platform

pytestmark = pytest.mark.e2e


async def test_users_corrections_become_the_quality_of_a_version(platform: Platform) -> None:
    async with platform.client() as client:
        said = [(await client.predict(NAME, photo.path), photo.label) for photo in photos()]
        right = sum(prediction.labels[0].name == label for prediction, label in said)
        user = "anna@例子"

        async def joined() -> bool:
            states = await client.submit_feedbacks(
                [(prediction, {"label": label, "user": user}) for prediction, label in said]
            )
            return set(states) == {"joined"}

        await eventually(joined, timeout_s=20.0, description="health has heard of the predictions")
        (quality, *_) = await client.quality(NAME)
        assert (quality.labelled, quality.right) == (len(said), right)
        assert quality.accuracy_low < right / len(said) < quality.accuracy_high

        listed = await asyncio.to_thread(platform.lepton, "feedback", "list", NAME, "--bad", "--json")
        mistakes = json.loads(listed.stdout)
        assert len(mistakes) == len(said) - right
        assert all(each["label"] != each["predicted"] for each in mistakes)

        shown = await asyncio.to_thread(platform.lepton, "feedback", "quality", NAME)
        assert f"{right / len(said):.1%}" in shown.stdout
        given = await asyncio.to_thread(
            platform.lepton, "feedback", "give", said[0][0].prediction_id, "--down", "--text", "这是狗"
        )
        assert given.stdout == "Taken: 1 joined.\n"
        forgotten = await asyncio.to_thread(platform.lepton, "feedback", "forget", user)
        assert forgotten.stdout.startswith("Deleted: ")
        (quality, *_) = await client.quality(NAME)
        assert (quality.labelled, quality.bad, quality.texts) == (0, 1, 1), "what nobody is named for stays"


async def test_a_questionnaire_is_stored_asked_and_answered(platform: Platform, tmp_path: Path) -> None:
    document = tmp_path / "cats.yaml"
    document.write_text(QUESTIONNAIRE, encoding="utf-8")

    async def lepton(*words: str) -> str:
        done = await asyncio.to_thread(platform.lepton, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert await lepton("questionnaire", "set", str(document)) == "Stored cats.\n"
    async with platform.client() as client:
        prediction = await client.predict(NAME, photos()[0].path)

        async def joined() -> bool:
            answers = {"good": "down", "why": "错了"}
            return await client.submit_feedback(prediction, answers=answers, questionnaire="cats") == "joined"

        await eventually(joined, timeout_s=20.0, description="health has heard of the prediction")
        with pytest.raises(InvalidInput, match=r"answers\.good: is 'maybe'"):
            await client.submit_feedback(prediction, answers={"good": "maybe"}, questionnaire="cats")
    shown = json.loads(await lepton("questionnaire", "show", "cats", "--model", NAME, "--json"))
    assert [(each["answered"], each["counts"], each["latest"]) for each in shown] == [
        (1, {"down": 1}, []),
        (1, {}, ["错了"]),
    ]
    assert "错了" in await lepton("feedback", "complaints", NAME)
    assert "cats" in await lepton("questionnaire", "list")
    assert await lepton("questionnaire", "remove", "cats") == "Removed cats.\n"
    gone = await asyncio.to_thread(platform.lepton, "questionnaire", "show", "cats")
    assert gone.returncode != 0
    assert "There is no questionnaire" in gone.stderr
    document.write_text(QUESTIONNAIRE.replace("kind: thumb", "kind: thumbs"), encoding="utf-8")
    refused = await asyncio.to_thread(platform.lepton, "questionnaire", "set", str(document))
    assert "line 4" in refused.stderr


QUESTIONNAIRE = """questionnaire: cats
title: 这是猫吗？
questions:
  - {name: good, kind: thumb, text: 回答正确吗, required: true}
  - {name: why, kind: text, text: 为什么}
"""
