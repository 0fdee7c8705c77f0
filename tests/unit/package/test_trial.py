"""Trials of a served model: what is sent, and which answers are right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from lepton_ai.package.description import ExpectedBox
from lepton_ai.package.golden import ExpectedTensor, GoldenItem
from lepton_ai.package.trial import golden_request, verdict, zeros, zeros_request
from lepton_ai.tensors import decode_bytes, to_proto
from lepton_ai.v1 import common_pb2, inference_pb2

MODEL = common_pb2.ModelRef(name="doubler", version=1)


@dataclass(frozen=True)
class Spec:
    name: str
    dtype: str
    shape: tuple[int, ...]


def sample(
    *, label: str | None = None, text: str | None = None, top_k: int = 1, y: Any = None, tolerance: float = 0.0
) -> GoldenItem:
    outputs = {} if y is None else {"y": ExpectedTensor(np.asarray(y), tolerance)}
    item = common_pb2.Item(inputs={"x": common_pb2.Value(tensor=to_proto("x", np.arange(4, dtype=np.float32)))})
    return GoldenItem(item=item, label=label, top_k=top_k, outputs=outputs, text=text)


def texts(*elements: str) -> Any:
    return np.array(elements, dtype=object)


def reading(text: str) -> inference_pb2.PredictResponse:
    return inference_pb2.PredictResponse(predictions=[inference_pb2.Prediction(text=inference_pb2.Text(text=text))])


def answer(*labels: str, y: Any = None) -> inference_pb2.PredictResponse:
    response = inference_pb2.PredictResponse()
    if labels:
        classification = inference_pb2.Classification(labels=[inference_pb2.Label(name=label) for label in labels])
        response.predictions.add(classification=classification)
    if y is not None:
        response.tensors.append(to_proto("y", np.asarray(y)))
    return response


class TestAsking:
    def test_without_a_pipeline_tensors_are_sent_as_a_batch_of_one_past_the_cache(self) -> None:
        request = golden_request(MODEL, sample(y=[1.0]), piped=False)
        assert [(tensor.name, list(tensor.shape)) for tensor in request.tensors] == [("x", [1, 4])]
        assert request.options.cache == inference_pb2.CACHE_POLICY_BYPASS
        assert (request.model.name, request.model.version, list(request.options.outputs)) == ("doubler", 1, ["y"])

    def test_a_pipeline_gets_the_raw_item(self) -> None:
        request = golden_request(MODEL, sample(label="cat", top_k=3), piped=True)
        assert (len(request.items), len(request.tensors), request.options.top_k) == (1, 0, 3)

    def test_zeros_have_one_row_free_dimensions_of_one_and_empty_texts(self) -> None:
        numbers, words = zeros([Spec("x", "FP16", (-1, 3)), Spec("words", "BYTES", (-1, -1, 2))])
        assert (list(numbers.shape), numbers.data) == ([1, 3], bytes(6))
        assert list(words.shape) == [1, 1, 2]
        assert decode_bytes(words.data, expected=2) == [b"", b""]
        assert len(zeros_request(MODEL, [Spec("x", "BF16", (-1, 3))]).tensors[0].data) == 6


class TestVerdict:
    @pytest.mark.parametrize(("top_k", "right"), [(1, False), (2, True)])
    def test_the_label_must_be_among_the_best(self, top_k: int, *, right: bool) -> None:
        assert (verdict(sample(label="cat", top_k=top_k), answer("dog", "cat")) == "") is right

    def test_values_must_be_within_the_tolerance(self) -> None:
        assert verdict(sample(y=[1.0, 2.0], tolerance=0.1), answer(y=[[1.05, 2.0]])) == ""
        assert "differs by up to 0.05, 0.01 is" in verdict(sample(y=[1.0, 2.0], tolerance=0.01), answer(y=[[1.05, 2]]))

    @pytest.mark.parametrize(
        ("y", "problem"),
        [
            (None, "missing"),
            ([[1.0, 2.0, 3.0]], "shape is [1, 3]"),
            ([1.0, 2.0], "shape is [2]"),
            ([[1.0, np.nan]], "not a number"),
        ],
    )
    def test_an_output_that_is_missing_misshapen_or_not_a_number_is_wrong(self, y: Any, problem: str) -> None:
        assert problem in verdict(sample(y=[1.0, 2.0], tolerance=0.1), answer(y=y))

    def test_numbers_of_another_type_are_compared_by_value(self) -> None:
        assert verdict(sample(y=np.array([1, 2], np.int64)), answer(y=np.array([[1, 2]], np.float32))) == ""
        assert verdict(sample(y=np.array([True, False])), answer(y=np.array([[True, False]]))) == ""

    def test_texts_are_compared_by_their_bytes(self) -> None:
        expected = sample(y=texts("负面", "gut"))
        assert verdict(expected, answer(y=texts("负面", "gut")[np.newaxis])) == ""
        wrong = verdict(expected, answer(y=texts("负面", "schlecht")[np.newaxis]))
        assert "output 'y'" in wrong
        assert "'schlecht', not 'gut'" in wrong

    def test_a_text_for_a_number_is_a_wrong_answer_not_a_crash(self) -> None:
        assert verdict(sample(y=[1.0]), answer(y=texts("one")[np.newaxis])) != ""
        assert verdict(sample(y=texts("one")), answer(y=np.array([[1.0]]))) != ""

    def test_an_answer_without_predictions_is_wrong_not_a_crash(self) -> None:
        assert "is not among the best 1: none" in verdict(sample(label="cat"), inference_pb2.PredictResponse())

    def test_a_text_must_be_read_to_the_letter(self) -> None:
        assert verdict(sample(text="高可用 Inference"), reading("高可用 Inference")) == ""
        wrong = verdict(sample(text="高可用"), reading("高司用"))
        assert wrong == "the golden sample's text is '高可用', the model reads '高司用'"
        assert verdict(sample(text=""), reading("")) == ""
        assert "the model reads ''" in verdict(sample(text="高可用"), inference_pb2.PredictResponse())

    def test_a_label_may_be_that_of_an_area_of_a_mask_largest_first(self) -> None:
        mask = inference_pb2.Mask(width=4, height=1, runs=[0, 1, 1, 2, 0, 1], names=["背景", "路", "车"])
        seen = inference_pb2.PredictResponse(predictions=[inference_pb2.Prediction(mask=mask)])
        assert verdict(sample(label="路", top_k=2), seen) == ""
        assert "is not among the best 3: 背景, 路" in verdict(sample(label="树", top_k=3), seen)


class TestBoxes:
    WANTED = ExpectedBox(label="杯子", box=(10, 20, 50, 60))

    def found(self, *boxes: tuple[str, float, float, float, float]) -> inference_pb2.PredictResponse:
        response = inference_pb2.PredictResponse()
        detection = response.predictions.add().detection
        for name, left, top, right, bottom in boxes:
            label = inference_pb2.Label(name=name)
            detection.boxes.add(label=label, left=left, top=top, right=right, bottom=bottom)
        return response

    def verdict(self, *boxes: tuple[str, float, float, float, float], **changes: Any) -> str:
        wanted = self.WANTED.model_copy(update=changes)
        return verdict(replace(sample(), boxes=(wanted,)), self.found(*boxes))

    def test_a_box_of_the_class_at_the_place_is_right(self) -> None:
        assert self.verdict(("人", 0, 0, 9, 9), ("杯子", 12, 20, 52, 62)) == ""
        assert golden_request(MODEL, replace(sample(), boxes=(self.WANTED,)), piped=True).options.top_k == 0

    def test_what_is_elsewhere_or_another_class_is_told(self) -> None:
        assert "overlaps it by 0.00, 0.5 is wanted" in self.verdict(("杯子", 20, 100, 60, 150))
        assert "found is 人" in self.verdict(("人", 10, 20, 50, 60))
        assert "found is nothing" in self.verdict()
        assert "0.9 is wanted" in self.verdict(("杯子", 12, 20, 52, 62), overlap=0.9)
