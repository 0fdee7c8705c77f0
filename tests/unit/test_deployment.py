"""What `deploy` and `load` take: models, their files, and the folders of packages."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from torch import nn

import lepton_ai as la
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models import MLP
from lepton_ai.package import Package, pack


class Platform:
    """Stands for the platform: remembers what is pushed and what is deployed."""

    pushed: Package
    deployed = ""

    def __call__(self, addresses: Any) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def push(self, directory: Path) -> Any:
        self.pushed = Package.read(directory)
        return SimpleNamespace(model=self.pushed.description.name, version=7)

    def deploy(self, model: str, *, wait_s: float) -> str:
        self.deployed = model
        return model


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    platform = Platform()
    monkeypatch.setattr("lepton_ai.deployment.Client", platform)
    return platform


@pytest.fixture(scope="module")
def model() -> MLP:
    x = np.random.default_rng(0).normal(size=(40, 3))
    model = MLP((4,))
    model.fit((x, x[:, 0] > 0), epochs=1, validation=None, progress=False)
    return model


def test_the_folder_of_a_package_is_pushed_as_it_is(model: MLP, platform: Platform, tmp_path: Path) -> None:
    package = model.package(tmp_path / "signs", name="signs")
    for given in (package, package.directory, str(package.directory)):
        assert str(la.deploy(given)) == "signs@7"
        assert platform.pushed == package


def test_a_package_goes_by_the_name_that_it_has(model: MLP, platform: Platform, tmp_path: Path) -> None:
    package = model.package(tmp_path / "signs", name="signs")
    assert str(la.deploy(package, name="signs")) == "signs@7"
    with pytest.raises(InvalidInput, match="is 'other', the package has 'signs'"):
        la.deploy(package, name="other")


def test_a_model_must_have_a_name(model: MLP, platform: Platform) -> None:
    with pytest.raises(InvalidInput, match="name: is missing"):
        la.deploy(model)


def test_another_folder_is_no_package_and_no_model(tmp_path: Path) -> None:
    (tmp_path / "照片").mkdir()
    with pytest.raises(InvalidInput, match=r"lepton.yaml: is missing in 照片") as refused:
        la.deploy(tmp_path / "照片", name="photos")
    assert "model.package(" in refused.value.fix
    with pytest.raises(InvalidInput, match=r"照片 is a folder without trained.pth"):
        la.load(tmp_path / "照片")


def test_the_folder_of_a_package_stands_for_the_model_in_it(model: MLP, tmp_path: Path) -> None:
    directory = model.package(tmp_path / "signs", name="signs").directory
    x = np.ones((2, 3))
    for loaded in (la.load(directory), MLP.load(str(directory))):
        np.testing.assert_array_equal(loaded.predict(x).scores, model.predict(x).scores)


def test_what_cannot_be_deployed_is_refused_with_what_to_do(platform: Platform) -> None:
    with pytest.raises(InvalidInput, match=r"model: is a Linear, .* la\.wrap\(module\)"):
        la.deploy(nn.Linear(3, 2), name="layer")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"model: is a dict, .* Export it to ONNX"):
        la.deploy({}, name="nothing")  # type: ignore[arg-type]


def test_a_wrapped_model_is_loaded_with_its_module(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    wrapped = la.wrap(nn.Linear(3, 2))
    wrapped.fit((x, x[:, 0] > 0), epochs=1, validation=None, progress=False)
    path = wrapped.save(tmp_path / "wrapped.pth")
    with pytest.raises(FailedPrecondition, match=r"la\.load\(path, module=…\)"):
        la.load(path)
    assert la.load(path, module=nn.Linear(3, 2)).predict(x[0]).labels == wrapped.predict(x[0]).labels


def test_a_packed_package_stands_for_its_folder(model: MLP, platform: Platform, tmp_path: Path) -> None:
    package = model.package(tmp_path / "signs", name="signs")
    pack(package, tmp_path / "signs.lepton")
    assert str(la.deploy(tmp_path / "signs.lepton")) == "signs@7"
    assert platform.pushed.digest == package.digest
    again = la.load(tmp_path / "signs.lepton")
    assert again.config == model.config and not platform.pushed.directory.exists()
