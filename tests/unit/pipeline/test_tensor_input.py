"""tensor: what a caller sends ready-made goes through as it is, or as the same numbers in the type that is wanted."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import dtype_name


def tensor_input(dtype: str) -> Pipeline:
    step = {"op": "tensor", "dtype": dtype, "shape": [-1], "output": "y"}
    return Pipeline.load({"inputs": {"x": "tensor"}, "steps": [step]})


class TestTensorInput:
    DOCUMENT: ClassVar = {
        "inputs": {"x": "tensor"},
        "steps": [{"op": "tensor", "dtype": "FP32", "shape": [2, -1], "output": "y"}],
    }

    def test_what_fits_goes_through_unchanged(self) -> None:
        array = np.ones((2, 5), dtype=np.float32)
        assert Pipeline.load(self.DOCUMENT).run({"x": array}).tensors["y"] is array

    @pytest.mark.parametrize(
        ("array", "reason"),
        [
            (np.full((2, 5), (1 << 24) + 1, dtype=np.int64), "WRONG_DTYPE"),
            (np.ones((2, 5), dtype=np.bool_), "WRONG_DTYPE"),
            (np.full((2, 5), b"1", dtype=np.object_), "WRONG_DTYPE"),
            (np.ones((3, 5), dtype=np.float32), "WRONG_SHAPE"),
            (np.ones(2, dtype=np.float32), "WRONG_SHAPE"),
            (np.ones((1, 2, 5), dtype=np.float32), "WRONG_SHAPE"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, array: Any, reason: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            Pipeline.load(self.DOCUMENT).run({"x": array})
        assert (raised.value.reason, raised.value.fields[0].field) == (reason, "inputs.x")

    @pytest.mark.parametrize("dtype", [np.float64, np.float16])
    def test_floats_of_another_width_become_those_that_are_wanted(self, dtype: Any) -> None:
        made = Pipeline.load(self.DOCUMENT).run({"x": np.full((2, 3), 0.1, dtype=dtype)}).tensors["y"]
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, np.float32(dtype(0.1)))

    @pytest.mark.parametrize(
        ("wanted", "whole"),
        [
            ("FP32", np.array([0, -3, 1 << 24, 1 << 40], np.int64)),
            ("FP16", np.array([0, 2048, 65504], np.uint32)),
            ("FP64", np.array([-(1 << 53), 1 << 62], np.int64)),
            ("INT32", np.array([-(1 << 31), (1 << 31) - 1], np.int64)),
            ("UINT64", np.array([0, (1 << 63) - 1], np.int64)),
            ("UINT8", np.array([], np.int64)),
        ],
    )
    def test_whole_numbers_become_what_is_wanted_where_they_stay_the_same(self, wanted: str, whole: Any) -> None:
        made = tensor_input(wanted).run({"x": whole}).tensors["y"]
        assert dtype_name(made.dtype) == wanted and [int(each) for each in made] == whole.tolist()

    @pytest.mark.parametrize(
        ("wanted", "whole"),
        [
            ("FP32", np.int64((1 << 24) + 1)),
            ("FP32", np.int64((1 << 63) - 1)),
            ("FP64", np.uint64((1 << 64) - 1)),
            ("FP64", np.int64(-(1 << 53) - 1)),
            ("FP16", np.int64(65505)),
            ("FP16", np.int64(-(1 << 63))),
            ("INT32", np.int64(1 << 31)),
            ("UINT64", np.int64(-1)),
            ("INT64", np.uint64(1 << 63)),
        ],
    )
    def test_whole_numbers_are_never_bent_silently(self, wanted: str, whole: Any) -> None:
        with pytest.raises(InvalidInput, match=rf"its element \[1\] is a number that {wanted} does not have") as raised:
            tensor_input(wanted).run({"x": np.array([1, whole], whole.dtype)})
        assert raised.value.reason == "WRONG_DTYPE" and wanted in raised.value.fix

    def test_a_refusal_says_which_whole_numbers_there_are(self) -> None:
        limits = {"FP32": "up to 16777216,", "FP16": "up to 2048,", "INT8": "from -128 to 127"}
        for wanted, limit in limits.items():
            with pytest.raises(InvalidInput) as raised:
                tensor_input(wanted).run({"x": np.array([(1 << 24) + 1])})
            assert limit in raised.value.fix

    def test_a_whole_number_alone_may_be_a_float(self) -> None:
        document = {"inputs": {"x": "tensor"}, "steps": [{"op": "tensor", "dtype": "FP32", "shape": [], "output": "y"}]}
        assert Pipeline.load(document).run({"x": 3}).tensors["y"] == np.float32(3)

    @pytest.mark.parametrize(
        "state", [5, np.array(5), np.array([5]), np.array([5], dtype=np.uint8), np.array(5, dtype=np.uint64)]
    )
    def test_a_number_may_come_as_an_array_of_one(self, state: Any) -> None:
        steps = [{"op": "tensor", "dtype": "INT64", "shape": [], "output": "y"}]
        made = Pipeline.load({"inputs": {"x": "tensor"}, "steps": steps}).run({"x": state}).tensors["y"]
        assert made == 5 and made.dtype == np.int64 and made.shape == ()

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (np.array([5, 6]), "WRONG_SHAPE"),
            (np.array([[5]]), "WRONG_SHAPE"),
            (5.0, "WRONG_DTYPE"),
        ],
    )
    def test_what_may_not_be_one_whole_number_is_refused(self, state: Any, reason: str) -> None:
        steps = [{"op": "tensor", "dtype": "INT64", "shape": [], "output": "y"}]
        with pytest.raises(InvalidInput) as raised:
            Pipeline.load({"inputs": {"x": "tensor"}, "steps": steps}).run({"x": state})
        assert raised.value.reason == reason

    @pytest.mark.parametrize("value", [np.float32(np.nan), np.float64(1e300)], ids=["nan", "beyond FP32"])
    def test_what_is_not_finite_is_flagged(self, value: Any) -> None:
        processed = Pipeline.load(self.DOCUMENT).run({"x": np.full((2, 1), value)})
        assert [anomaly.reason for anomaly in processed.anomalies] == ["NOT_FINITE"]


def test_a_single_number_is_a_tensor_without_dimensions() -> None:
    state = {
        "inputs": {"x": "tensor"},
        "steps": [{"op": "tensor", "input": "x", "dtype": "INT64", "shape": [], "output": "y"}],
    }
    assert Pipeline.load(state).run({"x": 5}).tensors["y"] == 5
    with pytest.raises(InvalidInput, match="x"):
        Pipeline.load(state).run({"x": 1 << 70})
    with pytest.raises(InvalidInput, match="x"):
        Pipeline.load(state).run({"x": True})
