"""What all ready sets have in common: they say what they hold, where it is from and under which licence."""

from __future__ import annotations

import textwrap

import pyarrow as pa

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.schema import Schema


class ReadySet(type):
    """The type of the ready sets: printing one, `print(Digits)`, tells what it is."""

    description: str
    """What the rows are, and what was done to them."""
    source: str
    """Who made the data, and the package that it is read from."""
    license: str
    """The terms of the data."""

    def __str__(cls) -> str:
        told = {"source": cls.source, "licence": cls.license}
        lines = [f"{cls.__name__}: {cls.description}", *(f"{name}: {text}" for name, text in told.items())]
        return "\n".join(textwrap.fill(line, width=100, subsequent_indent="  ") for line in lines)


def as_dataset(ready: ReadySet, columns: dict[str, pa.Array], schema: Schema, *, part: str = "") -> Dataset:
    """The rows of a ready set as a data set that knows its name and source; `part` is "train" or the like."""
    name = f"{ready.__name__} {part}".rstrip()
    return Dataset(pa.table(columns), schema, name=name, lineage=Lineage(source=f"{name}: {ready.source}"))
