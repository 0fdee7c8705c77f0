"""The one array and the one number of an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError
from lepton_ai.models import Predicted
from lepton_ai.outputs import Outputs
from lepton_ai.prediction import Prediction

TEXT = np.array([b"hello"], np.object_)


def answers(error: LeptonError | None = None, **outputs: Any) -> tuple[Outputs, Outputs]:
    """The same answer of the platform and of a model in Python."""
    return Prediction(None, error, "", outputs=outputs), Predicted(None, outputs, error=error)


@pytest.mark.parametrize(
    "number", [np.array(3), np.array([3], np.int64), np.array([[3.0]], np.float32), np.full((1, 1, 1), 3, np.uint8)]
)
def test_a_single_number_is_the_value_whatever_its_shape_and_type(number: Any) -> None:
    for answer in answers(price=number):
        assert type(answer.value) is float
        assert answer.value == 3


def test_the_array_of_the_only_output_is_the_values() -> None:
    for answer in answers(forecast=np.arange(12.0).reshape(12, 1)):
        assert answer.values.shape == (12, 1)
        with pytest.raises(FailedPrecondition, match=r"'forecast' is float64 \[12, 1\]") as raised:
            assert answer.value
        assert raised.value.reason == "NOT_ONE_NUMBER"


@pytest.mark.parametrize(
    ("array", "told"), [(TEXT, r"text \[1\]"), (np.empty((0, 4), np.float32), r"float32 \[0, 4\]")]
)
def test_what_is_no_single_number_has_no_value(array: Any, told: str) -> None:
    for answer in answers(y=array):
        with pytest.raises(FailedPrecondition, match=told):
            assert answer.value


def test_one_of_several_outputs_is_taken_by_its_name() -> None:
    for answer in answers(score=np.ones(1), verdict=np.ones(2)):
        for attribute in ("value", "values"):
            with pytest.raises(FailedPrecondition, match=r"score, verdict.*outputs\['score'\]"):
                getattr(answer, attribute)


def test_an_answer_of_labels_alone_says_how_to_get_outputs() -> None:
    for answer in answers():
        for attribute in ("value", "values"):
            with pytest.raises(FailedPrecondition, match="ask for outputs by name"):
                getattr(answer, attribute)


def test_an_example_that_failed_raises_its_own_error() -> None:
    for answer in answers(InvalidInput("no photo")):
        with pytest.raises(InvalidInput, match="no photo"):
            assert answer.value
