"""What forecasters learn: the next values of series, judged beside the forecast that nothing changes."""

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
from lepton_ai.training.tasks import NUMBER_LOSSES, Outputs, Task

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

LAST = "last"
"""The column with each series' last known value."""


class Forecast(Task):
    """The next values of one or several series; the network answers forecast [N, horizon, series] in their own units.

    `std` holds for every series how much it changes within the horizon, so that all count alike in the loss. Metrics
    are over all series and steps: "mae", "rmse", the same of the naive forecast that repeats the last value
    ("naive_mae", "naive_rmse"), and "skill", by what share the mean absolute error is below the naive one.
    """

    name = "forecast"
    outputs = ("forecast",)
    main_metric = "mae"
    losses = NUMBER_LOSSES

    def __init__(self, inputs: Sequence[str], series: Sequence[str], std: Sequence[float]) -> None:
        self.inputs = tuple(inputs)
        """The series that the network sees."""
        self.series = tuple(series)
        """Those of them that it forecasts."""
        self.std = tuple(std)

    @classmethod
    def of(cls, data: Dataset, inputs: Sequence[str], series: Sequence[str]) -> Forecast:
        """The task of forecasting windows that `lepton_ai.models.windows` made."""
        future, last = _targets(data)
        change = np.sqrt(
            np.square(future.astype(np.float64) - last.astype(np.float64)[:, np.newaxis]).mean(axis=(0, 1))
        )
        return cls(inputs, series, [float(value) or 1.0 for value in change])

    def targets(self, data: Dataset) -> dict[str, Array]:
        future, last = _targets(data)
        return {"forecast": future, LAST: last}

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        target = batch.targets["forecast"]
        std = torch.tensor(self.std, dtype=target.dtype, device=target.device)
        return torch.nn.functional.smooth_l1_loss(outputs["forecast"] / std, target / std)

    def metrics(self) -> dict[str, torchmetrics.Metric]:
        return {
            "mae": torchmetrics.MeanAbsoluteError(),
            "rmse": torchmetrics.MeanSquaredError(squared=False),
            "naive_mae": torchmetrics.MeanAbsoluteError(),
            "naive_rmse": torchmetrics.MeanSquaredError(squared=False),
            "skill": Skill(),
        }

    def update(self, metrics: Mapping[str, torchmetrics.Metric], outputs: Outputs, batch: Batch) -> None:
        forecast, future = outputs["forecast"].contiguous(), batch.targets["forecast"]
        naive = batch.targets[LAST].unsqueeze(1).expand_as(future).contiguous()
        for name in ("mae", "rmse"):
            metrics[name].update(forecast, future)
            metrics[f"naive_{name}"].update(naive, future)
        metrics["skill"].update(forecast, naive, future)

    def postprocess(self) -> tuple[list[dict[str, Any]], dict[str, bytes]] | None:
        return [{"op": "series", "input": "forecast", "names": list(self.series)}], {}

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "inputs": list(self.inputs), "series": list(self.series), "std": list(self.std)}


class Skill(torchmetrics.Metric):
    """1 − mean absolute error / that of another forecast: 1 is perfect, 0 as good as the other, below 0 worse.

    NaN where the other forecast is perfect.
    """

    error: Tensor
    other_error: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("error", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("other_error", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, forecast: Tensor, other: Tensor, target: Tensor) -> None:
        """Count a batch."""
        self.error += (forecast - target).abs().sum(dtype=torch.float64)
        self.other_error += (other - target).abs().sum(dtype=torch.float64)

    def compute(self) -> Tensor:
        """The figure over all batches."""
        return 1 - self.error / self.other_error


def _targets(data: Dataset) -> tuple[Array, Array]:
    """[rows, horizon, series] and [rows, series] of a data set of windows."""
    target = data.schema.target
    if target is None or target.kind != "tensor" or LAST not in data.schema:
        raise InvalidInput(
            "The data set is not one of windows over series.", fix="Give Forecaster the series themselves."
        )
    future = np.asarray(data.target_values(), dtype=np.float32)
    last = np.stack([np.asarray(row[LAST], dtype=np.float32) for row in data.rows([LAST])])
    return future, last
