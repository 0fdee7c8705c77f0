"""Labels as tensors of the Open Inference Protocol."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.postprocessing import Answered, Label, Labels
from lepton_ai.tensors import from_wire
from services.inference.oip.response import label_tensors


def test_labels_and_scores_are_rows_of_equal_length() -> None:
    labels, scores = label_tensors(
        [Answered(Labels([Label(1, "猫", 0.5), Label(0, "", 0.25)])), Answered(Labels([]), anomaly="odd")]
    )
    assert from_wire(labels.dtype, labels.shape, labels.data).tolist() == [["猫".encode(), b"0"], [b"", b""]]
    values = from_wire(scores.dtype, scores.shape, scores.data)
    assert np.array_equal(values, np.array([[0.5, 0.25], [np.nan, np.nan]], np.float32), equal_nan=True)


def test_no_rows_are_no_labels() -> None:
    assert [tensor.shape for tensor in label_tensors([])] == [(0, 0), (0, 0)]


def test_the_error_of_a_row_is_that_of_the_call() -> None:
    with pytest.raises(FailedPrecondition, match="no numbers"):
        label_tensors([Answered(Labels([Label(1, "猫", 0.5)])), Answered(None, error=FailedPrecondition("no numbers"))])
