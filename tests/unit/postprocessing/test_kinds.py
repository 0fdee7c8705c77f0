"""Several labels, numbers, series and embeddings; every kind of answer as a message and back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.postprocessing import (
    NOT_A_NUMBER,
    Box,
    Boxes,
    Embedding,
    Label,
    Labels,
    Mask,
    Number,
    Numbers,
    Options,
    Postprocess,
    RowAnswer,
    Series,
    Text,
)
from lepton_ai.postprocessing.messages import read_answer, write_answer
from lepton_ai.v1 import inference_pb2

TAGS = {"tags.txt": "海滩\n夜晚\n人\n".encode()}


@dataclass(frozen=True)
class Spec:
    name: str
    shape: tuple[int, ...]
    dtype: str = "FP32"


def load(*steps: dict[str, Any], files: dict[str, bytes] | None = None) -> Postprocess:
    return Postprocess.load(steps, files)


def names_of(postprocess: Postprocess, scores: Any, options: Options = Options()) -> list[list[str]]:  # noqa: B008
    answers = postprocess.run({"y": np.array(scores, np.float32)}, options)
    return [[label.name for label in row.labels] for row in answers]


def refusal(postprocess: Postprocess, *specs: Spec) -> str:
    with pytest.raises(InvalidInput) as raised:
        postprocess.check(specs)
    return str(raised.value)


def test_every_class_over_its_threshold_is_named_best_first_and_there_may_be_none() -> None:
    postprocess = load({"op": "multilabel", "labels": "tags.txt"}, files=TAGS)
    assert names_of(postprocess, [[0.5, 0.9, 0.1], [0, 0.49, 0], [1, 1, 1]]) == [
        ["夜晚", "海滩"],
        [],
        ["海滩", "夜晚", "人"],
    ]
    assert names_of(postprocess, [[0.5, 0.9, 0.6]], Options(top_k=2)) == [["夜晚", "人"]]


def test_a_class_may_have_a_threshold_of_its_own() -> None:
    step = {"op": "multilabel", "labels": "tags.txt", "threshold": 0.8, "thresholds": {"人": 0.2}}
    assert names_of(load(step, files=TAGS), [[0.79, 0.1, 0.25]]) == [["人"]]
    with pytest.raises(InvalidInput, match="'猫' is not among the labels"):
        load({"op": "multilabel", "labels": "tags.txt", "thresholds": {"猫": 0.5}}, files=TAGS)


def test_several_labels_of_a_row_that_is_not_a_number_are_an_error_and_no_scores_at_all_are_not() -> None:
    postprocess = load({"op": "sigmoid"}, {"op": "multilabel"})
    bad, none = postprocess.run({"y": np.array([[np.nan, 9], [-9, -9]], np.float32)})
    assert bad.error is not None
    assert bad.error.reason == NOT_A_NUMBER
    assert none.answer == Labels(())


def test_numbers_have_names_and_units() -> None:
    postprocess = load({"op": "numbers", "names": ["价格", "age"], "units": ["元", ""]})
    (row,) = postprocess.run({"y": np.array([[8000, 1.5]])})
    assert row.answer == Numbers([Number("价格", 8000.0, "元"), Number("age", 1.5, "")])
    assert postprocess.describe() == "价格 (元), age"


def test_numbers_without_names_are_called_as_the_output() -> None:
    (row,) = load({"op": "numbers"}).run({"score": np.array([0.25], np.float32)})
    assert row.answer == Numbers([Number("score", 0.25)])


def test_a_row_with_a_number_that_is_none_is_an_error_or_an_anomaly_as_the_package_says() -> None:
    outputs = {"y": np.array([[np.inf], [1.0]])}
    bad, good = load({"op": "numbers"}).run(outputs)
    assert bad.error is not None
    assert good.error is None
    odd, _ = load({"op": "numbers", "not_a_number": "anomaly"}).run(outputs)
    assert odd.anomaly
    assert odd.error is None


@pytest.mark.parametrize(("shape", "variables"), [((2, 6), 1), ((2, 6, 2), 2)])
def test_a_series_is_values_over_time_of_each_variable(shape: tuple[int, ...], variables: int) -> None:
    names = ["温度", "湿度"][:variables]
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    first, _ = load({"op": "series", "names": names, "unit": "°C", "step": "1 h"}).run({"y": values})
    assert isinstance(first.answer, Series)
    assert (first.answer.names, first.answer.unit, first.answer.step) == (tuple(names), "°C", "1 h")
    np.testing.assert_array_equal(first.answer.values, values[0].reshape(6, variables))


def test_embeddings_may_be_brought_to_length_one() -> None:
    first, zero = load({"op": "embedding", "normalize": True}).run({"y": np.array([[3.0, 4.0], [0, 0]])})
    assert isinstance(first.answer, Embedding)
    assert isinstance(zero.answer, Embedding)
    np.testing.assert_array_almost_equal(first.answer.values.tolist(), [0.6, 0.8])
    np.testing.assert_array_equal(zero.answer.values, [0, 0])


@pytest.mark.parametrize(
    ("steps", "specs", "problem"),
    [
        ([{"op": "numbers"}], [Spec("a", (-1, 2)), Spec("b", (-1, 2))], "steps[0].input: is not given"),
        ([{"op": "numbers", "input": "z"}], [Spec("a", (-1, 2))], "steps[0]: reads 'z'"),
        ([{"op": "numbers", "names": ["x"]}], [Spec("a", (-1, 2))], "steps[0].names: are 1, output a has 2 a row"),
        ([{"op": "numbers"}], [Spec("a", (-1, 2), "BYTES")], "steps[0].input: output a holds texts"),
        ([{"op": "series"}], [Spec("a", (-1,))], "a series [rows, steps, variables]"),
        ([{"op": "series", "names": ["x"]}], [Spec("a", (-1, 9, 3))], "steps[0].names: are 1, output a has 3"),
        ([{"op": "embedding"}], [Spec("a", (-1, 3, 3))], "an embedding [rows, dimensions]"),
        ([{"op": "softmax"}, {"op": "classify", "labels": "tags.txt"}], [Spec("a", (-1, 4))], "names 3 classes"),
        ([{"op": "classify"}], [Spec("a", (-1, 4, 4))], "labels are made of [rows, classes]"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_the_models_outputs_is_refused_at_push(
    steps: list[dict[str, Any]], specs: list[Spec], problem: str
) -> None:
    assert problem in refusal(load(*steps, files=TAGS), *specs)


def test_outputs_that_are_not_what_was_declared_are_a_fault_of_the_package() -> None:
    with pytest.raises(FailedPrecondition, match="names 2 numbers, the model answers 3 a row"):
        load({"op": "numbers", "names": ["a", "b"]}).run({"y": np.zeros((1, 3))})


ANSWERS: list[RowAnswer] = [
    Labels((Label(3, "猫", 0.5), Label(0, "", 0.25))),
    Labels(()),
    Numbers((Number("价格", 8000.0, "元"),)),
    Series(("a", "b"), np.arange(6, dtype=np.float32).reshape(3, 2), "°C", "1 h"),
    Boxes((Box("人", 0.5, 1.0, 2.0, 3.0, 4.0, 0),)),
    Boxes(()),
    Text("你好 hello", 0.5),
    Text("", None),
    Mask(np.array([[0, 0, 7], [7, 7, 65535]], np.uint16), ("背景",)),
    Embedding(np.array([0.5, 0.25], np.float32)),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_every_kind_travels_as_a_message(answer: RowAnswer) -> None:
    prediction = inference_pb2.Prediction()
    write_answer(answer, prediction)
    received = read_answer(inference_pb2.Prediction.FromString(prediction.SerializeToString()))
    assert type(received) is type(answer)
    for each in fields(answer):
        np.testing.assert_array_equal(getattr(received, each.name), getattr(answer, each.name))


def test_a_prediction_with_an_error_or_nothing_has_no_answer() -> None:
    assert read_answer(inference_pb2.Prediction()) is None
    failed = inference_pb2.Prediction()
    failed.error.code = 3
    assert read_answer(failed) is None


@given(
    numpy_st.arrays(np.uint16, numpy_st.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 3))
)
def test_the_runs_of_a_mask_give_every_pixel_back(classes: Any) -> None:
    prediction = inference_pb2.Prediction()
    write_answer(Mask(classes), prediction)
    received = read_answer(prediction)
    assert isinstance(received, Mask)
    np.testing.assert_array_equal(received.classes, classes)
