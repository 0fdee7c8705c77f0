"""Fashion-MNIST: the four files, wherever they lie."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.datasets.ready import FashionMNIST, fashion_mnist
from lepton_ai.datasets.ready.fashion_mnist import read_idx
from lepton_ai.errors import DataLoss, NotFound
from lepton_ai.tensors import Array

INSTALLED = Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz").exists()


def write_idx(path: Path, array: Array) -> None:
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 10)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", random.integers(0, 256, (count, 28, 28), np.uint8))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10)
    return tmp_path


def test_the_files_are_read_as_they_are_split(folder: Path) -> None:
    train, test = FashionMNIST.split(folder)
    assert (len(train), len(test), len(FashionMNIST.load(folder))) == (20, 10, 30)
    assert [row["label"] for row in train.rows(["label"])][:3] == ["T-shirt/top", "Trouser", "Pullover"]
    assert train.target_ids().tolist()[:12] == [*range(10), 0, 1]
    assert FashionMNIST.split(folder)[0].digest == train.digest


def test_a_file_that_is_cut_is_refused(folder: Path) -> None:
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(DataLoss, match="train-images-idx3-ubyte"):
        FashionMNIST.split(folder)


def test_another_kind_of_file_is_refused(folder: Path) -> None:
    with pytest.raises(DataLoss):
        read_idx(folder / "train-labels-idx1-ubyte.gz", dimensions=3)


def test_labels_for_other_pictures_are_refused(folder: Path) -> None:
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.zeros(19, np.uint8))
    with pytest.raises(DataLoss, match="pictures and labels"):
        FashionMNIST.split(folder)


def test_without_the_files_the_debian_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEPTON_DATA_DIR", raising=False)
    nowhere = replace(fashion_mnist._SOURCE, system_folder="/there/is/no/such/folder")
    monkeypatch.setattr(fashion_mnist, "_SOURCE", nowhere)
    with pytest.raises(NotFound, match="apt-get install dataset-fashion-mnist"):
        FashionMNIST.load()


def test_a_folder_without_the_files_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="apt-get install dataset-fashion-mnist"):
        FashionMNIST.load(tmp_path)


@pytest.mark.skipif(not INSTALLED, reason="needs the Debian package dataset-fashion-mnist")
def test_the_real_set_has_as_many_of_each_class() -> None:
    train, test = FashionMNIST.split()
    assert np.bincount(train.target_ids()).tolist() == [6000] * 10
    assert np.bincount(test.target_ids()).tolist() == [1000] * 10
    assert train.row(0)["label"] == "Ankle boot"
