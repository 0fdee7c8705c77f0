"""Whether a plain text is a path: asked of the platform, and only then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.client.model_inputs import ModelDescription, ModelInputs, check_some
from lepton_ai.errors import InvalidInput, LeptonError, NotFound, Unavailable, Unsupported
from lepton_ai.v1 import inference_pb2

PHOTO = {"photo": "image"}


class Platform:
    """Describes models, or fails to; counts how often it was asked."""

    def __init__(self, kinds: Mapping[str, str] | LeptonError) -> None:
        self.kinds = kinds
        self.asked = 0

    async def describe(self) -> ModelDescription:
        self.asked += 1
        if isinstance(self.kinds, LeptonError):
            raise self.kinds
        return ModelDescription("model", 1, self.kinds)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("kinds", "yes"), [(PHOTO, True), ({"words": "text"}, False), ({}, False)])
async def test_the_model_decides_what_a_plain_text_is(kinds: Mapping[str, str], yes: bool) -> None:
    platform = Platform(kinds)
    for text in ("cat.jpg", "cat", "what a nice day"):
        assert await ModelInputs().texts_are_paths("model", [text], platform.describe) is yes


@pytest.mark.parametrize(
    "value", [b"bytes", Path("cat.jpg"), {"photo": "cat.jpg"}, 3, "", "two\nlines", "n\0l", "x" * 5000]
)
async def test_nobody_is_asked_unless_there_is_a_text_that_could_be_a_path(value: Any) -> None:
    platform = Platform(PHOTO)
    assert not await ModelInputs().texts_are_paths("model", [value], platform.describe)
    assert platform.asked == 0


@pytest.mark.parametrize("error", [Unavailable("down"), NotFound("no model"), Unsupported("an older platform")])
async def test_without_a_description_it_is_a_text_and_asked_again_next_time(error: LeptonError) -> None:
    platform, inputs = Platform(error), ModelInputs()
    assert not await inputs.texts_are_paths("model", ["cat.jpg"], platform.describe)
    platform.kinds = PHOTO
    assert await inputs.texts_are_paths("model", ["cat.jpg"], platform.describe)


def test_inputs_are_named_in_one_order_whatever_the_message_has() -> None:
    message = inference_pb2.DescribeModelResponse(input_kinds={"b": "text", "c": "text", "a": "number"})
    assert list(ModelDescription.of(message).inputs) == ["a", "b", "c"]


def test_no_examples_are_refused() -> None:
    with pytest.raises(InvalidInput, match="values: holds no example"):
        check_some([])


async def test_an_answer_is_believed_for_some_seconds_for_each_model() -> None:
    platform, clock = Platform(PHOTO), Clock()
    inputs = ModelInputs(now_s=clock)
    for _ in range(3):
        assert await inputs.texts_are_paths("photos", ["cat.jpg"], platform.describe)
    assert platform.asked == 1
    assert not await inputs.texts_are_paths("texts", ["cat.jpg"], Platform({"words": "text"}).describe)
    platform.kinds, clock.now_s = {"words": "text"}, 11.0
    assert not await inputs.texts_are_paths("photos", ["cat.jpg"], platform.describe), "another model has its name"
    assert platform.asked == 2
