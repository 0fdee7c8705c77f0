"""`lepton optimise --ladder`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton_ai.optimize.measure.cpu import this_cpu
from tests.sample_packages import onnx_package
from tests.unit.cli.packages.running import run


def test_every_batch_and_way_to_use_the_cores_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = {"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": [2, 4, 6, 8]}}}}
    package = onnx_package(tmp_path / "doubler", golden=[sample])
    assert run("optimise", package.directory, "--ladder", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert {1, package.description.max_batch_size} <= {rung["batch"] for rung in shown["rungs"]}
    assert {(rung["threads"], rung["instances"]) for rung in shown["rungs"]} >= {(1, 1), (1, this_cpu().cores)}
    assert shown["best"] in shown["rungs"]
