"""Errors in lepton.yaml name line and column, wherever they are found, and what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.structure import inspect_package
from lepton_ai.package import Description, Package
from tests.sample_packages import onnx_bytes

TEXT = """\
# 把四个数乘以二。
format: 1
name: doubler
model: {file: model.onnx, format: onnx}
inputs:
  - name: x
    dtype: FP32
    shape: [-1, 4]
outputs: [{name: y, dtype: FP32, shape: [-1, 4]}]
"""


def refusal(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        Description.parse(text.encode())
    return caught.value


def written(directory: Path, text: str) -> Path:
    (directory / "lepton.yaml").write_text(text, encoding="utf-8")
    (directory / "model.onnx").write_bytes(onnx_bytes())
    return directory


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dtype: FP32\n", "dtype: FLOAT\n", "must be one of"),
        ("dtype: FP32\n", "dtpye: FP32\n", "is not a known field; did you mean 'dtype'? (line 7, column 5)"),
        ("    dtype: FP32\n", "", "inputs[0].dtype: is missing (line 6, column 5)"),
        ("shape: [-1, 4]\n", "shape: [-1, four]\n", "(line 8, column 17)"),
        ("{file: model.onnx, format", "{file: model.onnx, format: onnx, format", "duplicate key 'format' in line 4"),
        ("format: onnx}", "format: onxx}", "(line 4, column 35)"),
        ("name: doubler", "nmae: doubler", "did you mean 'name'? (line 3, column 1)"),
        ("name: doubler", "name: 2026-01-01", "(line 3, column 7)"),
    ],
)
def test_what_is_wrong_is_found_at_its_place(old: str, new: str, said: str) -> None:
    assert old in TEXT
    assert said in str([refusal(TEXT.replace(old, new, 1)).message, *refusal(TEXT.replace(old, new, 1)).fields])


def test_every_wrong_field_has_its_own_place() -> None:
    error = refusal(TEXT.replace("dtype: FP32", "dtype: FLOAT").replace("name: x", "name: 7"))
    assert [field.description.partition("(")[2] for field in error.fields] == [
        "line 6, column 11)",
        "line 7, column 12)",
        "line 9, column 28)",
    ]


def test_a_known_field_of_a_part_inside_a_mapping_is_suggested() -> None:
    text = TEXT + "golden: [{inputs: {x: 1}, expect: {outputs: {y: {values: 1, tolerence: 0.1}}}}]\n"
    assert "did you mean 'tolerance'?" in refusal(text).message


def test_what_only_the_model_file_tells_is_placed_as_well(tmp_path: Path) -> None:
    directory = written(tmp_path, TEXT.replace("shape: [-1, 4]\n", "shape: [-1, 5]\n", 1))
    with pytest.raises(InvalidInput, match=r"inputs\[0\].shape\[1\]: is 5 here and 4 in the model \(line 8, column 17"):
        inspect_package(directory)


def test_what_only_the_pipeline_tells_is_placed_as_well(tmp_path: Path) -> None:
    directory = written(tmp_path, TEXT + "postprocess:\n  - op: softmax\n    input: z\n  - op: numbers\n")
    with pytest.raises(InvalidInput) as caught:
        Package.read(directory).check()
    assert "(line 1" in str(caught.value.fields)


def test_a_missing_file_is_told_where_it_is_named(tmp_path: Path) -> None:
    directory = written(tmp_path, TEXT.replace("file: model.onnx", "file: other.onnx"))
    with pytest.raises(InvalidInput, match=r"model.file: is not a file of the package \(line 4, column 15\)"):
        Package.read(directory)
