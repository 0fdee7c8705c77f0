"""`lepton export` and `lepton bom` of a folder or a packed file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton_ai.package import Package, pack
from tests.sample_packages import onnx_package
from tests.unit.cli.packages.running import run

Capture = pytest.CaptureFixture[str]


def test_every_kind_of_export(tmp_path: Path, capsys: Capture) -> None:
    package = onnx_package(tmp_path / "p")
    pack(package, tmp_path / "p.lepton")
    assert run("export", "--triton", tmp_path / "p.lepton", tmp_path / "models") == 0
    assert (tmp_path / "models/doubler/1/model.py").is_file()
    assert run("export", "--oci", tmp_path / "p", tmp_path / "oci") == 0
    assert run("init", tmp_path / "oci", tmp_path / "again") == 0
    assert run("export", "--package", tmp_path / "p.lepton", tmp_path / "folder") == 0
    assert Package.read(tmp_path / "again").digest == Package.read(tmp_path / "folder").digest == package.digest
    assert run("export", "--package", tmp_path / "p", tmp_path / "again.lepton") == 0
    assert (tmp_path / "again.lepton").read_bytes() == (tmp_path / "p.lepton").read_bytes()
    assert run("export", "--triton", tmp_path / "p", tmp_path / "native", "--backend", "onnxruntime") == 0
    assert not (tmp_path / "native/doubler/1/model.py").exists()
    capsys.readouterr()
    assert run("export", "--oci", tmp_path / "p", tmp_path / "json", "--json") == 0
    assert json.loads(capsys.readouterr().out)["digest"].startswith("sha256:")


def test_a_kind_has_to_be_said(tmp_path: Path, capsys: Capture) -> None:
    assert run("export", onnx_package(tmp_path / "p").directory, tmp_path / "out") == 2
    assert "--triton, --oci or --package" in capsys.readouterr().err


def test_the_bill_is_printed_or_written(tmp_path: Path, capsys: Capture) -> None:
    directory = onnx_package(tmp_path / "p").directory
    assert run("bom", directory) == 0
    printed = json.loads(capsys.readouterr().out)
    assert run("bom", directory, "-o", tmp_path / "bom.json") == 0
    assert json.loads((tmp_path / "bom.json").read_text(encoding="utf-8")) == printed
    assert printed["bomFormat"] == "CycloneDX"
