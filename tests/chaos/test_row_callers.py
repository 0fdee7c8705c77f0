"""The callers of marked rows see what they are there for: rows that are swapped, and answers of old versions."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import numpy as np
import pytest

from lepton_ai import Addresses, AsyncClient
from lepton_ai.tensors import Array
from lepton_ai.testing import MemoryStore
from lepton_ai.testing.fake_triton import FakeTriton
from tests.chaos.row_callers import RowCallers, ServedModel
from tests.replica import FakeRegistry
from tests.sample_packages import onnx_package
from tests.served_replica import served_replica

SERVED = ServedModel("doubler", {1: 2.0})
WAYS = ("predict", "model_infer", "predict_stream")


class SwappingTriton(FakeTriton):
    """Doubles; from the moment on that it is told to, it swaps two rows of every tenth batch."""

    def __init__(self) -> None:
        super().__init__(self._double)
        self.swaps = False
        self._batches = itertools.count(1)

    def _double(self, _: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        doubled = np.multiply(inputs["x"], np.float32(2))
        if self.swaps and next(self._batches) % 10 == 0:
            doubled[[0, -1]] = doubled[[-1, 0]]
        return {"y": doubled}


@pytest.fixture
def triton() -> SwappingTriton:
    return SwappingTriton()


@pytest.fixture
async def address(triton: SwappingTriton, tmp_path: Path) -> AsyncIterator[str]:
    store = MemoryStore()
    registry = FakeRegistry(store)
    registry.push(onnx_package(tmp_path / "package"))
    await registry.deploy("doubler", 1)
    async with served_replica(store, tmp_path, registry, triton=triton) as address:
        yield address


@pytest.mark.parametrize("way", WAYS)
async def test_two_rows_of_a_batch_that_are_swapped_are_seen(address: str, triton: SwappingTriton, way: str) -> None:
    callers = RowCallers(seed=1)
    async with AsyncClient(Addresses(inference=address)) as client, grpc.aio.insecure_channel(address) as channel:
        if way == "predict":
            callers.add(callers.predict(client, SERVED, max_rows=20), callers=4)
        else:
            callers.add(getattr(callers, way)([channel], SERVED, max_rows=20), callers=4)
        await callers.more(2000, timeout_s=30)
        triton.swaps = True
        with pytest.raises(AssertionError, match="are not theirs; the first is row"):
            await callers.more(100_000, timeout_s=30)
        with pytest.raises(AssertionError):
            await callers.end()


def test_an_answer_of_a_version_that_did_not_serve_since_the_call_began_is_seen() -> None:
    model = ServedModel("kept", {1: 2.0, 2: 3.0})
    began_before = model.era
    model.may_answer(1, 2)
    model.may_answer(2)
    assert (model.factor(1, began_before), model.factor(2, began_before)) == (2.0, 3.0)
    with pytest.raises(AssertionError, match="version 1 of kept is old"):
        model.factor(1, model.era)
