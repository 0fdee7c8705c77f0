"""What a network is trained for: targets in a data set, loss, figures of merit, and its answers in serving."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torchmetrics
from torch import Tensor

from lepton_ai.datasets.batch import Batch
from lepton_ai.datasets.labels import one_hot_as_classes
from lepton_ai.datasets.memory import UNNAMED_TARGET
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.pipeline.values import one_form
from lepton_ai.tensors import Array
from lepton_ai.training.targets.figures import RSquared
from lepton_ai.training.targets.weights import mean_over_rows

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

Outputs = Mapping[str, Tensor]
"""What a network answers, by name."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""A loss of (output, target), as torch.nn has them: one number, or one a row."""
NUMBER_LOSSES = ("mse", "mae", "huber", "smooth_l1", "log_cosh")


class Task(ABC):
    """One purpose of training. Holds what it learned about the targets; that is saved with the model."""

    name: ClassVar[str]
    outputs: tuple[str, ...]
    """Names of what the network answers, in order."""
    main_metric: str
    """The metric that `evaluate` gives beside the loss; "loss" when there is none better."""
    higher_is_better: bool = False
    has_falling_loss: ClassVar[bool] = True
    """Whether a good run makes the loss smaller; rivals do not."""
    losses: ClassVar[tuple[str, ...]] = ()
    """Other losses by name that suit its targets, the one most like its own first; see `training.losses`."""
    heeds_weights: ClassVar[bool] = False
    """Whether its loss weighs rows."""
    score: ClassVar[str] = ""
    """The metric that says how good a model is from 1 (perfect) downwards, if there is one."""

    @abstractmethod
    def targets(self, data: Dataset) -> dict[str, Array]:
        """What should come out for each row. Raises InvalidInput for targets that cannot be learned from."""

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """One number to make small."""

    def metrics(self) -> dict[str, torchmetrics.Metric]:
        """Fresh counters for one pass over a data set."""
        return {}

    def update(self, metrics: Mapping[str, torchmetrics.Metric], outputs: Outputs, batch: Batch) -> None:
        """Count a batch in what `metrics` made."""
        for metric in metrics.values():
            metric.update(outputs[self.outputs[0]].contiguous(), next(iter(batch.targets.values())))

    def postprocess(self) -> tuple[list[dict[str, Any]], dict[str, bytes]] | None:
        """Steps that make labels of the outputs in serving, with the files that they name; None when there are none."""
        return None

    def scores(self, outputs: Outputs) -> Tensor | None:
        """A score for every class or label in their order, [N, classes]; None when there are none."""
        return None

    def document(self) -> dict[str, Any]:
        """What `from_document` needs, as JSON data."""
        return {"name": self.name}


_MISSING, _UNKNOWN = -1, -2
_FP32_STEP = 2.0**-24
_MOST_LOST = 0.01
"""Of the deviation of targets."""


