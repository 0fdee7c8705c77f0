"""Outputs of a model to a class for every pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.pipeline.frames import Frame
from lepton_ai.postprocessing import Answered, Mask, Options, Postprocess
from tests.unit.postprocessing.specs import Spec

MASK: dict[str, Any] = {"op": "mask"}
NAMED = {**MASK, "labels": "类别.txt"}
FILES = {"类别.txt": "背景\n猫\n狗\n".encode(), "two": b"background\nroad"}


def classes(answered: Answered) -> Any:
    assert isinstance(answered.answer, Mask)
    return answered.answer.classes.tolist()


def run(step: dict[str, Any], output: Any, *frames: Frame | None) -> list[Answered]:
    return Postprocess.load([step], FILES).run({"y": np.asarray(output)}, Options(frames=frames))


def scores_of(ids: Any) -> Any:
    """Scores [N, 3, H, W] of which the ids are the best."""
    return np.moveaxis(np.eye(3, dtype=np.float32)[np.asarray(ids)], -1, 1)


def test_each_pixel_has_the_class_of_its_best_score_with_its_name() -> None:
    ids = [[[0, 1], [2, 2]], [[1, 1], [0, 2]]]
    for answers in (run(NAMED, scores_of(ids)), run({**NAMED, "layout": "HWC"}, np.moveaxis(scores_of(ids), 1, -1))):
        assert [classes(row) for row in answers] == ids
        assert isinstance(answers[0].answer, Mask)
        assert answers[0].answer.names == ("背景", "猫", "狗")
        assert answers[0].answer.classes.dtype == np.uint16


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_ids_are_taken_as_they_are(dtype: type) -> None:
    ids: Any = np.array([[[0, 1], [2, 2]]], dtype=dtype)
    for output in (ids, ids[:, np.newaxis]):
        assert classes(run(NAMED, output)[0]) == ids[0].tolist()


def test_one_score_a_pixel_counts_from_its_threshold() -> None:
    scores = np.array([[[[-1, 0.25], [0.5, 9]]]], dtype=np.float32)
    for output in (scores, scores[:, 0]):
        assert classes(run({**MASK, "threshold": 0.25, "labels": "two"}, output)[0]) == [[0, 1], [1, 1]]


def test_a_mask_is_mapped_back_to_the_picture_that_was_sent() -> None:
    # 4×2 pixels were doubled to 8×4 and laid into the middle of 8×8.
    frame = Frame(4, 2).scaled(2, 2).shifted(0, 2)
    ids = np.zeros((8, 8), dtype=np.uint8)
    ids[2:4, :4] = 1
    ids[4:6, 4:] = 2
    assert classes(run(MASK, ids[np.newaxis], frame)[0]) == [[1, 1, 0, 0], [0, 0, 2, 2]]


def test_what_the_pipeline_cut_away_has_the_class_of_the_nearest_pixel_that_the_model_saw() -> None:
    frame = Frame(6, 1).shifted(-2, 0)
    assert classes(run(MASK, np.array([[[1, 2]]], dtype=np.uint8), frame)[0]) == [[1, 1, 1, 2, 2, 2]]


def test_a_pixel_of_the_output_may_stand_for_several_of_the_input() -> None:
    frame = Frame(8, 4)
    assert (
        classes(run({**MASK, "stride": 4}, np.array([[[1, 2]]], dtype=np.uint8), frame)[0]) == [[1] * 4 + [2] * 4] * 4
    )


def test_rows_have_their_own_frames_and_one_without_stays_as_the_model_saw_it() -> None:
    ids = np.array([[[1, 2]], [[1, 2]]], dtype=np.uint8)
    small, large = run(MASK, ids, None, Frame(4, 1).scaled(0.5, 1))
    assert (classes(small), classes(large)) == ([[1, 2]], [[1, 1, 2, 2]])


@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(0, 9)
)
def test_each_pixel_gets_the_class_of_where_its_middle_went(
    width: int, height: int, wide: int, high: int, left: int, top: int
) -> None:
    """For pictures that were scaled and laid onto a canvas; every pixel of the canvas has a class of its own."""
    frame = Frame(width, height).scaled(wide / width, high / height).shifted(left, top)
    ids = np.arange((high + top) * (wide + left)).reshape(1, high + top, wide + left)
    rows, columns = np.divmod(classes(run(MASK, ids, frame)[0]), wide + left)
    down = (np.arange(height)[:, np.newaxis] + 0.5) * high / height + top - rows
    across = (np.arange(width) + 0.5) * wide / width + left - columns
    assert rows.shape == (height, width)
    assert min(down.min(), across.min()) > -1e-9
    assert max(down.max(), across.max()) < 1 + 1e-9


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_an_error_of_their_row_alone_or_an_anomaly(wrong: float) -> None:
    scores = scores_of([[[1, 2]], [[1, 2]]])
    scores[1, 2, 0, 1] = wrong
    good, bad = run(NAMED, scores)
    assert classes(good) == [[1, 2]]
    assert bad.error is not None
    assert bad.error.reason == "NOT_A_NUMBER"
    good, odd = run({**NAMED, "not_a_number": "anomaly"}, scores)
    assert (good.anomaly, classes(odd), bool(odd.anomaly)) == ("", [[1, 0]], True)


def test_a_class_that_is_ruled_out_by_minus_infinity_is_no_fault() -> None:
    scores = scores_of([[[1, 2]]])
    scores[0, 0] = -np.inf
    assert run(NAMED, scores)[0].error is None


@pytest.mark.parametrize("wrong", [-1, 3, 255])
def test_an_id_without_a_name_is_an_error_of_its_row_alone(wrong: int) -> None:
    bad, good = run(NAMED, np.array([[[wrong]], [[2]]], dtype=np.int64))
    assert classes(good) == [[2]]
    assert bad.error is not None
    assert bad.error.reason == "LABELS_MISMATCH"
    assert str(wrong) in bad.error.message


@pytest.mark.parametrize(
    ("step", "shape", "dtype", "field", "words"),
    [
        (MASK, (-1, 4), "FP32", "input", "a mask is made of scores"),
        (MASK, (-1, 4, 4), "BYTES", "input", "a mask is made of scores"),
        (MASK, (-1, 1, 4, 4), "FP32", "threshold", "is missing: output y has one score a pixel"),
        (MASK, (-1, 4, 4), "FP16", "threshold", "is missing"),
        ({**MASK, "threshold": 0.5}, (-1, 3, 4, 4), "FP32", "threshold", "output y has 3 (layout CHW)"),
        (NAMED, (-1, 21, 4, 4), "FP32", "labels", "names 3 classes, output y has 21"),
        ({**NAMED, "threshold": 0.5}, (-1, 1, 4, 4), "FP32", "labels", "names 3 classes, output y has 2"),
        ({**MASK, "labels": "absent"}, (-1, 4, 4), "INT64", "labels", "is not in the package"),
        ({**MASK, "stride": 0}, (-1, 4, 4), "INT64", "stride", "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused_at_push_with_exact_words(
    step: dict[str, Any], shape: tuple[int, ...], dtype: str, field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        Postprocess.load([step], FILES).check([Spec("y", dtype, shape)])
    assert raised.value.fields[0].field == f"steps[0].{field}"
    assert words in raised.value.fields[0].description


@pytest.mark.parametrize(
    ("step", "shape", "dtype"),
    [
        (NAMED, (-1, 3, -1, -1), "FP32"),
        ({**NAMED, "layout": "HWC"}, (-1, 4, 4, 3), "FP32"),
        (NAMED, (-1, 4, 4), "UINT8"),
        ({**MASK, "labels": "two", "threshold": 0}, (-1, 1, 4, 4), "FP32"),
        (MASK, (-1, -1, -1, -1), "FP32"),
    ],
)
def test_right_packages_are_taken(step: dict[str, Any], shape: tuple[int, ...], dtype: str) -> None:
    Postprocess.load([step], FILES).check([Spec("y", dtype, shape)])


@pytest.mark.parametrize(
    "output", [np.zeros((1, 3)), np.zeros((1, 0, 4, 4)), np.zeros((1, 4, 4)), np.zeros((1, 2, 4, 4))]
)
def test_outputs_that_do_not_fit_are_a_fault_of_the_package(output: Any) -> None:
    with pytest.raises(FailedPrecondition) as raised:
        run(NAMED, output)
    assert raised.value.reason == "OUTPUT_SHAPE"


def test_an_empty_batch_has_no_rows() -> None:
    assert run(NAMED, np.zeros((0, 3, 2, 2))) == []
