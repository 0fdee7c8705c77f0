"""Targets of data sets as a package words its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from lepton_ai.models.data import as_dataset
from lepton_ai.optimize.right_answers import SEPARATOR, column_of_answers, right_answers
from lepton_ai.package import Package
from tests.sample_packages import onnx_package

ROWS = np.zeros((3, 4), dtype=np.float32)


def answering(path: Path, *steps: dict[str, Any]) -> Package:
    labels = {"labels.txt": b"0\n1\n2\nd\n"}
    changes: Any = {"postprocess": list(steps)} if steps else {}
    return onnx_package(path / "p", files=labels, **changes)


def words(package: Package, targets: Any) -> list[Any]:
    found = right_answers(package, as_dataset(ROWS, targets))
    assert found is not None
    return list(found.tolist())


def test_classes_are_names_whatever_they_were_written_as(tmp_path: Path) -> None:
    package = answering(tmp_path, {"op": "classify", "input": "y", "labels": "labels.txt", "top_k": 1})
    assert words(package, ["d", "1", "0"]) == ["d", "1", "0"]
    assert words(package, np.array([2, 1, 0])) == ["2", "1", "0"]
    assert words(package, np.array([2.0, 1.0, 0.0])) == ["2", "1", "0"]
    assert words(package, np.eye(3, dtype=np.int64)) == ["0", "1", "2"]


def test_several_labels_are_one_text(tmp_path: Path) -> None:
    package = answering(tmp_path, {"op": "multilabel", "input": "y", "labels": "labels.txt"})
    assert words(package, [["d", "1"], [], ["0"]]) == [f"1{SEPARATOR}d", "", "0"]


def test_without_postprocessing_numbers_stay_numbers(tmp_path: Path) -> None:
    assert words(answering(tmp_path), np.array([1.5, 2.5, 0.0])) == [1.5, 2.5, 0.0]


TABLE = {"x": [1.0, 2.0, 3.0], "对": ["d", "1", "0"], "地": ["a", "1", "0"]}


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (TABLE, "对"),
        ({"x": [0, 1, 2], "地": ["a", "b", "0"]}, None),
        (TABLE | {"旧": ["1", "1", "1"]}, None),
        (TABLE | {"对": [2.0, 1.0, 0.0]}, "对"),
        (TABLE | {"对": ["d", None, "0"]}, None),
    ],
    ids=["names", "no label but the input's", "two such columns", "numbers", "unknown of a row"],
)
def test_answers_stand_in_the_only_column_of_labels(tmp_path: Path, table: dict[str, Any], found: str | None) -> None:
    package = answering(tmp_path, {"op": "classify", "input": "y", "labels": "labels.txt", "top_k": 1})
    assert column_of_answers(package, as_dataset(pd.DataFrame(table)), ["x"]) == found


def test_where_nobody_knows_there_are_none(tmp_path: Path) -> None:
    package = answering(tmp_path)
    assert right_answers(package, as_dataset(ROWS)) is None
    assert right_answers(package, as_dataset(ROWS, ["x", "y", "x"])) is None  # names, of a model that answers numbers
