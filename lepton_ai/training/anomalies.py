"""The task of telling what is unlike the rest, learned from rows that are as they should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torchmetrics
from torch import Tensor

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import Array
from lepton_ai.training.tasks import Outputs, Task, class_name

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

VERDICTS = ("normal", "anomaly")


class AnomalyDetection(Task):
    """Scores that are small for what is normal; the network answers score [N, 1] and verdict [N, 2], see `VERDICTS`.

    `normal` names the class of the target column that is normal; figures of merit need it, learning does not.
    """

    name = "anomaly_detection"
    outputs = ("score", "verdict")
    main_metric = "loss"

    def __init__(self, normal: str | None = None) -> None:
        self.normal = normal
        if normal is not None:
            self.main_metric, self.higher_is_better = "auc", True

    def targets(self, data: Dataset) -> dict[str, Array]:
        if self.normal is None:
            return {}
        return {"anomaly": (~is_normal(data, self.normal)).astype(np.int64)}

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return outputs["score"].mean()

    def metrics(self) -> dict[str, torchmetrics.Metric]:
        if self.normal is None:
            return {}
        return {"auc": torchmetrics.AUROC(task="binary"), "f1": torchmetrics.F1Score(task="binary")}

    def update(self, metrics: Mapping[str, torchmetrics.Metric], outputs: Outputs, batch: Batch) -> None:
        for name, metric in metrics.items():
            # Ranks are all that counts; torchmetrics takes scores beyond 1 for logits and squeezes them together.
            verdict = outputs["verdict"][:, 1]
            metric.update(verdict if name == "auc" else (verdict > 0.5).long(), batch.targets["anomaly"])

    def scores(self, outputs: Outputs) -> Tensor | None:
        return outputs["verdict"]

    def postprocess(self) -> tuple[list[dict[str, Any]], dict[str, bytes]] | None:
        steps = [{"op": "classify", "input": "verdict", "labels": "labels.txt", "top_k": 2}]
        return steps, {"labels.txt": ("\n".join(VERDICTS) + "\n").encode()}

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "normal": self.normal}


def is_normal(data: Dataset, normal: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows are of the class that is normal. Raises InvalidInput when there is no such target or class."""
    target = data.schema.target
    if target is None:
        raise InvalidInput(
            f"The data set has no target column that could say which rows are {normal!r}.",
            reason="NO_TARGET",
            fix="Leave `normal` out of the Autoencoder, or name the column: data.schema.with_roles(NAME='target').",
        )
    values, places = data.distinct_targets()
    are_normal = np.array([class_name(value) == normal for value in values], dtype=np.bool_)
    mask: np.ndarray[Any, np.dtype[np.bool_]] = are_normal[places]
    if len(data) and not mask.any():
        raise InvalidInput(
            f"No row is of class {normal!r}, which `normal` names.",
            reason="NO_NORMAL_ROWS",
            fix=f"The classes of {target.name} are {', '.join(target.categories[:20])}.",
        )
    return mask
