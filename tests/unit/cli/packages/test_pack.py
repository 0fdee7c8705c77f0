"""`lepton pack`, `lepton unpack` and `lepton schema`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lepton_ai.package import Package
from lepton_ai.package.schema import make_schema
from tests.sample_packages import onnx_package
from tests.unit.cli.packages.running import run

Capture = pytest.CaptureFixture[str]


def test_a_package_is_packed_under_its_name_and_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    package = onnx_package(tmp_path / "p")
    assert run("pack", "p", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    content = (tmp_path / "doubler.lepton").read_bytes()
    assert report == {
        "file": "doubler.lepton",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "digest": package.digest,
    }
    assert run("unpack", "doubler.lepton", "q") == 0
    assert Package.read(tmp_path / "q").digest == package.digest


def test_the_schema_is_printed_or_written(tmp_path: Path, capsys: Capture) -> None:
    assert run("schema") == 0
    assert json.loads(capsys.readouterr().out) == make_schema()
    assert run("schema", "-o", tmp_path / "s.json") == 0
    assert json.loads((tmp_path / "s.json").read_text()) == make_schema()
