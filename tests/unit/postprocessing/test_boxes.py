"""Outputs of detectors to boxes: every layout, suppression, and the way back to the picture that was sent."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.pipeline.frames import Frame
from lepton_ai.postprocessing import NOT_A_NUMBER, Box, Boxes, Options, Postprocess
from lepton_ai.postprocessing.answers import Answered
from lepton_ai.postprocessing.box_layouts import Floats
from lepton_ai.postprocessing.suppression import suppress
from lepton_ai.tensors import Array

LABELS = "人\n杯子\ncat\n".encode()
BOXES = np.array([[10, 20, 50, 80], [100, 40, 180, 60], [0, 0, 200, 100]], dtype=np.float32)
MOVED = BOXES + np.array([3, -2, 8, 4], dtype=np.float32)
SCORES = np.array([[0.1, 0.8, 0.05], [0.6, 0.1, 0.2], [0.05, 0.1, 0.1]], dtype=np.float32)
"""Of three classes; the third box is nothing."""
FOUND = [("杯子", 0.8, (10, 20, 50, 80)), ("人", 0.6, (100, 40, 180, 60))]


class Spec(NamedTuple):
    name: str
    shape: tuple[int, ...]
    dtype: str = "FP32"


def detect(**parameters: Any) -> Postprocess:
    anchors = io.BytesIO()
    np.save(anchors, centres(MOVED))
    files = {"labels.txt": LABELS, "anchors.npy": anchors.getvalue(), "face.txt": "人脸\n".encode()}
    return Postprocess.load([{"op": "detect", "labels": "labels.txt", **parameters}], files)


def centres(boxes: Floats) -> Floats:
    return np.concatenate(((boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]), axis=-1)


def boxes_of(answered: Answered) -> list[Box]:
    assert isinstance(answered.answer, Boxes), answered.error
    return list(answered.answer.boxes)


def assert_found(postprocess: Postprocess, outputs: Mapping[str, Array], expected: Any = FOUND) -> None:
    """The same for one picture and for several at once."""
    for count in (1, 3):
        answers = postprocess.run(
            {name: np.repeat(array[np.newaxis], count, axis=0) for name, array in outputs.items()}
        )
        assert len(answers) == count
        for answered in answers:
            got = boxes_of(answered)
            assert [(box.name, round(box.score, 4)) for box in got] == [(name, score) for name, score, _ in expected]
            np.testing.assert_allclose([box[2:6] for box in got], [corners for *_, corners in expected], atol=0.02)


def logits(probabilities: Floats) -> Floats:
    return np.asarray(np.log(probabilities / (1 - probabilities)))


def test_rows_with_suppression_inside_the_model() -> None:
    rows = np.column_stack((BOXES, SCORES.max(axis=1), SCORES.argmax(axis=1))).astype(np.float32)
    assert_found(detect(layout="rows", input="rows"), {"rows": rows})


def test_rows_that_name_their_picture_class_and_score() -> None:
    rows = np.column_stack((np.zeros(3), BOXES, SCORES.argmax(axis=1), SCORES.max(axis=1))).astype(np.float32)
    assert_found(detect(layout="rows"), {"rows": rows})


def test_separate_outputs_with_classes_and_a_count() -> None:
    outputs = {"b": BOXES[:, [1, 0, 3, 2]], "s": SCORES.max(axis=1), "c": SCORES.argmax(axis=1), "n": np.array(1)}
    names = {"boxes": "b", "scores": "s", "classes": "c", "order": "yxyx"}
    assert_found(detect(layout="separate", **names), outputs)
    assert_found(detect(layout="separate", count="n", **names), outputs, FOUND[:1])


def test_rows_beyond_the_count_may_hold_anything() -> None:
    outputs = {
        "b": np.where([[1], [1], [0]], BOXES, np.nan),
        "s": np.array([0.8, 0.6, np.nan]),
        "c": np.array([1, 0, 77]),
    }
    names = {"boxes": "b", "scores": "s", "classes": "c", "count": "n"}
    assert_found(detect(layout="separate", **names), outputs | {"n": np.array(2)})


def test_separate_outputs_with_scores_of_all_classes_and_a_background() -> None:
    with_background = np.insert(np.log(SCORES), 1, -9, axis=1)
    postprocess = detect(
        layout="separate", boxes="b", scores="s", background=1, activation="softmax", units="fractions",
        size=[200, 100], order="xywh", threshold=0.5,
    )  # fmt: skip
    corner_and_size = np.concatenate((BOXES[:, :2], BOXES[:, 2:] - BOXES[:, :2]), axis=1) / [200, 100, 200, 100]
    shares = (SCORES / SCORES.sum(axis=1, keepdims=True)).max(axis=1)
    [answered] = postprocess.run({"b": corner_and_size[np.newaxis], "s": with_background[np.newaxis]})
    assert [box.name for box in boxes_of(answered)] == ["杯子", "人"]
    np.testing.assert_allclose([box.score for box in boxes_of(answered)], shares[:2], atol=1e-3)
    np.testing.assert_allclose([box[2:6] for box in boxes_of(answered)], BOXES[:2], atol=1e-3)


@pytest.mark.parametrize("labels", [None, "face.txt"])
@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_scores_of_a_single_class_need_no_classes(labels: str | None, activation: str) -> None:
    postprocess = detect(layout="separate", boxes="b", scores="s", labels=labels, activation=activation)
    scores = logits(SCORES.max(axis=1)) if activation == "sigmoid" else SCORES.max(axis=1)
    name = "人脸" if labels else ""
    expected = [(name, score, corners) for _, score, corners in FOUND]
    for each in (scores, scores[:, np.newaxis]):
        assert_found(postprocess, {"b": BOXES, "s": each}, expected)


def test_a_class_that_is_the_background_is_no_object() -> None:
    rows = np.column_stack((BOXES, [0.9, 0.8, 0.7], [0, 2, 1])).astype(np.float32)
    expected = [("杯子", 0.8, (100, 40, 180, 60)), ("人", 0.7, (0, 0, 200, 100))]
    assert_found(detect(layout="rows", background=0), {"rows": rows}, expected)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("objectness", [False, True])
@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_yolo_heads(swapped: bool, objectness: bool, activation: str) -> None:
    numbers = [SCORES, np.full((3, 1), 0.5)] if objectness else [SCORES]
    raw = [logits(each) if activation == "sigmoid" else each for each in numbers]
    head = np.concatenate((centres(BOXES), *reversed(raw)), axis=1).astype(np.float32)
    postprocess = detect(layout="yolo", objectness=objectness, activation=activation, threshold=0.25)
    factor = 0.5 if objectness else 1
    expected = [(name, round(score * factor, 4), corners) for name, score, corners in FOUND]
    assert_found(postprocess, {"head": head.T if swapped else head}, expected)


def test_a_yolo_head_without_labels_has_more_places_than_numbers() -> None:
    head = np.concatenate((centres(np.tile(BOXES, (5, 1))), np.tile(SCORES, (5, 1))), axis=1).T
    answers = Postprocess.load([{"op": "detect", "layout": "yolo"}]).run({"head": head[np.newaxis]})
    assert [(box.name, box.index) for box in boxes_of(answers[0])] == [("", 1), ("", 0)]


def test_ssd_offsets_from_anchors() -> None:
    anchors, wanted = centres(MOVED), centres(BOXES)
    offsets = np.concatenate(
        ((wanted[:, :2] - anchors[:, :2]) / anchors[:, 2:] / 0.1, np.log(wanted[:, 2:] / anchors[:, 2:]) / 0.2), axis=1
    )
    scores = np.insert(SCORES, 0, 0.9, axis=1)
    names = {"boxes": "b", "scores": "s", "anchors": "anchors.npy", "background": 0}
    assert_found(detect(layout="ssd", activation="sigmoid", **names), {"b": offsets, "s": logits(scores)})


def test_boxes_come_back_to_the_picture_as_sent_and_within_it() -> None:
    # 400×300 resized to half, a border of 25 pixels above and below: 200×200
    frame = Frame(400, 300).scaled(0.5, 0.5).shifted(0, 25)
    rows = np.array([[[-10, 25, 100, 100, 0.9, 0], [150, 100, 300, 190, 0.8, 1], [20, 1, 60, 24, 0.7, 2]]], np.float32)
    answers = detect(layout="rows").run({"rows": rows}, Options(frames=[frame]))
    assert [(box.name, box[2:6]) for box in boxes_of(answers[0])] == [
        ("人", (0, 0, 200, 150)),
        ("杯子", (300, 150, 400, 300)),  # the third lies in the border
    ]


def test_without_a_frame_boxes_stay_in_the_models_picture() -> None:
    rows = np.array([[[-10, 25, 100, 100, 0.9, 0]]], np.float32)
    assert boxes_of(detect(layout="rows").run({"rows": rows})[0])[0][2:6] == (-10, 25, 100, 100)
    bounded = detect(layout="rows", size=[90, 80]).run({"rows": rows})
    assert boxes_of(bounded[0])[0][2:6] == (0, 25, 90, 80)


def test_the_caller_says_how_many_boxes() -> None:
    rows = np.column_stack((np.tile(BOXES, (50, 1)), np.linspace(0.9, 0.5, 150), np.zeros(150))).astype(np.float32)
    counts = [len(boxes_of(detect(layout="rows").run({"r": rows[None]}, Options(top_k=k))[0])) for k in (0, 2, 120)]
    assert counts == [100, 2, 120]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_picture_whose_outputs_are_no_numbers_has_its_own_error_or_anomaly(number: float) -> None:
    rows = np.tile(np.column_stack((BOXES, SCORES.max(axis=1), [1, 0, 2])), (2, 1, 1)).astype(np.float32)
    rows[0, 1, 4] = number
    first, second = detect(layout="rows").run({"rows": rows})
    assert first.error is not None and first.error.reason == NOT_A_NUMBER
    assert [box.name for box in boxes_of(second)] == ["杯子", "人"]
    odd = detect(layout="rows", not_a_number="anomaly").run({"rows": rows})[0]
    assert (odd.anomaly != "", [box.name for box in boxes_of(odd)]) == (True, ["杯子"])


def test_a_class_without_a_name_is_told() -> None:
    rows = np.array([[[0, 0, 9, 9, 0.9, 3]]], np.float32)
    answered = detect(layout="rows").run({"rows": rows})[0]
    assert answered.error is not None and answered.error.reason == "LABELS_MISMATCH"


def test_outputs_of_another_form_are_the_packages_fault() -> None:
    for shape in [(1, 3, 5), (1, 6), (2, 2, 2, 6)]:
        with pytest.raises(FailedPrecondition) as raised:
            detect(layout="rows").run({"rows": np.zeros(shape, np.float32)})
        assert raised.value.reason == "OUTPUT_SHAPE"


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"layout": "yolo", "anchors": "anchors.npy"}, "anchors"),
        ({"layout": "ssd", "boxes": "b", "scores": "s"}, "anchors"),
        ({"layout": "separate", "boxes": "b"}, "scores"),
        ({"layout": "rows", "units": "fractions"}, "size"),
        ({"layout": "rows", "activation": "softmax"}, "activation"),
        ({"layout": "ssd", "boxes": "b", "scores": "s", "anchors": "anchors.npy", "order": "xyxy"}, "order"),
        ({"layout": "ssd", "boxes": "b", "scores": "s", "anchors": "labels.txt"}, "anchors"),
        ({"layout": "heap"}, "layout"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused_by_name(parameters: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        detect(**parameters)
    assert raised.value.fields[0].field == f"steps[0].{path}"


SSD = {"layout": "ssd", "boxes": "b", "scores": "s", "anchors": "anchors.npy", "background": 0}
SEPARATE = {"layout": "separate", "boxes": "b", "scores": "s"}
SINGLE = SEPARATE | {"labels": "face.txt"}


@pytest.mark.parametrize(
    ("parameters", "outputs", "path"),
    [
        ({"layout": "rows"}, [Spec("o", (-1, 100, 6))], None),
        ({"layout": "rows"}, [Spec("o", (-1, 100, 5))], "input"),
        ({"layout": "rows"}, [Spec("o", (-1, 7))], "input"),
        ({"layout": "rows"}, [Spec("o", (-1, 100, 6), "BYTES")], "layout"),
        ({"layout": "yolo"}, [Spec("o", (-1, 7, 8400))], None),
        ({"layout": "yolo"}, [Spec("o", (-1, -1, -1))], None),
        ({"layout": "yolo"}, [Spec("o", (-1, 84, 8400))], "input"),
        ({"layout": "yolo", "objectness": True}, [Spec("o", (-1, 25200, 8))], None),
        (SSD, [Spec("b", (-1, 3, 4)), Spec("s", (-1, 3, 4))], None),
        (SSD, [Spec("b", (-1, 8732, 4)), Spec("s", (-1, 8732, 4))], "anchors"),
        (SSD, [Spec("b", (-1, 3, 4)), Spec("s", (-1, 3, 91))], "labels"),
        (SEPARATE, [Spec("b", (-1, 9, 4)), Spec("s", (-1, 9))], "scores"),
        (SEPARATE, [Spec("b", (-1, 9, 4)), Spec("s", (-1, 3, 9))], "scores"),
        (SINGLE, [Spec("b", (-1, 9, 4)), Spec("s", (-1, 9))], None),
        (SINGLE, [Spec("b", (-1, -1, 4)), Spec("s", (-1, -1, 1))], None),
        (SINGLE, [Spec("b", (-1, 9, 4)), Spec("s", (-1, 8))], "scores"),
        (SINGLE | {"background": 0}, [Spec("b", (-1, 9, 4)), Spec("s", (-1, 9))], "scores"),
        (SINGLE | {"activation": "softmax"}, [Spec("b", (-1, 9, 4)), Spec("s", (-1, 9))], "activation"),
        (SINGLE | {"activation": "softmax"}, [Spec("b", (-1, 9, 4)), Spec("s", (-1, 9, 1))], "activation"),
    ],
)
def test_declared_outputs_are_checked_at_push(
    parameters: dict[str, Any], outputs: list[Spec], path: str | None
) -> None:
    postprocess = detect(**parameters)
    if path is None:
        postprocess.check(outputs)
        return
    with pytest.raises(InvalidInput) as raised:
        postprocess.check(outputs)
    assert raised.value.fields[0].field == f"steps[0].{path}" and raised.value.fix


def test_anchors_are_read_from_text_too() -> None:
    outputs = {"b": np.zeros((1, 2, 4)), "s": np.array([[[0.9], [0.8]]])}
    steps = [{"op": "detect", "layout": "ssd", "boxes": "b", "scores": "s", "anchors": "锚.txt"}]
    postprocess = Postprocess.load(steps, {"锚.txt": b"10, 10, 20, 20\n50 60 10 10\n"})
    assert [box[2:6] for box in boxes_of(postprocess.run(outputs)[0])] == [(0, 0, 20, 20), (45, 55, 55, 65)]


sides = st.integers(0, 12)
some_boxes = st.lists(st.tuples(sides, sides, sides, sides, st.integers(0, 2)), max_size=30)


@given(some_boxes, st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.integers(1, 30))
def test_suppression_is_the_plain_one(rows: list[tuple[int, ...]], limit: float, most: int) -> None:
    boxes = [(left, top, left + width, top + height) for left, top, width, height, _ in rows]
    classes = [row[4] for row in rows]
    kept: list[int] = []
    for index, box in enumerate(boxes):
        if all(classes[index] != classes[other] or overlap(box, boxes[other]) <= limit for other in kept):
            kept.append(index)
    fast = suppress(np.array(boxes, float).reshape(-1, 4), np.array(classes, int), limit, most)
    assert fast.tolist() == kept[:most]


def overlap(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """Intersection over union, in plain numbers."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0, width) * max(0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared) if sum(areas) else 0.0
