"""What recommenders learn: which rating someone gives something, or what someone takes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchmetrics
from torch import Tensor

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import Array
from lepton_ai.training.targets.weights import mean_over_rows
from lepton_ai.training.tasks import Outputs, Regression, Task, class_name

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

TOP = 10
"""How many recommendations the hit rate looks at."""
UNKNOWN_ITEM = -1
NEVER = -1e4
"""The score of what is not recommended; softmax makes 0 of it."""


class Rating(Regression):
    """A number for a pair of user and item; the network answers rating [N, 1] within the range that was seen."""

    name = "rating"
    outputs = ("rating",)
    main_metric = "rmse"
    mean: float
    std: float

    def __init__(self, mean: float, std: float, least: float, greatest: float) -> None:
        super().__init__(mean, std)
        self.least, self.greatest = least, greatest

    @classmethod
    def of(cls, data: Dataset) -> Rating:
        known = Regression.of(data)
        values = np.asarray(data.target_values(), dtype=np.float64)
        if not isinstance(known.mean, float) or not isinstance(known.std, float):
            raise InvalidInput(f"The target has {known.width} numbers a row.", fix="Give one rating a row.")
        return cls(known.mean, known.std, float(values.min()), float(values.max()))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        losses = torch.nn.functional.mse_loss(outputs["rating"], batch.targets["values"], reduction="none")
        return mean_over_rows(losses, batch)

    def postprocess(self) -> tuple[list[dict[str, Any]], dict[str, bytes]] | None:
        return [{"op": "numbers", "input": "rating", "names": ["rating"]}], {}

    def document(self) -> dict[str, Any]:
        return {**super().document(), "least": self.least, "greatest": self.greatest}


class Ranking(Task):
    """The item that a user takes next, out of all: the network answers scores [N, items].

    Every row counts as something that was taken; ratings are not looked at. An item that was not there to learn from is
    never recommended: such rows are misses, and have no part in the loss. The same goes for what someone takes again,
    in data that was not learnt from, when a network leaves out what was seen.
    """

    name = "ranking"
    outputs = ("scores",)
    main_metric = "hit_rate"
    higher_is_better = True

    def __init__(self, items: Sequence[str], *, column: str) -> None:
        self.items = tuple(items)
        self.column = column

    def targets(self, data: Dataset) -> dict[str, Array]:
        known = {name: index for index, name in enumerate(self.items)}
        items = [known.get(class_name(row[self.column]) or "", UNKNOWN_ITEM) for row in data.rows([self.column])]
        return {"item": np.array(items, dtype=np.int64)}

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        items, scores = batch.targets["item"], outputs["scores"]
        own = scores.gather(1, items.clamp(min=0)[:, None])[:, 0]
        items = items.where(own > NEVER / 2, UNKNOWN_ITEM)  # half: 16 bits round it
        total = torch.nn.functional.cross_entropy(scores, items, ignore_index=UNKNOWN_ITEM, reduction="sum")
        return total / (items != UNKNOWN_ITEM).sum().clamp(min=1)

    def metrics(self) -> dict[str, torchmetrics.Metric]:
        return {"hit_rate": HitRate()}

    def update(self, metrics: Mapping[str, torchmetrics.Metric], outputs: Outputs, batch: Batch) -> None:
        metrics["hit_rate"].update(hits(outputs["scores"], batch.targets["item"]))

    def scores(self, outputs: Outputs) -> Tensor | None:
        return outputs["scores"].softmax(dim=1)

    def postprocess(self) -> tuple[list[dict[str, Any]], dict[str, bytes]] | None:
        steps: list[dict[str, Any]] = [
            {"op": "softmax", "input": "scores"},
            {"op": "classify", "labels": "items.txt", "top_k": min(TOP, len(self.items))},
        ]
        return steps, {"items.txt": ("\n".join(self.items) + "\n").encode()}

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "items": list(self.items), "column": self.column}


class HitRate(torchmetrics.MeanMetric):
    """A mean of hits. torchmetrics does not know of a mean whether it should be great."""

    higher_is_better = True  # type: ignore[assignment] # torchmetrics reads it, and declares None


def hits(scores: Tensor, items: Tensor) -> Tensor:
    """For every row 1 when its item is among the `TOP` best, else 0."""
    best = scores.topk(min(TOP, scores.shape[1]), dim=1).indices
    return (best == items[:, None]).any(dim=1).float()
