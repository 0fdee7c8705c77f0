"""`fit` makes the profile of its training data, and it travels with the saved model, the package and its variants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_ai.datasets import from_arrays, from_rows
from lepton_ai.errors import DataLoss, InvalidInput
from lepton_ai.models import MLP, TextClassifier
from lepton_ai.models.fitting.profiling import MOST_ROWS, profile_inputs
from lepton_ai.optimize.variant import write_variant
from lepton_ai.package import Package, served_files
from lepton_ai.pipeline import Pipeline
from tests.unit.models.test_model import pictures, rows, small_cnn


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def table_model() -> MLP:
    torch.set_num_threads(1)
    model = MLP((8,))
    model.fit(rows(400), epochs=1, progress=False, validation=None)
    return model


def test_a_table_has_its_columns(table_model: MLP) -> None:
    profile = table_model.input_profile
    assert profile is not None
    assert profile.rows == 400
    assert list(profile.features) == ["age", "city"]
    missing, below, *inside, above = profile.features["age"].counts
    assert 20 < missing < 70  # a tenth
    assert (below, above) == (0, 0)
    assert sum(inside) == 400 - missing
    assert profile.features["city"].bins.names == ("Paris", "北京")


def test_it_travels_in_the_saved_model_and_in_the_package(table_model: MLP, tmp_path: Path) -> None:
    package = table_model.package(tmp_path / "package", name="table")
    assert package.description.profile == "profile.json"
    assert "profile.json" in served_files(package.description, package.files)
    assert Package.read(package.directory).input_profile() == table_model.input_profile
    assert MLP.load(package.directory).input_profile == table_model.input_profile
    variant = write_variant(package, package.path(package.description.model.file), tmp_path / "variant")
    assert variant.input_profile() == table_model.input_profile


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 9}'])
def test_a_package_with_another_file_in_its_place_is_refused(table_model: MLP, tmp_path: Path, content: bytes) -> None:
    package = table_model.package(tmp_path / "package", name="table")
    package.path("profile.json").write_bytes(content)
    with pytest.raises(InvalidInput, match="profile"):
        Package.read(package.directory)
    with pytest.raises(DataLoss):
        package.input_profile()


def test_pictures_have_brightness_and_texts_have_scripts() -> None:
    model = small_cnn()
    model.fit(pictures(), epochs=1, progress=False)
    assert model.input_profile is not None
    assert list(model.input_profile.features) == [
        "照片.width", "照片.height", "照片.brightness", "照片.contrast",
    ]  # fmt: skip
    texts = TextClassifier("cnn")
    texts.fit(["good", "bad", "很好", "fine"] * 10, ["a", "b", "a", "a"] * 10, epochs=1, progress=False)
    assert texts.input_profile is not None
    assert texts.input_profile.features["x.script"].bins.names == ("CJK", "LATIN")


def test_arrays_have_a_feature_for_every_element() -> None:
    model = MLP((4,))
    model.fit(np.random.default_rng(0).normal(size=(60, 3)), ["a", "b"] * 30, epochs=1, progress=False)
    assert model.input_profile is not None
    assert list(model.input_profile.features) == ["x[0]", "x[1]", "x[2]"]


def test_of_many_rows_some_are_looked_at_evenly() -> None:
    data = from_arrays(np.arange(3.0 * MOST_ROWS), ["a", "b", "c"] * MOST_ROWS)
    pipeline = Pipeline.load({"inputs": {"x": "number"}, "steps": [{"op": "concat", "on": ["x"], "output": "y"}]})
    profile = profile_inputs(pipeline, data)
    assert profile is not None
    assert profile.rows == MOST_ROWS
    bins = profile.features["x"].bins
    assert bins.edges[-1] == pytest.approx(3 * MOST_ROWS, rel=1e-3)


def test_data_without_what_callers_send_has_none() -> None:
    pipeline = Pipeline.load({"inputs": {"y": "number"}, "steps": [{"op": "concat", "on": ["y"], "output": "z"}]})
    assert profile_inputs(pipeline, from_rows([{"x": 1.0, "label": "a"}] * 3)) is None
