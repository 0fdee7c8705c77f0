"""Variants of real models: what each method gains and loses here. One table a model, everything measured in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lepton_ai as la
from benchmarks.optimisation import minilm
from benchmarks.report import Report
from examples.efficientnet_lite0 import LabelledPhoto, photos, write_package
from lepton_ai.datasets import ChineseReviews, Churn, Dataset, Digits, FashionMNIST, SpokenDigits, read_folder
from lepton_ai.models import CNN, MLP, KeywordSpotter, TextClassifier
from lepton_ai.optimize import Optimisation
from lepton_ai.optimize.report.table import TITLES, rows_of
from lepton_ai.package import Package

_CROPS_OF_A_PHOTO = 60
_BUDGET_S = 600.0
_CLOTHES = 20_000
_QUIET: dict[str, Any] = {"progress": False, "doctor": False}
_NOTE = (
    "Time of one row on one thread, in processor time, in turn with the original; intervals of 95 %. Loss in points of "
    "the metric against right answers where there are any, else against the original's; {rows} rows, none of "
    "which was calibrated or trained with. {notes}"
)


def measure(models: Sequence[str] = (), *, budget_s: float = _BUDGET_S) -> list[Report]:
    """A table for each model, of some only if their titles are given; of MiniLM where its weights are installed."""
    reports = []
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        for title, make in MODELS.items():
            if (models and title not in models) or (make is _sentences and not minilm.is_installed()):
                continue
            folder = Path(place) / title.split()[0].strip(",")
            package, train, data = make(folder)
            found = la.optimise(package, data, train=train, out=folder / "variants", budget_s=budget_s)
            reports.append(_report(title, found))
    return reports


def _photos(folder: Path) -> tuple[Package, Dataset, Dataset]:
    """The network with real weights; crops of ten real photos to calibrate with, of ten others to judge by."""
    package = Package.read(write_package(folder / "package"))
    return package, _crops(folder / "train", photos()[::2]), _crops(folder / "judged", photos()[1::2])


def _crops(folder: Path, chosen: Sequence[LabelledPhoto]) -> Dataset:
    """Crops of all sizes, half of them mirrored, in a folder for each class."""
    generator = np.random.default_rng(0)
    for photo in chosen:
        with Image.open(photo.path) as opened:
            picture = opened.convert("RGB")
        of_class = folder / photo.label
        of_class.mkdir(parents=True, exist_ok=True)
        for index in range(_CROPS_OF_A_PHOTO):
            _crop(picture, generator).save(of_class / f"{photo.path.stem}-{index}.jpg", quality=92)
    return read_folder(folder)


def _crop(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    width, height = (round(side * generator.uniform(0.5, 1.0)) for side in picture.size)
    left, top = (int(generator.integers(0, s - p + 1)) for s, p in zip(picture.size, (width, height), strict=True))
    cut = picture.crop((left, top, left + width, top + height))
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.random() < 0.5 else cut


def _digits(folder: Path) -> tuple[Package, Dataset, Dataset]:
    train, judged = Digits.split()
    model = CNN((28, 28, 1), 10)
    model.fit(train, epochs=6, schedule="one_cycle", **_QUIET)
    return model.package(folder / "package", name="digits"), train, judged


def _churn(folder: Path) -> tuple[Package, Dataset, Dataset]:
    train, judged = Churn.split()
    model = MLP()
    model.fit(train, epochs=10, **_QUIET)
    return model.package(folder / "package", name="churn"), train, judged


def _clothes(folder: Path) -> tuple[Package, Dataset, Dataset]:
    train, judged = FashionMNIST.split()
    train = train.shuffle()[:_CLOTHES]
    model = CNN((28, 28, 1), 10)
    model.fit(train, epochs=4, batch_size=64, schedule="one_cycle", **_QUIET)
    return model.package(folder / "package", name="clothes"), train, judged


def _reviews(folder: Path) -> tuple[Package, Dataset, Dataset]:
    train, judged = ChineseReviews.split()
    model = TextClassifier("cnn", level="char")
    model.fit(train, epochs=4, **_QUIET)
    return model.package(folder / "package", name="reviews"), train, judged


def _words(folder: Path) -> tuple[Package, Dataset, Dataset]:
    train, judged = SpokenDigits.split(count=4000, test="voices")
    model = KeywordSpotter()
    model.fit(train, epochs=12, **_QUIET)
    return model.package(folder / "package", name="words"), train, judged


def _sentences(folder: Path) -> tuple[Package, Dataset, Dataset]:
    """Real weights; nobody says what is right, so its vectors are held against the original's."""
    rows = minilm.sentences().shuffle()
    half = len(rows) // 2
    return minilm.write_package(folder / "package"), rows[:half], rows[half:]


MODELS: dict[str, Callable[[Path], tuple[Package, Dataset, Dataset]]] = {
    "EfficientNet-lite0, crops of photos": _photos,
    "digits, the SDK's CNN": _digits,
    "clothes (Fashion-MNIST), the SDK's CNN": _clothes,
    "churn, the SDK's MLP": _churn,
    "Chinese reviews, the SDK's TextClassifier": _reviews,
    "spoken digits, the SDK's KeywordSpotter": _words,
    "sentences, MiniLM-L6": _sentences,
}


def _report(title: str, found: Optimisation) -> Report:
    rows = next(trial.measured.accuracy.rows for trial in found.trials if trial.measured is not None)
    return Report(title, TITLES, rows_of(found), _NOTE.format(rows=rows, notes=" ".join(found.notes)))
