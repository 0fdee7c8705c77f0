"""`lepton init`: a package of what is there, and what is left to fill in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton_ai.package import Package
from tests.sample_packages import onnx_bytes
from tests.unit.cli.packages.running import run

Capture = pytest.CaptureFixture[str]


def test_the_package_passes_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "doubler.onnx").write_bytes(onnx_bytes())
    (tmp_path / "labels.txt").write_text("猫\n狗\n鸟\n鱼\n", encoding="utf-8")
    assert run("init", "doubler.onnx", "--labels", "labels.txt") == 0
    shown = capsys.readouterr()
    assert "doubler is in doubler-package." in shown.out
    assert "The golden sample is made up" in shown.err and "lepton check doubler-package" in shown.err
    assert run("check", "doubler-package") == 0


def test_json_tells_the_notes(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx_bytes())
    assert run("init", tmp_path / "m.onnx", tmp_path / "p", "--name", "mine", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"] == "mine" and report["digest"] == Package.read(tmp_path / "p").digest
    assert len(report["notes"]) == 1


def test_what_cannot_be_a_package_is_said_with_what_to_do(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04K\x01.")
    assert run("init", tmp_path / "model.pkl") == 1
    shown = capsys.readouterr().err
    assert "holds pickles" in shown and "torch.export.save" in shown
    assert not (tmp_path / "model-package").exists()
