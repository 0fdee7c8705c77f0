"""`lepton check`: what is wrong with a package, said before anybody pushes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.package import pack
from tests.sample_packages import onnx_package
from tests.unit.cli.packages.running import run

Capture = pytest.CaptureFixture[str]


def golden(*values: float) -> list[dict[str, Any]]:
    return [{"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": list(values)}}}}]


def test_a_good_package_passes_as_a_folder_and_as_a_file(tmp_path: Path, capsys: Capture) -> None:
    package = onnx_package(tmp_path / "p", golden=golden(2, 4, 6, 8))
    pack(package, tmp_path / "p.lepton")
    for path in (package.directory, tmp_path / "p.lepton"):
        assert run("check", path) == 0
        shown = capsys.readouterr()
        assert "golden[0]" in shown.out and "answers as it should" in shown.err


def test_a_wrong_answer_fails_and_is_placed(tmp_path: Path, capsys: Capture) -> None:
    directory = onnx_package(tmp_path / "p", golden=golden(2, 4, 6, 9)).directory
    assert run("check", directory) == 1
    shown = capsys.readouterr().out
    assert "differs by up to 1" in shown and "(line " in shown
    assert run("check", directory, "--no-run") == 0


def test_every_mistake_in_the_description_is_listed(tmp_path: Path, capsys: Capture) -> None:
    directory = onnx_package(tmp_path / "p").directory
    text = (directory / "lepton.yaml").read_text().replace("dtype: FP32", "dtpye: FP32")
    (directory / "lepton.yaml").write_text(text)
    assert run("check", directory, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"] and len(report["checks"]) == 4
    assert "did you mean 'dtype'? (line " in str(report["checks"])


def test_a_model_that_is_not_what_the_description_says_is_not_run(tmp_path: Path, capsys: Capture) -> None:
    output = [{"name": "y", "dtype": "FP64", "shape": [-1, 4]}]
    assert run("check", onnx_package(tmp_path / "p", outputs=output).directory, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert [check["check"] for check in report["checks"]] == ["package", "model and pipelines"]
    assert report["model"] == "doubler" and "outputs[0].dtype" in report["checks"][1]["problem"]
