"""Bills of materials: valid by CycloneDX's own schema, the same for the same version, with files, card and lineage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lepton_ai.interchange.bom import make_bom
from lepton_ai.models import MLP
from lepton_ai.package import Package
from tests.sample_packages import onnx_package


def valid(package: Package, **options: Any) -> dict[str, Any]:
    bom = make_bom(package, **options)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    return bom


def test_every_file_is_there_with_its_hash(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"标签.txt": "猫\n".encode()})
    bom = valid(package, version="3")
    hashes = {each["name"]: each["hashes"][0]["content"] for each in bom["components"]}
    assert hashes == {
        name: hashlib.sha256((package.directory / name).read_bytes()).hexdigest()
        for name in ("lepton.yaml", "model.onnx", "标签.txt")
    }
    model = bom["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "doubler", "3")
    assert model["modelCard"]["modelParameters"]["inputs"] == [{"format": "x: FP32 [-1, 4]"}]
    assert package.digest in str(model["properties"])


def test_a_trained_model_says_what_it_was_trained_on_and_how_well_it_does(tmp_path: Path) -> None:
    model = MLP(hidden=(4,))
    model.fit(np.random.default_rng(0).random((40, 3)), np.arange(40) % 2, epochs=2, progress=False)
    card = valid(model.package(tmp_path / "p", name="mlp"))["metadata"]["component"]["modelCard"]
    parameters = card["modelParameters"]
    assert parameters["modelArchitecture"] == "MLP" and parameters["task"] == "classification"
    assert model.lineage["data"]["digest"] in str(parameters["datasets"])
    metrics = {each["type"]: each["value"] for each in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert 0 <= float(metrics["accuracy"]) <= 1
    assert {"name": "lepton:training:optimizer", "value": '"adamw"'} in card["properties"]


def test_the_same_version_has_the_same_bill_and_another_one_another(tmp_path: Path) -> None:
    first, same = onnx_package(tmp_path / "1"), onnx_package(tmp_path / "2")
    assert make_bom(first, version="1") == make_bom(same, version="1")
    assert make_bom(first, version="1")["serialNumber"] != make_bom(first, version="2")["serialNumber"]


def test_a_file_that_only_has_the_name_of_a_trained_model_tells_nothing(tmp_path: Path) -> None:
    bom = valid(onnx_package(tmp_path / "p", files={"trained.pth": b"\x80\x04 pickle"}))
    assert "modelArchitecture" not in bom["metadata"]["component"]["modelCard"]["modelParameters"]
