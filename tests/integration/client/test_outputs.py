"""Outputs of a model without labels and of one with labels, as a client gets them from a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lepton_ai import Addresses, AsyncClient
from lepton_ai.errors import FailedPrecondition, InvalidInput
from tests.integration.inference.served_colours import served_colours
from tests.unit.inference.colours import BLUE, COLOURS, GREEN, RED, colours_version

NUMBERS, LABELS = "colours@1", "colours@2"


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with (
        served_colours(colours_version(version=1, labelled=False), colours_version(version=2)) as served,
        AsyncClient(Addresses(inference=served.address), timeout_s=5) as client,
    ):
        yield client


async def test_a_model_without_labels_answers_with_its_outputs(client: AsyncClient) -> None:
    prediction = await client.predict(NUMBERS, RED)
    assert prediction.labels == ()
    assert prediction.outputs["logits"].tolist() == prediction.values.tolist() == [220 / 16, 0, 0]


@pytest.mark.parametrize("outputs", [(), ("logits",)])
async def test_items_keep_their_own_rows_beside_items_that_fail(client: AsyncClient, outputs: tuple[str, ...]) -> None:
    photos = [b"no photo", RED, GREEN, b"nor this", BLUE, b"nor that"]
    answer = await client.predict_batch(NUMBERS, photos, outputs=outputs)
    first, red, green, fourth, blue, last = answer.predictions
    assert [int(each.values.argmax()) for each in (red, green, blue)] == [0, 1, 2]
    for failed in (first, fourth, last):
        assert isinstance(failed.error, InvalidInput)
        assert failed.outputs == {}


async def test_a_model_with_labels_gives_outputs_when_asked(client: AsyncClient) -> None:
    prediction = await client.predict(LABELS, BLUE, outputs=["logits"])
    assert (prediction.labels[0].name, int(prediction.values.argmax())) == (COLOURS[2], 2)
    with pytest.raises(FailedPrecondition, match="ask for outputs"):
        assert (await client.predict(LABELS, BLUE)).value


async def test_an_output_that_the_model_lacks_is_refused_by_name(client: AsyncClient) -> None:
    with pytest.raises(InvalidInput, match="no output 'nope'"):
        await client.predict(NUMBERS, RED, outputs=["nope"])
