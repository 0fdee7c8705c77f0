"""Dogs and cats: photos in the usual folders, else drawings that are the same for the same seed."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from lepton_ai.datasets import Dataset
from lepton_ai.datasets.ready import DogsAndCats, dogs_and_cats
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.synthetic.drawing import draw_picture


@pytest.fixture(autouse=True)
def without_photos(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LEPTON_DATA_DIR", raising=False)
    dogs_and_cats._say_that_they_are_drawings.cache_clear()
    yield
    dogs_and_cats._say_that_they_are_drawings.cache_clear()


def put_photos(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(np.full((8, 8, 3), number, np.uint8)))
    return root


def labels(data: Dataset) -> dict[str, str]:
    paths = data.table["image"].to_pylist()
    return dict(zip(paths, data.table["label"].to_pylist(), strict=True))


def pixels(data: Dataset, index: int) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(bytes(data.row(index)["image"]))) as image:  # type: ignore[arg-type]
        return np.asarray(image)


def test_without_photos_as_many_cats_as_dogs_are_drawn() -> None:
    train, test = DogsAndCats.split(size=48, train=60, test=20)
    assert np.bincount(train.target_ids()).tolist() == [30, 30]
    assert np.bincount(test.target_ids()).tolist() == [10, 10]
    assert train.classes == ("cat", "dog")
    assert pixels(train, 0).shape == (48, 48, 3)


def test_the_seed_decides_what_is_drawn() -> None:
    first, again, other = (DogsAndCats.split(size=32, train=8, test=4, seed=seed)[0].digest for seed in (5, 5, 6))
    assert first == again != other


def test_the_test_drawings_are_no_training_drawings() -> None:
    train, test = DogsAndCats.split(size=32, train=30, test=30)
    pictures = [set(part.table["image"].to_pylist()) for part in (train, test)]
    assert len(pictures[0]) == len(pictures[1]) == 30
    assert not pictures[0] & pictures[1]


def test_loading_gives_both_parts() -> None:
    assert len(DogsAndCats.load(size=32, train=6, test=4)) == 10


def test_it_is_said_once_that_these_are_drawings(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            DogsAndCats.split(size=32, train=2, test=2)
    (said,) = (record.getMessage() for record in caplog.records)
    assert "draws simple cats and dogs" in said
    assert "LEPTON_DATA_DIR" in said


def test_colours_do_not_tell_cats_from_dogs() -> None:
    """A classifier that sees only how often each of 64 colours occurs does little better than guessing."""
    train, test = DogsAndCats.split(size=64, train=500, test=200)

    def histograms(data: Dataset) -> np.ndarray[Any, Any]:
        found = []
        for index in range(len(data)):
            red, green, blue = (pixels(data, index).reshape(-1, 3) // 64).astype(np.int64).T
            found.append(np.bincount(16 * red + 4 * green + blue, minlength=64) / len(red))
        return np.asarray(np.stack(found) ** 0.5)

    model = LogisticRegression(C=1.0, max_iter=2000).fit(histograms(train), train.target_ids())
    assert model.score(histograms(test), test.target_ids()) < 0.65


def test_the_same_animal_may_be_drawn_as_either() -> None:
    cat, dog = (draw_picture(animal, 64, np.random.default_rng(1)).astype(int) for animal in ("cat", "dog"))
    different = np.abs(cat - dog).max(axis=2) > 20
    assert 0.01 < different.mean() < 0.5


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"size": 8}, "size"), ({"train": 1}, "train"), ({"test": 0}, "test"), ({"seed": -1}, "seed")],
)
def test_numbers_that_cannot_be_are_refused(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        DogsAndCats.split(**arguments)


def test_photos_in_train_and_test_folders_keep_their_split(tmp_path: Path) -> None:
    put_photos(tmp_path, "train/cats/一.png", "train/dogs/2.png", "validation/cats/3.png", "validation/dogs/4.png")
    train, test = DogsAndCats.split(tmp_path)
    assert labels(train) == {"train/cats/一.png": "cat", "train/dogs/2.png": "dog"}
    assert labels(test) == {"validation/cats/3.png": "cat", "validation/dogs/4.png": "dog"}
    assert pixels(train, 0).shape == (8, 8, 3)


def test_photos_named_by_what_they_show_are_split(tmp_path: Path) -> None:
    names = [f"train/{animal}.{number}.jpg" for animal in ("cat", "dog") for number in range(10)]
    train, test = DogsAndCats.split(put_photos(tmp_path, *names, "test1/1.jpg"), seed=2)
    assert {**labels(train), **labels(test)} == {name: name[6:9] for name in names}
    assert np.bincount(test.target_ids()).tolist() == [2, 2]
    assert DogsAndCats.split(tmp_path, seed=2)[0].digest == train.digest


def test_broken_photos_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"PetImages/{animal}/{number}.jpg" for animal in ("Cat", "Dog") for number in range(3)]
    put_photos(tmp_path, *names)
    (tmp_path / "PetImages/Cat/666.jpg").touch()
    (tmp_path / "PetImages/Dog/11702.jpg").write_text("not a picture")
    (tmp_path / "PetImages/Dog/Thumbs.db").write_text("not a picture either")
    data = DogsAndCats.load(tmp_path)
    assert sorted(labels(data)) == sorted(names)
    assert "2 of 8 files are no pictures" in caplog.text
    assert "PetImages/Cat/666.jpg" in caplog.text


@pytest.mark.parametrize("inside", ["", "dogs-and-cats", "downloads"])
def test_photos_are_found_in_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    put_photos(tmp_path / inside, "cats/1.png", "dogs/1.png")
    monkeypatch.setenv("LEPTON_DATA_DIR", str(tmp_path))
    assert sorted(DogsAndCats.load().table["label"].to_pylist()) == ["cat", "dog"]


def test_a_data_directory_without_cats_and_dogs_leads_to_drawings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_photos(tmp_path, "fashion-mnist/1.png", "cats/1.png")
    monkeypatch.setenv("LEPTON_DATA_DIR", str(tmp_path))
    assert len(DogsAndCats.split(size=32, train=4, test=2)[0]) == 4


@pytest.mark.parametrize("names", [(), ("cats/1.png",), ("birds/1.png", "dogs/1.png")])
def test_a_root_without_both_is_refused_with_the_layouts(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(NotFound, match="both cats and dogs") as caught:
        DogsAndCats.split(put_photos(tmp_path, *names))
    assert "PetImages/Cat" in caught.value.fix


def test_photos_that_are_all_broken_are_told_so(tmp_path: Path) -> None:
    for name in ("cats/1.png", "dogs/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(NotFound, match="both cats and dogs"):
        DogsAndCats.load(tmp_path)
