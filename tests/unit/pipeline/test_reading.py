"""Texts of a column are read in a request as they were in the table; names that look the same are the same."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline
from lepton_ai.pipeline.columns import ListedRows
from lepton_ai.pipeline.reading import Reading
from lepton_ai.pipeline.values import RawValue

NFC, NFD = unicodedata.normalize("NFC", "Orléans"), unicodedata.normalize("NFD", "Orléans")


@pytest.mark.parametrize(
    ("reading", "text", "number"),
    [
        (Reading(), "1234.5", 1234.5),
        (Reading(), "−3", -3),
        (Reading(), "12,5", None),
        (Reading(), "01067", 1067),
        (Reading(), "50%", 0.5),
        (Reading(), "1e-3", 0.001),
        (Reading(), "12 apples", None),
        (Reading(), "9" * 5000, None),
        (Reading(thousands=","), "1,234,567.5", 1234567.5),
        (Reading(thousands=","), "12,34,567", 1234567),
        (Reading(thousands=","), "12,5", None),
        (Reading(thousands="'"), "1’234.50", 1234.5),
        (Reading(decimal=","), "12,5", 12.5),
        (Reading(decimal=","), "12.5", None),
        (Reading(decimal=","), "12,5 %", 0.125),
        (Reading(decimal=",", thousands="."), "-1.234,56", -1234.56),
        (Reading(decimal=",", thousands=" "), "1\u202f234,50", 1234.5),
        (Reading(unit="€"), "€ 5", 5),
        (Reading(unit="€"), "-5 €", -5),
        (Reading(unit="€"), "$5", None),
        (Reading(unit="EUR"), "5 eur", 5),
        (Reading(), "１２．５", 12.5),
    ],
)
def test_numbers_are_read_in_the_format_of_their_column_and_in_no_other(
    reading: Reading, text: str, number: float | None
) -> None:
    assert reading.number(text) == number


def test_a_reading_is_written_into_a_document_and_back() -> None:
    reading = Reading(decimal=",", thousands=".", unit="€", missing=("NA", "-"), dates="day")
    assert Reading.from_document(reading.document(), field="r") == reading
    assert Reading().document() == {}
    for wrong in ({"decimal": ";"}, {"decimal": ",", "thousands": ","}, {"strange": 1}, {"missing": "NA"}, 7):
        with pytest.raises(InvalidInput, match=r"readings\.x"):
            Reading.from_document(wrong, field="readings.x")


def numbers(reading: dict[str, object] | None) -> Pipeline:
    steps = [{"op": "impute", "on": ["x"], "value": -1.0}, {"op": "concat", "on": ["x"], "output": "y"}]
    document = {"inputs": {"x": "number"}, "steps": steps}
    return Pipeline.load(document if reading is None else document | {"readings": {"x": reading}})


def categories(reading: dict[str, object] | None, *names: str) -> Pipeline:
    steps = [{"op": "one_hot", "on": ["x"], "categories": list(names)}, {"op": "concat", "on": ["x"], "output": "y"}]
    document = {"inputs": {"x": "category"}, "steps": steps}
    return Pipeline.load(document if reading is None else document | {"readings": {"x": reading}})


def vector(pipeline: Pipeline, value: RawValue) -> list[float]:
    """What comes out, the same for one row and for a batch."""
    alone = pipeline.run({"x": value})
    batch = pipeline.run_batch(ListedRows([{"x": value}]))
    if batch is not None:
        assert np.array_equal(batch.tensors["y"][0], alone.tensors["y"])
        assert batch.anomalies == [alone.anomalies]
    found: list[float] = alone.tensors["y"].tolist()
    return found


def test_a_text_in_a_request_is_read_as_the_column_was() -> None:
    pipeline = numbers({"decimal": ",", "thousands": ".", "missing": ["NA"]})
    assert [vector(pipeline, value) for value in ("1.234,5", b"12,5", 12.5, "NA", " ", None)] == [
        [1234.5], [12.5], [12.5], [-1.0], [-1.0], [-1.0],
    ]  # fmt: skip


def test_a_text_that_is_no_number_of_the_column_is_refused_and_so_is_any_without_a_reading() -> None:
    for pipeline, text in ((numbers({"decimal": ","}), "12.5"), (numbers(None), "12.5"), (numbers(None), "NA")):
        with pytest.raises(InvalidInput, match="x: is a text, expected a number"):
            pipeline.run({"x": text})


def test_a_category_that_was_read_as_a_number_or_boolean_has_one_name() -> None:
    assert [vector(categories({}, "1.5", "3"), value) for value in ("1.50", 1.5, "3.0", 3, "3")] == [
        [1, 0], [1, 0], [0, 1], [0, 1], [0, 1],
    ]  # fmt: skip
    flags = categories({"of": "booleans"}, "false", "true")
    assert [vector(flags, value) for value in ("TRUE", True, "false", "False")] == [[0, 1], [0, 1], [1, 0], [1, 0]]


def test_a_code_keeps_its_zeros_and_a_word_its_meaning() -> None:
    assert vector(categories(None, "01067", "1067"), "01067") == [1, 0]
    assert vector(categories(None, "NA", "DE"), "NA") == [1, 0]
    missing = categories({"of": "texts", "missing": ["NA"]}, "NA", "01067")
    assert vector(missing, "01067") == [0, 1]
    with pytest.raises(InvalidInput, match="is missing"):
        missing.run({"x": "NA"})


@pytest.mark.parametrize("known", [NFC, NFD])
def test_categories_that_only_unicode_tells_apart_are_one(known: str) -> None:
    pipeline = categories(None, "Paris", known)
    assert vector(pipeline, NFC) == vector(pipeline, NFD) == [0, 1]
    steps = [{"op": "category_index", "input": "x", "categories": "names.txt", "output": "y"}]
    document = {"inputs": {"x": "category"}, "steps": steps}
    index = Pipeline.load(document, {"names.txt": f"Paris\n{known}\n".encode()})
    assert vector(index, NFC) == vector(index, NFD) == [2]


def test_readings_are_for_inputs_of_numbers_and_categories() -> None:
    steps = [{"op": "tensor", "dtype": "FP32", "shape": [1]}]
    with pytest.raises(InvalidInput, match=r"readings\.x: is no input of numbers"):
        Pipeline.load({"inputs": {"x": "tensor"}, "steps": steps, "readings": {"x": {}}})
    with pytest.raises(InvalidInput, match=r"readings\.z: is no input"):
        numbers(None).load({"inputs": {"x": "number"}, "steps": [{"op": "concat", "on": ["x"]}], "readings": {"z": {}}})


def test_numbers_that_differ_in_their_last_digits_still_differ_when_normalised() -> None:
    document = {
        "inputs": {"x": "tensor"},
        "steps": [
            {"op": "tensor", "dtype": "FP64", "shape": [2]},
            {"op": "normalize", "mean": [1.7e9, 0.0], "std": [10.0, 1.0], "output": "y"},
        ],
    }
    found = Pipeline.load(document).run({"x": np.array([1.7e9 + 7, 0.5])}).tensors["y"]
    assert found.dtype == np.float32
    assert found.tolist() == [np.float32(0.7), 0.5]


def test_a_sequence_keeps_the_digits_that_its_offset_leaves() -> None:
    document = {
        "inputs": {"x": "tensor"},
        "steps": [{"op": "sequence", "length": 2, "offset": [1.7e9], "output": "y"}],
    }
    assert Pipeline.load(document).run({"x": np.array([1.7e9 + 1, 1.7e9 + 2])}).tensors["y"].tolist() == [[1], [2]]
