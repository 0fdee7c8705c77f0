"""Outputs of a model to labels with scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.postprocessing import Options, Postprocess, without_meaning

CLASSIFY: list[dict[str, Any]] = [
    {"op": "softmax", "input": "logits"},
    {"op": "classify", "labels": "标签.txt", "top_k": 2},
]
LABELS = {"标签.txt": "猫\n狗\n鸟\n".encode()}


def refusal(steps: Any, files: dict[str, bytes] | None = None) -> InvalidInput:
    with pytest.raises(InvalidInput) as raised:
        Postprocess.load(steps, files)
    return raised.value


def test_rows_become_labels_with_probabilities_best_first() -> None:
    logits = np.log(np.array([[1, 6, 3], [7, 1, 2]], dtype=np.float32))
    answers = Postprocess.load(CLASSIFY, LABELS).run({"logits": logits})
    assert [[(index, name) for index, name, _ in row.labels] for row in answers] == [
        [(1, "狗"), (2, "鸟")],
        [(0, "猫"), (2, "鸟")],
    ]
    np.testing.assert_allclose(
        [[score for *_, score in row.labels] for row in answers], [[0.6, 0.3], [0.7, 0.2]], rtol=1e-6
    )


def test_the_callers_top_k_goes_before_the_packages_and_never_beyond_the_classes() -> None:
    postprocess = Postprocess.load(CLASSIFY, LABELS)
    logits = np.zeros((1, 3), dtype=np.float32)
    assert [len(postprocess.run({"logits": logits}, Options(top_k=top_k))[0].labels) for top_k in (0, 1, 3, 50)] == [
        2,
        1,
        3,
        3,
    ]
    assert (postprocess.inputs, postprocess.class_count) == (frozenset({"logits"}), 3)


def test_softmax_holds_for_huge_logits() -> None:
    answers = Postprocess.load([{"op": "softmax"}, {"op": "classify"}]).run({"y": np.array([[1e30, -1e30, 0]])})
    assert [scored.score for scored in answers[0].labels] == [1, 0, 0]


def test_sigmoid_scores_every_class_by_itself_without_overflow() -> None:
    answers = Postprocess.load([{"op": "sigmoid"}, {"op": "classify"}]).run(
        {"y": np.array([[-1e4, 0, 1e4]], np.float32)}
    )
    assert [(scored.index, scored.score) for scored in answers[0].labels] == [(2, 1), (1, 0.5), (0, 0)]


def test_a_single_sigmoid_is_no_and_yes() -> None:
    postprocess = Postprocess.load([{"op": "sigmoid"}, {"op": "classify", "labels": "l"}], {"l": b"no\nyes"})
    assert [scored.name for scored in postprocess.run({"y": np.array([[2.0]])})[0].labels] == ["yes", "no"]


def test_argmax_gives_one_label_with_the_models_own_score() -> None:
    answers = Postprocess.load([{"op": "argmax", "labels": "标签.txt"}], LABELS).run(
        {"y": np.array([[3, 9, 4]])}, Options(top_k=3)
    )
    assert [list(row.labels) for row in answers] == [[(1, "狗", 9.0)]]


def test_equal_scores_come_in_the_order_of_their_index() -> None:
    answers = Postprocess.load([{"op": "classify", "top_k": 4}]).run({"y": np.zeros((2, 4))})
    assert [[scored.index for scored in row.labels] for row in answers] == [[0, 1, 2, 3]] * 2


def test_an_empty_batch_gives_no_rows() -> None:
    assert Postprocess.load(CLASSIFY, LABELS).run({"logits": np.zeros((0, 3))}) == []


NAN, INF = np.nan, np.inf
NO_NUMBERS = [[NAN] * 3, [NAN, 1, 2], [1, 2, NAN], [INF, 0, 0], [-INF] * 3]


@pytest.mark.parametrize("scores", NO_NUMBERS)
@pytest.mark.parametrize("first", [[], [{"op": "softmax"}]])
@pytest.mark.parametrize("last", ["classify", "argmax"])
def test_scores_that_are_no_numbers_are_an_error_of_their_row_alone(
    scores: list[float], first: list[dict[str, Any]], last: str
) -> None:
    answers = Postprocess.load([*first, {"op": last}]).run({"y": np.array([[0, 9, 0], scores, [9, 0, 0]])})
    assert [row.error is None for row in answers] == [True, False, True]
    assert [row.labels[0].index for row in (answers[0], answers[2])] == [1, 0]
    (good, bad, _) = answers
    assert isinstance(bad.error, FailedPrecondition)
    assert (bad.error.reason, bad.labels, bad.anomaly) == ("NOT_A_NUMBER", (), "")
    assert not good.anomaly


@pytest.mark.parametrize("scores", NO_NUMBERS)
def test_a_package_may_have_them_as_an_anomaly_and_no_label_whose_score_is_none(scores: list[float]) -> None:
    postprocess = Postprocess.load([{"op": "classify", "not_a_number": "anomaly"}])
    odd, good = postprocess.run({"y": np.array([scores, [0, 9, 0]])})
    assert (odd.error, good.error, good.anomaly) == (None, None, "")
    assert "not all numbers" in odd.anomaly
    assert sorted(each.index for each in odd.labels) == [i for i, each in enumerate(scores) if np.isfinite(each)]


def test_a_sigmoid_of_infinity_is_a_number_and_one_of_nan_is_none() -> None:
    answers = Postprocess.load([{"op": "sigmoid"}, {"op": "classify"}]).run({"y": np.array([[INF, -INF], [NAN, 1]])})
    assert [(each.index, each.score) for each in answers[0].labels] == [(0, 1), (1, 0)]
    assert answers[1].error is not None


def test_a_class_that_is_ruled_out_by_minus_infinity_is_never_named() -> None:
    (row,) = Postprocess.load([{"op": "classify"}]).run({"y": np.array([[-INF, 3, 1]])})
    assert [each.index for each in row.labels] == [1, 2]
    assert (row.error, row.anomaly) == (None, "")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_not_a_number_is_known_in_every_type(dtype: type) -> None:
    (row,) = Postprocess.load([{"op": "argmax"}]).run({"y": np.array([[NAN, 1]], dtype)})
    assert row.error is not None


def test_a_score_beyond_what_an_answer_can_hold_is_no_number() -> None:
    (row,) = Postprocess.load([{"op": "argmax"}]).run({"y": np.array([[1e300, 1]])})
    assert row.error is not None


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ({"other": np.zeros((1, 3))}, "OUTPUT_MISSING"),
        ({"logits": np.zeros(3)}, "OUTPUT_SHAPE"),
        ({"logits": np.zeros((1, 3, 1))}, "OUTPUT_SHAPE"),
        ({"logits": np.zeros((1, 0))}, "OUTPUT_SHAPE"),
        ({"logits": np.array([["a"]], dtype=object)}, "OUTPUT_SHAPE"),
        ({"logits": np.zeros((1, 4))}, "LABELS_MISMATCH"),
    ],
)
def test_outputs_that_do_not_fit_are_a_fault_of_the_package(outputs: Any, reason: str) -> None:
    with pytest.raises(FailedPrecondition) as raised:
        Postprocess.load(CLASSIFY, LABELS).run(outputs)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([], "steps"),
        ([{"op": "softmax"}], "steps[0]"),
        ([{"op": "clasify"}], "steps[0].op"),
        ([{"op": "classify"}, {"op": "classify"}], "steps[0]"),
        ([{"op": "softmax"}, {"op": "classify", "input": "x"}], "steps[1].input"),
        ([{"op": "classify", "top_k": 0}], "steps[0].top_k"),
        ([{"op": "classify", "not_a_number": "label"}], "steps[0].not_a_number"),
        ([{"op": "classify", "labels": "missing"}], "steps[0].labels"),
        ([{"op": "classify", "labels": "empty line"}], "steps[0].labels"),
        ([{"op": "classify", "labels": "latin"}], "steps[0].labels"),
    ],
)
def test_wrong_steps_are_refused_at_load_with_their_path(steps: Any, field: str) -> None:
    assert refusal(steps, {"empty line": b"a\n\nb", "latin": b"\xe9"}).fields[0].field == field


@given(
    rows=numpy_st.arrays(
        np.float32, st.tuples(st.integers(1, 6), st.integers(1, 40)), elements=st.floats(-50, 50, width=32)
    ),
    top_k=st.integers(1, 45),
)
def test_the_best_are_those_of_a_full_sort_and_each_row_gets_its_own(rows: Any, top_k: int) -> None:
    answers = Postprocess.load([{"op": "classify"}]).run({"y": rows}, Options(top_k=top_k))
    for row, answer in zip(rows, answers, strict=True):
        scores = [scored.score for scored in answer.labels]
        assert scores == sorted(row.tolist(), reverse=True)[:top_k]
        assert [row[scored.index] for scored in answer.labels] == scores


def test_names_keep_the_blanks_in_which_they_differ() -> None:
    postprocess = Postprocess.load([{"op": "classify", "labels": "l"}], {"l": b"a\r\n a\r\n"})
    assert [scored.name for scored in postprocess.run({"y": np.array([[1.0, 2.0]])})[0].labels] == [" a", "a"]


def test_rows_without_labels_say_that_they_are_no_numbers() -> None:
    outputs = {"x": np.array([[[1.0, 2.0]], [[np.nan, 1.0]], [[3.0, -np.inf]]]), "n": np.array([1, 2, 3])}
    assert [bool(row.anomaly) for row in without_meaning(outputs, 3)] == [False, True, True]
