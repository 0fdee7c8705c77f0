"""Recommenders: which rating someone will give something, or what someone will take next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from lepton_ai.datasets import Dataset
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models.answers import Evaluation
from lepton_ai.models.data import Data, as_dataset
from lepton_ai.models.fitting.habits import EVALUATE, taking
from lepton_ai.models.model import Model
from lepton_ai.models.recommend_network import Matcher, RankingNetwork, RatingNetwork
from lepton_ai.pipeline import Pipeline
from lepton_ai.postprocessing import Label
from lepton_ai.training.evaluation import evaluate
from lepton_ai.training.history import History
from lepton_ai.training.loop import Material
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.ratings import Ranking, Rating
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Task, class_name

_USERS, _ITEMS = "users.txt", "items.txt"
_MAX_SEEN_CELLS = 64 << 20
_HIGHEST_RATED = 10
_RATING_NAMES = ("rating", "ratings", "stars", "score", "评分", "打分", "星级", "分数")
"""Columns that hold ratings where the data set names no target, in this order; case does not matter."""


class Recommender(Model):
    """Learns from (user, item) rows: with objective "rating" the number in the target column, with "ranking" the item.

    Without a target column, ratings are those of the column `rating`, `stars`, `score`, 评分 or the like.
    `kind` "factors" is matrix factorisation with biases (Koren et al. 2009); "two_tower" puts layers over both vectors,
    and for "ranking" makes the user's of what that user took so far. Users and items are columns found under the names
    `user` and `item`; other columns are not looked at. Someone unknown gets what is right for everybody. Served,
    "rating" takes a user and an item and answers `rating`; "ranking" takes a user and answers the best items as labels,
    with exclude_seen without those that this user took in the training data.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "batch_size": 1024,
        "epochs": 20,
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "weight_decay": 0.1,
    }

    def __init__(  # noqa: PLR0913 - every one is a choice of its own
        self,
        objective: Literal["rating", "ranking"] = "rating",
        *,
        kind: Literal["factors", "two_tower"] = "factors",
        size: int = 32,
        dropout: float = 0.5,
        user: str = "user",
        item: str = "item",
        exclude_seen: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            objective=objective,
            kind=kind,
            size=size,
            dropout=dropout,
            user=user,
            item=item,
            exclude_seen=exclude_seen,
            seed=seed,
        )

    def prepare(self, data: Dataset) -> Pipeline:
        columns = {self.config["user"]: _USERS}
        if self.config["objective"] == "rating":
            columns[self.config["item"]] = _ITEMS
        steps = [
            {"op": "category_index", "input": column, "categories": file, "output": column}
            for column, file in columns.items()
        ]
        files = {file: ("\n".join(names_in(data, column)) + "\n").encode() for column, file in columns.items()}
        return Pipeline.load({"inputs": dict.fromkeys(columns, "category"), "steps": steps}, files)

    def define_task(self, data: Dataset) -> Task:
        items = names_in(data, self.config["item"])
        if self.config["objective"] == "ranking":
            return Ranking(items, column=self.config["item"])
        return Rating.of(with_ratings(data))

    def build_network(self) -> nn.Module:
        if self.pipeline is None or self.task is None:
            raise FailedPrecondition(
                "The network's size depends on the users and items of the data.",
                reason="NOT_TRAINED",
                fix="Call fit first.",
            )
        users, items = len(self._names(_USERS)), len(self.items)
        layers = 2 if self.config["kind"] == "two_tower" else 0
        matcher = Matcher(users, items, size=self.config["size"], layers=layers, dropout=self.config["dropout"])
        if isinstance(self.task, Rating):
            return RatingNetwork(matcher, self.task)
        if users * items > _MAX_SEEN_CELLS and (self.config["exclude_seen"] or layers):
            raise FailedPrecondition(
                f"Who took what of {users} users and {items} items is too much to keep in the model.",
                reason="TOO_MANY_PAIRS",
                fix='Make it with kind="factors" and exclude_seen=False; leave out what was taken where you show it.',
            )
        return RankingNetwork(matcher, users, items, excludes=self.config["exclude_seen"], by_history=bool(layers))

    def _prepared(self, data: Dataset) -> Prepared:
        return super()._prepared(with_ratings(data) if isinstance(self.task, Rating) else data)

    @property
    def items(self) -> tuple[str, ...]:
        """All items that were there to learn from."""
        if isinstance(self.task, Ranking):
            return self.task.items
        return self._names(_ITEMS)

    def train(self, material: Material, settings: FitSettings) -> History:
        network = self.network
        if isinstance(network, RankingNetwork):
            users = torch.from_numpy(material.train.inputs[self.config["user"]])[:, 0]
            network.note(users, torch.from_numpy(material.train.targets["item"]))
        return super().train(material, settings)

    @taking(EVALUATE)
    def evaluate(self, data: Data, targets: Any = None, *, batch_size: int = 256) -> Evaluation:
        """As every model; for "ranking" also "popularity_hit_rate": that of recommending what most people took."""
        _, task = self._trained()
        rows = self._prepared(as_dataset(data, targets))
        figures = evaluate(self.network, task, rows, batch_size=batch_size)
        if isinstance(self.network, RankingNetwork):
            popular = evaluate(self.network.by_popularity(), task, rows, batch_size=batch_size)
            figures["popularity_hit_rate"] = popular["hit_rate"]
        return Evaluation(figures, main_metric=task.main_metric)

    def report(self, path: Path | str, data: Data | None = None) -> Path:
        """As every model."""
        rows = self._held_out if data is None else as_dataset(data)
        return super().report(path, with_ratings(rows) if rows is not None and isinstance(self.task, Rating) else rows)

    def recommend(self, user: str, n: int = _HIGHEST_RATED) -> list[Label]:
        """The `n` items that suit a user best, best first: with the expected rating, or a probability, as score.

        Items of the training data that this user took are left out when the model was made with exclude_seen and
        objective "ranking". Someone unknown gets what suits everybody.
        """
        pipeline, _ = self._trained()
        if isinstance(self.network, RankingNetwork):
            answer = self.predict({self.config["user"]: user}, top_k=n)
            return list(answer.labels)
        row = pipeline.run({self.config["user"]: user, self.config["item"]: self.items[0]})
        users = torch.from_numpy(row.tensors[self.config["user"]])[None].expand(len(self.items), 1)
        with torch.inference_mode():
            ratings = self.network(users, torch.arange(1, len(self.items) + 1)[:, None])[:, 0]
        best = ratings.topk(min(n, len(self.items)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [Label(index, self.items[index], score) for index, score in pairs]

    def _names(self, file: str) -> tuple[str, ...]:
        pipeline, _ = self._trained()
        return tuple(pipeline.to_proto().files[file].decode().removesuffix("\n").split("\n"))


def with_ratings(data: Dataset) -> Dataset:
    """The data with its ratings as the target. Raises InvalidInput when it has neither a target nor a usual name."""
    if data.schema.target is not None:
        return data
    lowered = {name.strip().lower(): name for name in reversed(data.schema.names)}
    found = next((lowered[name] for name in _RATING_NAMES if name in lowered), None)
    if found is None:
        raise InvalidInput(
            f"There is no column of ratings among {', '.join(data.schema.names)}.",
            reason="NO_TARGET",
            fix='Call it "rating", or data.with_schema(data.schema.with_roles(COLUMN="target")). Rows without ratings '
            'train Recommender("ranking").',
        )
    return data.with_schema(data.schema.with_column(replace(data.schema[found], role="target", kind="number")))


def names_in(data: Dataset, column: str) -> tuple[str, ...]:
    """The users or items that a column names, sorted. Raises InvalidInput for gaps and odd names."""
    if column not in data.schema:
        raise InvalidInput(
            f"A Recommender needs a column of users and one of items; there is no {column!r}.",
            reason="WRONG_COLUMNS",
            fix=f'Name it: Recommender(user="…", item="…"). There are {", ".join(data.schema.names)}.',
        )
    names = {class_name(row[column]) for row in data.rows([column])}
    for name in names:
        if not name or name != name.strip() or "\n" in name:
            found = "is missing in some row" if name is None else "holds a name that is empty or has odd white space"
            raise InvalidInput.of_field(column, found, fix="Drop such rows with data.filter(...).")
    return tuple(sorted(str(name) for name in names))
