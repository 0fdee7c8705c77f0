"""Examples become data sets to train on and folders to look at."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.datasets import read_table
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.feedback.dataset import as_dataset
from lepton_ai.feedback.examples import Examples, Selection, read_example, request_of
from lepton_ai.feedback.folder import write_folder
from lepton_ai.prediction import to_item
from lepton_ai.v1 import feedback_pb2
from tests.unit.feedback.examples import WHEN, example, of_texts
from tests.unit.feedback.test_label_studio import PNG


def dataset(examples: Examples, target: str = "label", *, origin: bool = True) -> Dataset:
    return as_dataset(examples, target, {"which": "labelled"}, origin=origin)


def test_texts_become_rows_with_their_right_label_and_where_they_are_from() -> None:
    data = dataset(of_texts("dog", "cat", "dog"))
    assert data.classes == ("cat", "dog")
    assert [column.name for column in data.schema.inputs] == ["review"]
    assert data.target_ids().tolist() == [1, 0, 1]
    row = data.row(0)
    assert (row["review"], row["prediction_id"], row["version"]) == ("第0条", f"{0:032x}-0", 1)
    assert (row["predicted"], row["source_kind"]) == ("cat", "host")
    assert data.schema["predicted_at"].kind == "time"


def test_the_lineage_says_which_feedback_it_is_and_what_was_left_out() -> None:
    examples = Examples("reviews", {"review": "text"}, of_texts("dog").examples, without_input=3, over_limit=2)
    lineage = as_dataset(examples, "label", {"which": "corrected", "below_score": 0.5}, origin=True).lineage
    assert lineage.source == "feedback of reviews, versions 1"
    (operation,) = lineage.operations
    assert operation.parameters == {
        "which": "corrected", "below_score": 0.5, "without_input": 3, "over_limit": 2, "sources": 1,
    }  # fmt: skip


def test_without_its_origin_it_goes_together_with_other_data_of_these_columns() -> None:
    data = dataset(of_texts("dog", "fox"), target="animal", origin=False)
    assert data.schema.names == ("review", "animal")
    together = Dataset.concat([data, data])
    assert (len(together), together.classes) == (4, ("dog", "fox"))


def test_pictures_rows_and_tensors_keep_their_kinds() -> None:
    inputs = {"photo": PNG, "age": 3, "sex": "m", "x": np.arange(3, dtype=np.float32)}
    kinds = {"photo": "image", "age": "number", "sex": "category", "x": "tensor"}
    rows = [example(number, {**inputs, "age": age}, "dog") for number, age in enumerate((3, 4.5, None))]
    data = dataset(Examples("animals", kinds, rows))
    assert {name: data.schema[name].kind for name in kinds} == kinds
    first = data.inputs(0)
    assert first["photo"] == PNG
    assert np.array_equal(np.asarray(first["x"]), np.arange(3))


def test_right_numbers_are_a_number_to_learn() -> None:
    rows = [example(number, {"rooms": number}, label, predicted="") for number, label in enumerate(("1.5", "20"))]
    data = dataset(Examples("prices", {"rooms": "number"}, rows))
    assert (data.schema["label"].kind, list(data.target_values())) == ("number", [1.5, 20.0])


def test_an_input_that_is_called_like_another_column_is_named() -> None:
    rows = Examples("odd", {"score": "number"}, [example(1, {"score": 3}, "dog")])
    with pytest.raises(InvalidInput, match="score"):
        dataset(rows)
    assert dataset(rows, origin=False).schema.names == ("score", "label")


def test_a_single_input_that_was_sent_without_its_name_has_it() -> None:
    message = feedback_pb2.FeedbackExample(version=2, label="dog", source=b"\1\2")
    message.input.item.CopyFrom(to_item("写"))
    found = read_example(message, {"review": "text"})
    assert (found.inputs, found.label, found.source) == ({"review": "写"}, "dog", "0102")
    assert read_example(feedback_pb2.FeedbackExample(), {}).label is None


def test_a_selection_is_sent_as_it_was_said() -> None:
    chosen = Selection(which="corrected", below_score=0.0, since=WHEN, before=WHEN + timedelta(days=1), most_per_user=3)
    request = request_of("reviews", chosen)
    assert (request.which, request.most_per_user) == (feedback_pb2.WHICH_CORRECTED, 3)
    assert request.HasField("below_score")
    assert request.before.ToSeconds() - request.since.ToSeconds() == 86_400
    assert request_of("reviews", {}).which == feedback_pb2.WHICH_LABELLED


@pytest.mark.parametrize("chosen", [{"which": "good"}, {"most": 3}, {"limit": -1}, {"version": "one"}])
def test_a_selection_that_cannot_be_is_refused(chosen: Selection) -> None:
    with pytest.raises(InvalidInput) as caught:
        request_of("reviews", chosen)
    assert caught.value.fields


def test_a_folder_holds_a_table_and_files_that_data_sets_are_read_from(tmp_path: Path) -> None:
    rows = [example(number, {"photo": PNG, "label": "x"}, "狗") for number in range(2)]
    table = write_folder(Examples("animals", {"photo": "image", "label": "text"}, rows), tmp_path / "out")
    with table.open(encoding="utf-8", newline="") as file:
        first, _ = csv.DictReader(file)
    assert (first["input_label"], first["label"]) == ("x", "狗")
    assert (table.parent / first["photo"]).read_bytes() == PNG
    data = read_table(table, target="label")
    assert data.schema["photo"].kind == "image"
    assert data.row(0)["photo"] == PNG


def test_no_folder_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FailedPrecondition):
        write_folder(of_texts("dog"), tmp_path)