class Classification(Task):
    """One class out of several for every row; the network answers logits [N, classes]."""

    name = "classification"
    outputs = ("logits",)
    main_metric = score = "accuracy"
    higher_is_better = True
    losses = ("cross_entropy", "focal")
    heeds_weights = True

    def __init__(self, classes: tuple[str, ...], *, label_smoothing: float = 0.0) -> None:
        if len(classes) < 2:
            found = f"only {classes[0]!r}" if classes else "none"
            raise InvalidInput(
                f"A classifier needs rows of at least two classes, there is {found}.",
                reason="ONE_CLASS",
                fix="Add rows of another class, or train an Autoencoder to find what is unlike them.",
            )
        unfit = next((name for name in classes if not name.strip() or "\n" in name or name.endswith("\r")), None)
        if unfit is not None:
            raise InvalidInput(
                f"{unfit[:64]!r} cannot name a class: it is blank or holds a line break.",
                reason="WRONG_CLASS",
                fix="Rename it in the target column.",
            )
        self.classes = tuple(classes)
        self.label_smoothing = label_smoothing

    @property
    def width(self) -> int:
        """How many numbers the network answers a row."""
        return len(self.classes)

    def targets(self, data: Dataset) -> dict[str, Array]:
        data = one_hot_as_classes(data)
        known = {one_form(name): index for index, name in enumerate(self.classes)}
        values, places = data.distinct_targets()
        names = [class_name(value) for value in values]
        classes = np.array([_MISSING if name is None else known.get(name, _UNKNOWN) for name in names], dtype=np.int64)
        found = classes[places]
        missing, strange = np.flatnonzero(found == _MISSING), np.flatnonzero(found == _UNKNOWN)
        if missing.size:
            raise InvalidInput(
                f"{missing.size} of {len(found)} rows have no label (first: row {missing[0]}).",
                reason="MISSING_LABELS",
                fix="Label them, or drop them with data.clean().",
            )
        if strange.size:
            raise InvalidInput(
                f"Row {strange[0]} is of class {names[places[strange[0]]]!r}, which the model does not know.",
                reason="UNKNOWN_CLASS",
                fix=f"It knows {', '.join(self.classes[:20])}.",
            )
        return {"class": found}

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        losses = torch.nn.functional.cross_entropy(
            outputs["logits"], batch.targets["class"], label_smoothing=self.label_smoothing, reduction="none"
        )
        return mean_over_rows(losses, batch)

    def scores(self, outputs: Outputs) -> Tensor | None:
        return outputs["logits"].softmax(dim=1)

    def metrics(self) -> dict[str, torchmetrics.Metric]:
        count = len(self.classes)
        metrics: dict[str, torchmetrics.Metric] = {
            "accuracy": torchmetrics.Accuracy(task="multiclass", num_classes=count, average="micro"),
            "f1": torchmetrics.F1Score(task="multiclass", num_classes=count, average="macro"),
        }
        return metrics | {"auc": AreaUnderCurve()} if count == 2 else metrics

    def postprocess(self) -> tuple[list[dict[str, Any]], dict[str, bytes]] | None:
        steps: list[dict[str, Any]] = [
            {"op": "softmax", "input": "logits"},
            {"op": "classify", "labels": "labels.txt", "top_k": min(5, len(self.classes))},
        ]
        return steps, {"labels.txt": ("\n".join(self.classes) + "\n").encode()}

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "classes": list(self.classes),
            "label_smoothing": self.label_smoothing,
        }


class AreaUnderCurve(torchmetrics.classification.BinaryAUROC):
    """How likely a row of the second class is ranked above one of the first; NaN when there are rows of one only."""

    def update(self, logits: Tensor, classes: Tensor) -> None:
        """Count a batch of logits [N, 2]."""
        super().update(torch.sigmoid(logits[:, 1] - logits[:, 0]), classes)

    def compute(self) -> Tensor:  # type: ignore[override] # as torchmetrics' own class does
        """The figure over all batches."""
        classes = torchmetrics.utilities.dim_zero_cat(self.target)
        if classes.min() == classes.max():
            return torch.tensor(float("nan"))
        area: Tensor = super().compute()
        return area


class Regression(Task):
    """Numbers for every row; the network answers values [N, targets] in their own units, see `Standardized`.

    With several targets mean and std are those of each; `names` is what they are called, where that is known.
    """

    name = "regression"
    outputs = ("values",)
    main_metric = "mae"
    score = "r2"
    losses = NUMBER_LOSSES
    heeds_weights = True

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float], names: Sequence[str] = ()) -> None:
        self.mean, self.std = mean, std
        self.names = tuple(names)

    @classmethod
    def of(cls, data: Dataset) -> Regression:
        """The task of predicting the target of this data set.

        Raises InvalidInput for targets that are no numbers, and for those that differ only beyond the digits of FP32.
        """
        values = _numbers(data)
        mean, std = values.mean(axis=0), values.std(axis=0)
        lost = np.flatnonzero((np.abs(values).max(axis=0) * _FP32_STEP > _MOST_LOST * std) & (std > 0))
        if lost.size:
            raise InvalidInput(
                f"The targets are about {np.ravel(mean)[lost[0]]:.6g} and differ by {np.ravel(std)[lost[0]]:.3g}, "
                "which FP32 cannot hold.",
                reason="LOST_DIGITS",
                fix="Learn the difference to a fixed number: subtract it from the target column.",
            )
        return cls(mean.tolist(), np.where(std > 0, std, 1.0).tolist(), _target_names(data, several=std.ndim > 0))

    @property
    def width(self) -> int:
        """How many numbers the network answers a row."""
        return np.size(self.mean)

    def targets(self, data: Dataset) -> dict[str, Array]:
        values = _numbers(data)
        values = values.reshape(len(values), -1)
        if values.shape[1] != self.width:
            raise InvalidInput(
                f"The target has {values.shape[1]} numbers a row, the model answers {self.width}.",
                reason="WRONG_SHAPE",
                fix="Give the targets that the model was trained for.",
            )
        return {"values": values.astype(np.float32)}

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        values, target = outputs["values"], batch.targets["values"]
        std = torch.tensor(self.std, dtype=target.dtype, device=target.device)
        return mean_over_rows(torch.nn.functional.mse_loss(values / std, target / std, reduction="none"), batch)

    def metrics(self) -> dict[str, torchmetrics.Metric]:
        return {
            "mae": torchmetrics.MeanAbsoluteError(),
            "rmse": torchmetrics.MeanSquaredError(squared=False),
            "r2": RSquared(self.width),
        }

    def postprocess(self) -> tuple[list[dict[str, Any]], dict[str, bytes]] | None:
        return ([{"op": "numbers", "input": "values", "names": list(self.names)}], {}) if self.names else None

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "mean": self.mean, "std": self.std} | ({"names": self.names} if self.names else {})


