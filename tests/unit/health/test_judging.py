from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.package.golden import ExpectedTensor, GoldenItem
from lepton_ai.tensors import to_proto
from lepton_ai.v1 import common_pb2, inference_pb2
from services.health.probes import judge


def sample(*, label: str | None = None, top_k: int = 1, tolerance: float | None = None) -> GoldenItem:
    outputs = {} if tolerance is None else {"y": ExpectedTensor(np.array([1.0, 2.0], np.float32), tolerance)}
    return GoldenItem(item=common_pb2.Item(), label=label, top_k=top_k, outputs=outputs)


def answer(*labels: str, y: tuple[float, ...] = ()) -> inference_pb2.PredictResponse:
    response = inference_pb2.PredictResponse()
    prediction = response.predictions.add()
    for label in labels:
        prediction.classification.labels.add(name=label)
    if y:
        response.tensors.append(to_proto("y", np.array([y], np.float32)))
    return response


@pytest.mark.parametrize(("top_k", "right"), [(1, False), (2, True)])
def test_the_label_must_be_among_the_best(top_k: int, *, right: bool) -> None:
    assert (judge(sample(label="cat", top_k=top_k), answer("dog", "cat")) == "") is right


def test_values_must_be_within_the_tolerance() -> None:
    assert judge(sample(tolerance=0.1), answer(y=(1.05, 2.0))) == ""
    assert "differs" in judge(sample(tolerance=0.01), answer(y=(1.05, 2.0)))


def test_a_missing_or_misshapen_output_is_a_wrong_answer() -> None:
    assert "missing" in judge(sample(tolerance=0.1), answer())
    assert "another shape" in judge(sample(tolerance=0.1), answer(y=(1.0, 2.0, 3.0)))


def test_an_answer_without_predictions_is_wrong_not_a_crash() -> None:
    assert "not recognised" in judge(sample(label="cat"), inference_pb2.PredictResponse())
