"""A forecaster: from the last values of one or several series to the next ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.datasets import Dataset
from lepton_ai.datasets.arrow.foreign import is_frame
from lepton_ai.datasets.augment.compose import Wanted
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models.answers import Evaluation
from lepton_ai.models.data import as_dataset
from lepton_ai.models.fitting.habits import EVALUATE, FIT, PREDICT, taking
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import fit_pipeline
from lepton_ai.models.recurrent import moments_of
from lepton_ai.models.windows import PAST, Series, SeriesData, series_of, steps_of
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import Array
from lepton_ai.training.forecasts import Forecast
from lepton_ai.training.history import History
from lepton_ai.training.tasks import Task


class Forecaster(Model):
    """Forecasts the next `horizon` values of series from the last `window` ones.

    The data set holds one step in time a row; columns of numbers are series. All are forecast, or only the target where
    there is one; groups (a column in that role) are never mixed. Validation is on the latest steps. `predict` takes the
    last values, an array [steps, series] with at least `window` steps, as they are: scaling is a part of the network.

    The network adds to the last value what a linear layer (NLinear: Zeng et al. 2023) and a small network beside it
    make of how the values of the window differ from it.
    """

    def __init__(
        self, window: int = 48, horizon: int = 12, *, hidden: int = 128, dropout: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__(window=window, horizon=horizon, hidden=hidden, dropout=dropout, seed=seed)
        self._window, self._horizon = window, horizon
        self._names: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self._moments: tuple[Array, Array] | None = None

    @taking(FIT)
    def fit(
        self,
        data: SeriesData,
        targets: None = None,
        *,
        validation: SeriesData | float | None = 0.1,
        augment: Wanted = None,
        **settings: Any,
    ) -> History:
        """Train on series; the latest share `validation` of the steps is put aside. See `Model.fit`."""
        _check_no_targets(targets)
        series = self._series(data)
        self._names = series.inputs, series.forecast
        judge: Dataset | None = None
        if isinstance(validation, float | int):
            series, later = series.split(float(validation), past=self._window)
            judge = later.windows(self._window, self._horizon)
        elif validation is not None:
            judge = self._windows(validation)
        windows = series.windows(self._window, self._horizon)
        return super().fit(windows, validation=judge, augment=augment, **settings)

    @taking(EVALUATE)
    def evaluate(self, data: SeriesData, targets: None = None, *, batch_size: int = 256) -> Evaluation:
        """Loss and mean absolute error over all windows; `.metrics` compares with the naive forecast."""
        _check_no_targets(targets)
        self._trained()
        return super().evaluate(self._windows(data), batch_size=batch_size)

    @taking(PREDICT)
    def predict(self, inputs: Any, *, top_k: int = 0) -> Any:
        """The forecast from the last values, see `Model.predict`; several for a list of arrays.

        A table with the columns that were learned from, or a series of pandas or Polars, is one example; with groups a
        table holds as many.
        """
        if isinstance(self.task, Forecast) and _is_of_steps(inputs):
            data = as_dataset(inputs)
            parts = steps_of(data, self.task.inputs)
            inputs = parts if data.schema.with_role("group") is not None else parts[0]
        elif hasattr(inputs, "to_numpy"):
            inputs = inputs.to_numpy()
        return super().predict(inputs, top_k=top_k)

    def prepare(self, data: Dataset) -> Pipeline:
        column = data.schema[PAST]
        self._moments = moments_of(data, column)
        step = {
            "op": "sequence",
            "length": self._window,
            "least": self._window,
            "keep": "last",
            "features": len(self._moments[0]),
            "output": "steps",
        }
        return fit_pipeline([column], [step], data)

    def define_task(self, data: Dataset) -> Task:
        return Forecast.of(data, *self._names)

    def build_network(self) -> ForecastNetwork:
        if self.pipeline is None or not isinstance(self.task, Forecast):
            raise FailedPrecondition(
                "The network's size depends on the series.", reason="NOT_TRAINED", fix="Call fit first."
            )
        features = len(self.task.inputs)
        moments = self._moments or (np.zeros(features), np.ones(features))  # the weights of a file bring theirs
        return ForecastNetwork(self._window, self._horizon, self.task, moments, self._body)

    def _body(self, inputs: int, outputs: int) -> nn.Module:
        hidden, dropout = self.config["hidden"], self.config["dropout"]
        last = nn.Linear(hidden, outputs)
        nn.init.zeros_(last.weight)  # training begins at the naive forecast
        nn.init.zeros_(last.bias)
        return nn.Sequential(
            nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.GELU(), last
        )

    def _windows(self, data: SeriesData) -> Dataset:
        return self._series(data).windows(self._window, self._horizon)

    def _series(self, data: SeriesData) -> Series:
        series = series_of(data)
        if isinstance(self.task, Forecast) and (series.inputs, series.forecast) != (self.task.inputs, self.task.series):
            raise InvalidInput(
                f"The model was trained on the series {', '.join(self.task.inputs)} to forecast "
                f"{', '.join(self.task.series)}; here these are {', '.join(series.inputs)} and "
                f"{', '.join(series.forecast)}.",
                reason="WRONG_COLUMNS",
                fix="Give the same columns in the same order and roles.",
            )
        return series


class ForecastNetwork(nn.Module):
    """float32 [N, window, inputs] → float32 [N, horizon, series], both in the series' own units."""

    mean: Tensor
    std: Tensor
    change: Tensor
    places: Tensor

    def __init__(
        self,
        window: int,
        horizon: int,
        task: Forecast,
        moments: tuple[Array, Array],
        make_body: Callable[[int, int], nn.Module],
    ) -> None:
        super().__init__()
        self.horizon, self.series = horizon, len(task.series)
        self.register_buffer("mean", torch.tensor(moments[0], dtype=torch.float32))
        self.register_buffer("std", torch.tensor(moments[1], dtype=torch.float32))
        self.register_buffer("change", torch.tensor(task.std, dtype=torch.float32))
        self.register_buffer("places", torch.tensor([task.inputs.index(name) for name in task.series]))
        self.linear = nn.Linear(window, horizon)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        inputs = len(moments[0])
        self.body = make_body((window + 1) * inputs, horizon * self.series)

    def forward(self, past: Tensor) -> Tensor:
        last = past[:, -1:]
        differences = past - last
        own = differences.index_select(2, self.places) / self.change
        seen = torch.cat([differences / self.std, (last - self.mean) / self.std], dim=1).flatten(1)
        bent = self.body(seen).view(-1, self.horizon, self.series)
        straight = self.linear(own.transpose(1, 2)).transpose(1, 2)
        answer: Tensor = last.index_select(2, self.places) + (straight + bent) * self.change
        return answer


def _is_of_steps(inputs: object) -> bool:
    """Whether this is a table with a step in time a row, and not one of windows."""
    return is_frame(inputs) or (isinstance(inputs, Dataset) and PAST not in inputs.schema.names)


def _check_no_targets(targets: object) -> None:
    if targets is not None:
        raise InvalidInput.of_field(
            "targets", "do not go with a Forecaster: the series themselves are", fix="Give the series alone."
        )
