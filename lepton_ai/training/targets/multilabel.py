"""Several labels a row, each there or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchmetrics
from torch import Tensor
from torchmetrics import classification as multilabel

from lepton_ai.datasets.batch import Batch
from lepton_ai.datasets.labels import LabelRows, label_rows
from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import Array
from lepton_ai.training.targets.weights import mean_over_rows
from lepton_ai.training.tasks import Outputs, Task

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset


THRESHOLD = 0.5
"""Of labels that have none of their own."""


class MultiLabel(Task):
    """Which of several labels every row has, any number of them; the network answers logits [N, labels].

    A row has a label whose score reaches its threshold, which `thresholds` gives by the label's name.
    Metrics are "f1" over the labels, "accuracy", by what share single labels are right, and "exact", the share of rows
    of which all are.
    """

    name = "multilabel"
    outputs = ("logits",)
    main_metric = "f1"
    score = "exact"
    higher_is_better = True
    losses = ("binary_cross_entropy",)
    heeds_weights = True

    def __init__(self, classes: Sequence[str], thresholds: Mapping[str, float] | None = None) -> None:
        self.classes = tuple(classes)
        self.thresholds = dict(thresholds or {})

    @classmethod
    def of(cls, data: Dataset) -> MultiLabel:
        """The labels of a data set's target: one number 0 or 1 a label, or lists of labels. Raises InvalidInput."""
        labels = label_rows(data).names
        if len(labels) < 2:
            raise InvalidInput(
                f"There {'is one label' if labels else 'are no labels'} in all rows.",
                reason="ONE_CLASS",
                fix="Learn a single label as two classes: a target of 0 and 1.",
            )
        return cls(labels)

    @property
    def width(self) -> int:
        """How many numbers the network answers a row."""
        return len(self.classes)

    def targets(self, data: Dataset) -> dict[str, Array]:
        found: LabelRows = label_rows(data)
        strange = next((name for name in found.names if name not in self.classes), None)
        if strange is not None:
            raise InvalidInput(
                f"There are rows with the label {strange!r}, which the model does not know.",
                reason="UNKNOWN_CLASS",
                fix=f"It knows {', '.join(self.classes[:20])}.",
            )
        present = np.zeros((len(found.present), self.width), dtype=np.float32)
        present[:, [self.classes.index(name) for name in found.names]] = found.present
        return {"labels": present}

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            outputs["logits"], batch.targets["labels"], reduction="none"
        )
        return mean_over_rows(losses, batch)

    def scores(self, outputs: Outputs) -> Tensor | None:
        return outputs["logits"].sigmoid()

    def metrics(self) -> dict[str, torchmetrics.Metric]:
        return {
            "f1": multilabel.MultilabelF1Score(self.width, average="macro"),
            "accuracy": multilabel.MultilabelAccuracy(self.width, average="micro"),
            "exact": multilabel.MultilabelExactMatch(self.width),
        }

    def update(self, metrics: Mapping[str, torchmetrics.Metric], outputs: Outputs, batch: Batch) -> None:
        limits = [self.thresholds.get(name, THRESHOLD) for name in self.classes]
        scores = outputs["logits"].sigmoid()
        said = (scores >= torch.tensor(limits, dtype=torch.float64, device=scores.device)).long()
        for metric in metrics.values():
            metric.update(said, batch.targets["labels"].long())

    def postprocess(self) -> tuple[list[dict[str, Any]], dict[str, bytes]] | None:
        own = {name: limit for name, limit in self.thresholds.items() if limit != THRESHOLD}
        steps: list[dict[str, Any]] = [
            {"op": "sigmoid", "input": "logits"},
            {"op": "multilabel", "labels": "labels.txt", **({"thresholds": own} if own else {})},
        ]
        return steps, {"labels.txt": ("\n".join(self.classes) + "\n").encode()}

    def document(self) -> dict[str, Any]:
        own = {"thresholds": self.thresholds} if self.thresholds else {}
        return {"name": self.name, "classes": list(self.classes), **own}
