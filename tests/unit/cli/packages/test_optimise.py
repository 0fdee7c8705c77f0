"""`lepton optimise`: what it says of models that it cannot make variants of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sample_packages import torch_package
from tests.unit.cli.packages.running import run


def test_an_archive_of_torch_export_is_told_how_it_becomes_onnx(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "archive.pt2").write_bytes(b"never opened")
    package = torch_package(tmp_path / "doubler", tmp_path / "archive.pt2")
    assert run("optimise", package.directory, "--out", tmp_path / "out") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "doubler holds a torch.export archive" in said and "lepton convert MODEL FOLDER --to onnx" in said
    assert not (tmp_path / "out").exists()


def test_a_path_that_is_not_there_is_not_taken_for_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("optimise", tmp_path / "resnet") == 1
    assert "There is no" in capsys.readouterr().err
