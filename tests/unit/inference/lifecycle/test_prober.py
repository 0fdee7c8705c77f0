"""Probes: signs of life, and golden samples that must come out right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai import tensors
from lepton_ai.errors import InternalError, Unavailable
from lepton_ai.package import Package
from lepton_ai.testing.fake_triton import FakeTriton
from lepton_ai.v1 import inference_pb2
from services.inference.lifecycle.prober import Prober, path_is_away
from services.inference.triton.errors import STUB_DEAD, TRITON_AWAY
from services.inference.version import LoadedVersion
from tests.sample_packages import onnx_package

GOLDEN = [{"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": [2, 4, 6, 8]}}}}]


def loaded_of(package: Package, **changes: Any) -> LoadedVersion:
    settings: dict[str, Any] = {"max_batch_size": 8, "instances": 1, "description": package.description}
    return LoadedVersion(model="doubler", version=1, triton_name="doubler--v1", **(settings | changes))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return onnx_package(tmp_path / "package", golden=GOLDEN)


async def fake(package: Package) -> tuple[FakeTriton, LoadedVersion]:
    triton = FakeTriton()
    await triton.load("doubler--v1")
    return triton, loaded_of(package)


def answering(y: Any) -> Any:
    async def predict(loaded: LoadedVersion, request: inference_pb2.PredictRequest) -> inference_pb2.PredictResponse:
        return inference_pb2.PredictResponse(tensors=[tensors.to_proto("y", np.asarray(y, np.float32))])

    return predict


class TestLiveness:
    async def test_every_instance_is_asked_with_zeros(self, package: Package) -> None:
        triton, _ = await fake(package)
        loaded = loaded_of(package, instances=3)
        await Prober(triton).check_alive(loaded)
        assert len(triton.requests) == 3
        assert triton.requests[0].raw_input_contents == [bytes(16)]
        assert loaded.last_success_s > 0

    async def test_death_is_told_from_disagreement(self, package: Package) -> None:
        triton, loaded = await fake(package)

        def refuse(name: str, inputs: Any) -> Any:
            raise InternalError("The model failed on this input.", reason="MODEL_FAILED")

        triton.compute = refuse
        await Prober(triton).check_alive(loaded)  # it refuses zeros, so it lives
        with pytest.raises(InternalError):
            await Prober(triton).warm_up(loaded)  # but it may not take calls: all its dimensions are known
        triton.kill_stub("doubler--v1")
        with pytest.raises(Unavailable) as caught:
            await Prober(triton).check_alive(loaded)
        assert caught.value.reason == STUB_DEAD


class TestGolden:
    async def test_right_answers_pass_within_the_tolerance(self, package: Package) -> None:
        triton, loaded = await fake(package)
        await Prober(triton, answering([[2, 4, 6, 8.0005]])).check_golden(loaded, package.golden_items())

    @pytest.mark.parametrize("y", [[[2, 4, 6, 9]], [[2, 4, 6]], [2, 4, 6, 8], [[2, 4, 6, float("nan")]]])
    async def test_wrong_answers_do_not(self, package: Package, y: Any) -> None:
        triton, loaded = await fake(package)
        with pytest.raises(InternalError, match=r"golden\[0\]: output 'y' is not what the package expects"):
            await Prober(triton, answering(y)).check_golden(loaded, package.golden_items())

    @pytest.mark.parametrize(
        ("error", "away"),
        [
            (Unavailable("no preprocess service"), True),
            (TimeoutError(), True),
            (Unavailable("dead", reason=STUB_DEAD), False),
            (Unavailable("away", reason=TRITON_AWAY), False),
            (InternalError("wrong"), False),
        ],
    )
    def test_only_a_missing_path_says_nothing_about_the_model(self, error: Exception, away: bool) -> None:
        assert path_is_away(error) == away
