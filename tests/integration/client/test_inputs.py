"""What the client makes of plain texts, by what the model that really serves takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lepton_ai import Addresses, AsyncClient, File
from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.v1 import common_pb2, inference_pb2
from lepton_ai.v1.inference_pb2_grpc import InferenceServiceStub
from tests.integration.inference.served_colours import ServedColours, served_colours
from tests.unit.inference.colours import COLOURS, RED


@pytest.fixture
async def served() -> AsyncIterator[ServedColours]:
    async with served_colours() as served:
        yield served


@pytest.fixture
async def client(served: ServedColours) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(Addresses(inference=served.address), timeout_s=5) as client:
        yield client


@pytest.fixture
def red(tmp_path: Path) -> Path:
    file = tmp_path / "upload"
    file.write_bytes(RED)
    return file


async def test_a_model_is_described_by_the_kinds_of_its_inputs(served: ServedColours) -> None:
    request = inference_pb2.DescribeModelRequest(model=common_pb2.ModelRef(name="colours", alias="canary"))
    described = await InferenceServiceStub(served.channel).DescribeModel(request)
    assert (described.model_name, described.model_version, dict(described.input_kinds)) == (
        "colours",
        1,
        {"photo": "image"},
    )


async def test_a_plain_text_is_the_path_of_a_picture_for_a_model_of_pictures(client: AsyncClient, red: Path) -> None:
    for given in (str(red), red, File(red), {"photo": File(red)}):
        assert (await client.predict("colours", given)).labels[0].name == COLOURS[0]


async def test_a_file_that_is_not_there_is_named(client: AsyncClient) -> None:
    with pytest.raises(InvalidInput, match=r"'nosuch\.jpg' cannot be read"):
        await client.predict("colours", "nosuch.jpg")


async def test_a_text_by_name_is_never_read_and_the_refusal_says_how_to_name_a_file(
    client: AsyncClient, red: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"inputs\.photo.*a text.*lepton_ai\.File"):
        await client.predict("colours", {"photo": str(red)})


async def test_a_model_that_is_not_there_is_told_as_such(client: AsyncClient) -> None:
    with pytest.raises(NotFound):
        await client.predict("nosuch", "cat.jpg")
