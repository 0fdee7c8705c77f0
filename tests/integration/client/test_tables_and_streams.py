"""Tables and streams of examples on a real inference service, and the traces of calls that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pytest

from lepton_ai import Addresses, AsyncClient, Client, File
from lepton_ai.datasets import from_arrays
from lepton_ai.errors import InvalidInput, LeptonError, NotFound
from tests.integration.inference.served_colours import ServedColours, served_colours
from tests.unit.inference.colours import COLOURS, RED

TABLE = {"photo": [RED, RED, b"no photo"], "target": ["a", "b", "c"]}


@pytest.fixture
async def served() -> AsyncIterator[ServedColours]:
    async with served_colours() as served:
        yield served


@pytest.fixture
async def client(served: ServedColours) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(Addresses(inference=served.address), timeout_s=30) as client:
        yield client


def outcome(prediction: Any) -> str:
    return type(prediction.error).__name__ if prediction.error else prediction.labels[0].name


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(TABLE),
        pa.table(TABLE),
        from_arrays(TABLE, target="target"),
        pd.Series(TABLE["photo"]),
        TABLE["photo"],
        pd.DataFrame({"picture": TABLE["photo"]}),
    ],
    ids=["pandas", "Arrow", "a data set", "a series", "a list", "the only column"],
)
async def test_rows_of_a_table_are_examples_and_other_columns_are_passed_over(client: AsyncClient, table: Any) -> None:
    expected = [COLOURS[0], COLOURS[0], "InvalidInput"]
    answer = await client.predict_batch("colours", table)
    assert [outcome(each) for each in answer.predictions] == expected
    assert [outcome(each) async for each in client.predict_many("colours", table)] == expected


async def test_a_table_that_lacks_a_column_is_refused(client: AsyncClient) -> None:
    with pytest.raises(InvalidInput, match="photo: there is no such column"):
        await client.predict_batch("colours", pd.DataFrame({"foto": [RED], "x": [1]}))


async def test_more_rows_than_one_call_may_have_are_all_answered(client: AsyncClient) -> None:
    values = [RED] * 1024 + [b"alone in its call"]
    answer = await client.predict_batch("colours", values)
    assert [outcome(each) for each in answer.predictions] == [COLOURS[0]] * 1024 + ["InvalidInput"]
    assert answer.version == 2


async def test_a_stream_answers_in_order_and_each_failure_is_a_prediction(client: AsyncClient, tmp_path: Path) -> None:
    def examples() -> Iterator[Any]:
        for number in range(300):
            yield {7: b"no photo", 8: File(tmp_path / "gone.jpg"), 9: object()}.get(number, RED)

    outcomes = [outcome(each) async for each in client.predict_many("colours", examples())]
    assert outcomes == [COLOURS[0]] * 7 + ["InvalidInput"] * 3 + [COLOURS[0]] * 290


async def test_a_stream_of_code_that_blocks_is_the_same(served: ServedColours) -> None:
    def stream() -> tuple[list[str], list[str]]:
        with Client(Addresses(inference=served.address), timeout_s=30) as client:
            values = ({7: b"no photo"}.get(number, RED) for number in range(300))
            all_of_them = [outcome(each) for each in client.predict_many("colours", values)]
            endless = client.predict_many("colours", iter(lambda: RED, None))
            return all_of_them, [outcome(next(iter(endless))) for _ in range(3)]

    outcomes, first = await asyncio.to_thread(stream)
    assert outcomes == [COLOURS[0]] * 7 + ["InvalidInput"] + [COLOURS[0]] * 292
    assert first == [COLOURS[0]] * 3


async def test_a_stream_to_a_model_that_is_not_there_raises(client: AsyncClient) -> None:
    with pytest.raises(NotFound):
        await anext(client.predict_many("nosuch", [RED]))


async def test_a_model_is_described(client: AsyncClient) -> None:
    described = await client.describe("colours@canary")
    assert (described.model, described.version, described.inputs) == ("colours", 1, {"photo": "image"})


@pytest.mark.parametrize("address", ["served", "127.0.0.1:1"])
async def test_the_error_of_a_traced_call_has_its_trace_whether_a_server_answered_or_not(
    served: ServedColours, address: str
) -> None:
    there = Addresses(inference=served.address if address == "served" else address, otlp="127.0.0.1:1")
    async with AsyncClient(there, timeout_s=3, trace_ratio=1.0) as client:
        with pytest.raises(LeptonError) as caught:
            await client.predict("colours", b"no photo")
    assert len(caught.value.trace_id) == 32


async def test_the_error_of_a_call_that_is_not_traced_names_no_trace(client: AsyncClient) -> None:
    with pytest.raises(LeptonError) as caught:
        await client.predict("nosuch", RED)
    assert caught.value.trace_id == ""
