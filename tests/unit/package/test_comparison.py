"""What differs between two packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lepton_ai.package import Package
from lepton_ai.package.comparison import Difference, compare
from tests.sample_packages import onnx_bytes, onnx_package


def differences(before: Package, after: Package) -> list[Difference]:
    return compare(before.description, after.description, before.manifest(), after.manifest())


def package(directory: Path, **changes: Any) -> Package:
    return onnx_package(directory, **changes)


def test_a_package_is_the_same_as_itself(tmp_path: Path) -> None:
    one, other = package(tmp_path / "a"), package(tmp_path / "b")
    assert differences(one, other) == []


def test_every_field_that_changed_is_named_with_both_values(tmp_path: Path) -> None:
    wide = [{"name": "x", "dtype": "FP32", "shape": [-1, 8]}]
    one = package(tmp_path / "a", metrics={"accuracy": 0.9, "loss": 0.3})
    other = package(tmp_path / "b", metrics={"accuracy": 0.95}, inputs=wide, lineage={"parent": "doubler@1"})
    found = [each for each in differences(one, other) if each.section != "files"]
    assert found == [
        Difference("signature", "inputs[0].shape", [-1, 4], [-1, 8]),
        Difference("metrics", "metrics.accuracy", 0.9, 0.95),
        Difference("metrics", "metrics.loss", 0.3, None),
        Difference("lineage", "lineage.parent", None, "doubler@1"),
    ]


def test_files_differ_by_their_content(tmp_path: Path) -> None:
    one = package(tmp_path / "a", files={"标签.txt": "猫".encode(), "same": b"1"})
    other = package(tmp_path / "b", model=onnx_bytes(factor=3.0), files={"new.txt": b"12", "same": b"1"})
    found = {(each.what, each.before, each.after) for each in differences(one, other)}
    size = one.files["model.onnx"].size_bytes
    assert found == {("model.onnx", size, size), ("标签.txt", 3, None), ("new.txt", None, 2)}