class Reconstruction(Task):
    """The network's own input again, so that what it cannot rebuild stands out; it answers an anomaly score a row.

    The network answers `score` [N], the mean squared error of its reconstruction.
    """

    name = "reconstruction"
    outputs = ("score",)
    main_metric = "loss"

    def targets(self, data: Dataset) -> dict[str, Array]:
        return {}

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return outputs["score"].mean()


TASKS: dict[str, type[Task]] = {task.name: task for task in (Classification, Regression, Reconstruction)}
_ELSEWHERE = {
    "anomaly_detection": "lepton_ai.training.anomalies:AnomalyDetection",
    "forecast": "lepton_ai.training.forecasts:Forecast",
    "generation": "lepton_ai.training.generation:Generation",
    "multilabel": "lepton_ai.training.targets.multilabel:MultiLabel",
    "ranking": "lepton_ai.training.ratings:Ranking",
    "rating": "lepton_ai.training.ratings:Rating",
}
"""Tasks of some kinds of models only, in modules of their own."""
_FORMERLY = "class_weights"
"""Always empty in the files that have it."""


def task_from_document(document: Mapping[str, Any]) -> Task:
    """The task that `Task.document` described. Raises InvalidInput for one that this version does not know."""
    settings = {key: value for key, value in document.items() if key not in ("name", _FORMERLY)}
    known = _find(str(document.get("name")))
    if known is None:
        raise InvalidInput("The file names a training task that this version of Lepton does not know.")
    if "classes" in settings:
        settings["classes"] = tuple(settings["classes"])
    return known(**settings)


def _find(name: str) -> type[Task] | None:
    if name not in _ELSEWHERE:
        return TASKS.get(name)
    module, _, class_of_task = _ELSEWHERE[name].partition(":")
    found: type[Task] = getattr(import_module(module), class_of_task)
    return found


def class_name(value: object) -> str | None:
    """A label as the name of a class; None for a missing one."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return one_form(str(value))


def _target_names(data: Dataset, *, several: bool) -> Sequence[str]:
    """What the numbers of the target are called; nothing for those that were given without a name."""
    target = data.schema.target
    if target is None or several:
        return target.categories if target is not None else ()
    return () if target.name == UNNAMED_TARGET else (target.name,)


def _numbers(data: Dataset) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        values = np.asarray(data.target_values(), dtype=np.float64)
    except (TypeError, ValueError):
        raise FailedPrecondition(
            "The target column does not hold numbers.",
            fix='Classify instead, or data.schema.with_kinds(NAME="number").',
        ) from None
    if values.ndim > 2:
        raise InvalidInput(
            f"The target is an array of shape {list(values.shape[1:])} a row.",
            reason="WRONG_SHAPE",
            fix="Give one number a row, or a list of numbers.",
        )
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise InvalidInput(
            f"{int((~np.isfinite(values)).sum())} targets are missing or not finite (first: row {row}).",
            reason="MISSING_LABELS",
            fix="Fill them in, or drop them with data.clean().",
        )
    return values
