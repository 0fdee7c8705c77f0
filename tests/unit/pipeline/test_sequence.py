"""Sequences of numbers are brought to one length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline, Processed


def run(array: np.ndarray[Any, Any], **parameters: Any) -> Processed:
    step = {"op": "sequence", "output": "steps", "mask": "real", **parameters}
    return Pipeline.load({"inputs": {"walk": "tensor"}, "steps": [step]}, {}).run({"walk": array})


def test_a_short_sequence_is_filled_up_behind_and_the_mask_tells_where_it_ends() -> None:
    made = run(np.array([[1, 2], [3, 4]], dtype=np.float64), length=3, features=2)
    assert made.tensors["steps"].dtype == np.float32
    assert made.tensors["steps"].tolist() == [[1, 2], [3, 4], [0, 0]]
    assert made.tensors["real"].tolist() == [1, 1, 0]
    assert made.anomalies == []


@pytest.mark.parametrize(("keep", "kept"), [("first", [[1], [2]]), ("last", [[3], [4]])])
def test_of_a_long_sequence_one_end_is_kept_and_that_is_flagged(keep: str, kept: list[list[int]]) -> None:
    made = run(np.array([1, 2, 3, 4]), length=2, keep=keep)
    assert made.tensors["steps"].tolist() == kept
    assert [anomaly.reason for anomaly in made.anomalies] == ["TRUNCATED_SEQUENCE"]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 3)), "WRONG_SHAPE"),
        (np.zeros(4), "WRONG_SHAPE"),
        (np.zeros((0, 2)), "SEQUENCE_TOO_SHORT"),
        (np.full((2, 2), np.nan), "NOT_FINITE"),
        (np.full((2, 2), 1e300), "NOT_FINITE"),
        (np.array([[b"a", b"b"]], dtype=np.object_), "WRONG_DTYPE"),
    ],
)
def test_what_is_no_sequence_of_numbers_is_refused(array: np.ndarray[Any, Any], reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        run(array, length=4, features=2)
    assert refused.value.reason == reason
