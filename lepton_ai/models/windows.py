"""Series in time as examples to learn from: windows of past values, each with the values that came next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from lepton_ai.datasets import Column, Dataset, Schema
from lepton_ai.datasets.arrow.foreign import column_array, is_frame
from lepton_ai.errors import InvalidInput
from lepton_ai.models.data import Data, as_dataset
from lepton_ai.tensors import Array
from lepton_ai.training.forecasts import LAST

_FP32_STEP = 2.0**-24
_MOST_LOST = 0.01
"""Of what a series changes by from step to step."""
PAST, FUTURE = "past", "future"
SeriesData = Data | Array
"""A data set or data frame whose columns of numbers are series, or an array [steps] or [steps, series]."""


@dataclass(frozen=True)
class Series:
    """Columns of numbers in the order of time: of one thing, or of several groups that are not mixed."""

    data: Dataset
    inputs: tuple[str, ...]
    """The series that the network sees."""
    forecast: tuple[str, ...]
    """Those of them that it forecasts."""
    parts: tuple[Array, ...]
    """For every group float64 [steps, inputs]."""

    @classmethod
    def of(cls, data: Dataset) -> Series:
        """The series of a data set: its input and target columns of numbers, the rest being left out.

        With a target that one is forecast, without one all are. Rows are put in the order of the column in the role
        of time where there is one. Raises InvalidInput for columns without numbers and for gaps.
        """
        _check_times(data)
        columns = [each for each in data.schema if each.role in ("input", "target") and each.kind == "number"]
        if not columns:
            raise InvalidInput(
                "There is no column of numbers to forecast.",
                reason="WRONG_COLUMNS",
                fix='Give at least one series: data.schema.with_kinds(NAME="number").',
            )
        names = tuple(each.name for each in columns)
        target = data.schema.target
        values = np.stack([_numbers(data, name) for name in names], axis=1)
        forecast = (target.name,) if target is not None and target.name in names else names
        return cls(data, names, forecast, tuple(values[rows] for rows in _order(data)))

    def split(self, share: float, *, past: int) -> tuple[Series, Series]:
        """The earlier part, and the last `share` of every group, with the `past` steps before it to look back on."""
        cuts = [round(len(part) * (1 - share)) for part in self.parts]
        earlier = tuple(part[:cut] for part, cut in zip(self.parts, cuts, strict=True))
        later = tuple(part[max(0, cut - past) :] for part, cut in zip(self.parts, cuts, strict=True))
        return self._with(earlier), self._with(later)

    def windows(self, past: int, horizon: int) -> Dataset:
        """Every window of `past` steps as a row: "past" [past, inputs], "last" and "future" [horizon, forecast].

        Raises InvalidInput when no group has as many steps.
        """
        self._check_digits()
        chosen = [self.inputs.index(name) for name in self.forecast]
        made = [_windows(part.astype(np.float32), past, horizon) for part in self.parts if len(part) >= past + horizon]
        if not made:
            longest = max((len(part) for part in self.parts), default=0)
            raise InvalidInput(
                f"The series have {longest} steps, {past + horizon} are needed: {past} to look back, {horizon} ahead.",
                reason="SERIES_TOO_SHORT",
                fix="Give more steps, a smaller window or horizon, or validation=None to learn from all steps.",
            )
        before = np.concatenate([each[:, :past] for each in made])
        after = np.concatenate([each[:, past:, chosen] for each in made])
        columns = {PAST: before, LAST: before[:, -1, chosen], FUTURE: after}
        table = pa.table({name: _tensors(array) for name, array in columns.items()})
        schema = Schema((Column(PAST, "tensor"), Column(LAST, "tensor", "ignore"), Column(FUTURE, "tensor", "target")))
        return self.data.derived(table, schema, "windows", {"past": past, "horizon": horizon})

    def _check_digits(self) -> None:
        """Raises InvalidInput for series whose changes are lost in FP32, which forecasts are."""
        for place, name in enumerate(self.inputs):
            changes = [np.diff(part[:, place]) for part in self.parts if len(part) > 1]
            steps = np.concatenate([np.empty(0), *changes])
            largest = max((float(np.abs(part[:, place]).max()) for part in self.parts if len(part)), default=0.0)
            if steps.any() and largest * _FP32_STEP > _MOST_LOST * float(np.abs(steps).mean()):
                raise InvalidInput.of_field(
                    name,
                    f"changes by {np.abs(steps).mean():.3g} a step on average, which FP32 cannot hold at {largest:.6g}",
                    reason="LOST_DIGITS",
                    fix="Subtract an offset, such as the first value, before; or mark the column: role ignore.",
                )

    def _with(self, parts: tuple[Array, ...]) -> Series:
        return Series(self.data, self.inputs, self.forecast, parts)


def series_of(data: SeriesData) -> Series:
    """The series of a data set, or of an array, whose columns get numbers. Raises InvalidInput."""
    if isinstance(data, Dataset | Mapping) or is_frame(data):
        return Series.of(as_dataset(data))
    array = np.asarray(data)
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf":
        raise InvalidInput(f"An array of shape {list(array.shape)} is not series.", fix="Give numbers [steps, series].")
    columns = array.reshape(len(array), -1).T
    table = pa.table({f"series {number}": column for number, column in enumerate(columns)})
    schema = Schema(tuple(Column(name, "number") for name in table.column_names))
    return Series.of(Dataset(table, schema, name="series"))


def steps_of(data: Dataset, names: Sequence[str]) -> list[Array]:
    """For every group the steps [steps, series] of these series, in the order of time: what a forecaster looks back on.

    The only column stands for the only series, whatever its name. Raises InvalidInput for columns that are lacking or
    hold no numbers, and for gaps.
    """
    _check_times(data)
    own = data.schema.names if len(names) == len(data.schema.names) == 1 else names
    strange = next((name for name in own if data.schema[name].kind in ("text", "image", "sound")), None)
    if strange is not None:
        raise InvalidInput.of_field(strange, "holds no numbers", reason="WRONG_COLUMNS")
    values = np.stack([_numbers(data, name) for name in own], axis=1)
    return [values[rows] for rows in _order(data)]


def _check_times(data: Dataset) -> None:
    """Raises InvalidInput when rows cannot be put in order because their dates can be read in two ways."""
    undecided = next((each for each in data.schema if each.kind == "time" and each.date_order == "undecided"), None)
    if undecided is not None and data.schema.with_role("time") is None:
        raise InvalidInput.of_field(
            undecided.name,
            "day and month of its dates cannot be told apart, so the order of the rows is not known",
            reason="DATES_UNDECIDED",
            fix="Say it: read_table(…, day_first=True) or False; or drop the column to take the rows as they stand.",
        )


def _numbers(data: Dataset, name: str) -> Array:
    column = np.array([np.nan if row[name] is None else row[name] for row in data.rows([name])], dtype=np.float64)
    gaps = np.flatnonzero(~np.isfinite(column))
    if gaps.size:
        raise InvalidInput.of_field(
            name,
            f"{gaps.size} values are missing or not finite (first: row {gaps[0]})",
            reason="MISSING_VALUES",
            fix='Fill them in, or drop these rows with data.clean(missing="drop").',
        )
    return column


def _order(data: Dataset) -> list[Array]:
    """Row numbers of every group in the order of time."""
    time, group = data.schema.with_role("time"), data.schema.with_role("group")
    order = np.arange(len(data))
    if time is not None:
        times = data.select([time.name]).with_schema(Schema((replace(time, role="target"),))).target_values()
        order = np.argsort(np.asarray(times), kind="stable")
    if group is None:
        return [order]
    known: dict[str, int] = {}  # not numpy's own texts, which lose zeros at the end
    numbers = np.array([known.setdefault(str(row[group.name]), len(known)) for row in data.rows([group.name])])[order]
    return [order[numbers == number] for number in dict.fromkeys(numbers.tolist())]


def _windows(values: Array, past: int, horizon: int) -> Array:
    """[windows, past + horizon, columns], sharing the memory of the values."""
    return np.lib.stride_tricks.sliding_window_view(values, past + horizon, axis=0).transpose(0, 2, 1)


def _tensors(array: Array) -> pa.ChunkedArray:
    return column_array("", np.ascontiguousarray(array))
