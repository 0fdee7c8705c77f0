"""Models in other formats answer as the original does, and what cannot be converted is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import FailedPrecondition, InvalidInput, Unsupported
from lepton_ai.optimize.convert.conversion import compare, convert
from lepton_ai.optimize.rows import Rows
from lepton_ai.package import Package, write_package
from tests.sample_packages import onnx_package
from tests.unit.cli.packages.running import run
from tests.unit.optimize.small import packaged

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packaged(tmp_path_factory.mktemp("packages") / "stripes")


def test_a_trained_model_becomes_an_archive_and_onnx_again(package: Package, tmp_path: Path) -> None:
    made = convert(package, "torch-export", tmp_path / "archive")
    assert made.rows == 11 and made.largest_difference < 1e-3 * made.largest_value  # 3 golden ones and 8 random ones
    document = package.description.model_dump(mode="json", exclude_defaults=True)
    document["model"] = {"file": "model.pt2", "format": "torch_export"}
    kept = {name: package.path(name) for name in package.files if name.startswith(("golden", "labels", "profile"))}
    archived = write_package(tmp_path / "package", document, {**kept, "model.pt2": made.path})
    again = convert(archived, "onnx", tmp_path / "onnx")
    assert again.largest_difference < 1e-3 * again.largest_value


def test_openvino_answers_alike(package: Package, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    made = convert(package, "openvino", tmp_path / "ir")
    assert made.path.with_suffix(".bin").exists() and made.largest_difference < 1e-3 * made.largest_value
    assert made.speed.ratio.low <= made.speed.original_ms / made.speed.time_ms <= made.speed.ratio.high * 1.5


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_what_is_compiled_ahead_of_time_answers_alike(package: Package, tmp_path: Path) -> None:
    made = convert(package, "aot-inductor", tmp_path / "compiled")
    assert made.largest_difference < 1e-3 * made.largest_value


def test_a_difference_is_found() -> None:
    rows = Rows({"x": np.arange(6, dtype=np.float32).reshape(3, 2)})
    found = compare(lambda feeds: [feeds["x"]], lambda feeds: [feeds["x"].astype(np.float32) * 1.5], rows)
    assert found == (2.5, 5.0)


def test_formats_without_a_converter_are_told_with_the_reason(package: Package, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="need TensorFlow, or an older PyTorch"):
        convert(package, "tflite", tmp_path / "a")
    with pytest.raises(InvalidInput, match="onnx, torch-export"):
        convert(package, "caffe", tmp_path / "b")
    with pytest.raises(FailedPrecondition, match=r"no trained\.pth"):
        convert(onnx_package(tmp_path / "p"), "torch-export", tmp_path / "c")


def test_the_command_tells_the_largest_difference(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", package.directory, tmp_path / "甲", "--to", "torch-export") == 0
    told = capsys.readouterr().out
    assert "as the original does, up to" in told
    assert "times as fast" in told
    assert run("convert", package.directory, tmp_path / "乙", "--to", "torch-export", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"] == 11
    assert document["speed"]["time_ms"] > 0
