"""Operations on the columns of one row: fill gaps, clip, scale, encode categories, join to one tensor.

The numbers (means, ranges, categories) are data in the document. A number is a float or None when it is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field, model_validator

from lepton_ai.pipeline.columns import Categories as CategoryColumn
from lepton_ai.pipeline.columns import Column, ColumnsCall, Numbers, Unusual
from lepton_ai.pipeline.operation import Call, ColumnOperation, Misfit, Name, Spec, expect
from lepton_ai.pipeline.values import one_form

_T = TypeVar("_T")

_UNKNOWN_CATEGORY = ("UNKNOWN_CATEGORY", "is not a known category and was left out")
_BEYOND_FP32 = ("NOT_FINITE", "is a number that FP32 cannot hold")
_SHOWN_CHARACTERS = 40
"""Of a category in a message."""

PerColumn = float | dict[str, float]
Categories = Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(min_length=1, max_length=4096)]


class Impute(ColumnOperation):
    """Fills missing and non-finite values and flags that it did."""

    name: ClassVar[str] = "impute"
    value: float | str | dict[str, float | str] = Field(
        description="What to fill in (a mean, a median, a constant): for all columns, or by column."
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        for column, spec in zip(self.on, given, strict=True):
            expect(spec, "number", "category", parameter="on")
            fill = self._fill(column)
            if isinstance(fill, str) != (spec.kind == "category"):
                raise Misfit("value", f"for {column!r} must be {'a text' if spec.kind == 'category' else 'a number'}")
        return given

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        return tuple(self._filled(value, which, call) for which, value in enumerate(values))

    def apply_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> tuple[Column, ...]:
        return tuple(self._filled_column(column, which, call) for which, column in enumerate(columns))

    def _fill(self, column: str) -> float | str:
        fill = self.value if isinstance(self.value, float | str) else self.value.get(column)
        if fill is None:
            raise _no_entry(column, parameter="value")
        return one_form(fill) if isinstance(fill, str) else fill

    def _filled(self, value: float | str | None, which: int, call: Call) -> float | str:
        if value is not None and (isinstance(value, str) or math.isfinite(value)):
            return value
        fill = self._fill(self.on[which])
        call.flag(*(_missing_filled(fill) if value is None else _not_finite_filled(fill)), which=which)
        return fill

    def _filled_column(self, column: Numbers | CategoryColumn, which: int, call: ColumnsCall) -> Column:
        fill = self._fill(self.on[which])
        if isinstance(column, CategoryColumn):
            missing = column.spread((name is None for name in column.names), np.bool_)
            call.flag(missing, *_missing_filled(fill), which=which)
            return CategoryColumn(column.codes, [str(fill) if name is None else name for name in column.names])
        bad = ~np.isfinite(column.values)
        missing = np.zeros_like(bad) if column.missing is None else column.missing
        call.flag(missing, *_missing_filled(fill), which=which)
        call.flag(bad & ~missing, *_not_finite_filled(fill), which=which)
        return Numbers(np.where(bad, float(fill), column.values))


class Clip(ColumnOperation):
    """Moves values outside a range to its nearer end and flags them."""

    name: ClassVar[str] = "clip"
    min: PerColumn = Field(description="Least value: for all columns, or by column.")
    max: PerColumn = Field(description="Greatest value: for all columns, or by column.")

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        for column, spec in zip(self.on, given, strict=True):
            expect(spec, "number", parameter="on")
            low, high = self._range(column)
            if low > high:
                raise Misfit("min", f"for {column!r} is greater than max")
        return given

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        return tuple(self._clipped(value, which, call) for which, value in enumerate(values))

    def apply_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> tuple[Column, ...]:
        return tuple(self._clipped_column(column, which, call) for which, column in enumerate(columns))

    def _range(self, column: str) -> tuple[float, float]:
        return _for_column(self.min, column, parameter="min"), _for_column(self.max, column, parameter="max")

    def _clipped(self, value: float | None, which: int, call: Call) -> float:
        number = _finite(value, which, call)
        low, high = self._range(self.on[which])
        if low <= number <= high:
            return number
        call.flag(*_out_of_range(low, high), which=which)
        return min(max(number, low), high)

    def _clipped_column(self, column: Numbers, which: int, call: ColumnsCall) -> Column:
        values = column.finite()
        low, high = self._range(self.on[which])
        below, above = values < low, values > high
        call.flag(below | above, *_out_of_range(low, high), which=which)
        return Numbers(np.where(below, low, np.where(above, high, values)))


class Scale(ColumnOperation):
    """Computes (x − mean) / std, or (x − min) / (max − min)."""

    name: ClassVar[str] = "scale"
    mean: PerColumn | None = Field(default=None, description="For all columns, or by column; goes with std.")
    std: PerColumn | None = Field(default=None, description="For all columns, or by column; greater than 0.")
    min: PerColumn | None = Field(default=None, description="For all columns, or by column; goes with max.")
    max: PerColumn | None = Field(default=None, description="For all columns, or by column; greater than min.")

    @model_validator(mode="after")
    def _one_way(self) -> Scale:
        given = tuple(value is not None for value in (self.mean, self.std, self.min, self.max))
        if given not in ((True, True, False, False), (False, False, True, True)):
            raise ValueError("needs either mean and std, or min and max")
        return self

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        for column, spec in zip(self.on, given, strict=True):
            expect(spec, "number", parameter="on")
            if self._offset_and_width(column)[1] <= 0:
                raise Misfit("std" if self.std is not None else "max", f"for {column!r} leaves no width to divide by")
        return given

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        return tuple(self._scaled(value, which, call) for which, value in enumerate(values))

    def apply_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> tuple[Column, ...]:
        return tuple(self._scaled_column(column, name) for column, name in zip(columns, self.on, strict=True))

    def _scaled(self, value: float | None, which: int, call: Call) -> float:
        offset, width = self._offset_and_width(self.on[which])
        return (_finite(value, which, call) - offset) / width

    def _scaled_column(self, column: Numbers, name: str) -> Column:
        offset, width = self._offset_and_width(name)
        with np.errstate(over="ignore", invalid="ignore"):  # a later step refuses what is not finite, as row by row
            return Numbers((column.finite() - offset) / width)

    def _offset_and_width(self, column: str) -> tuple[float, float]:
        if self.mean is not None and self.std is not None:
            return _for_column(self.mean, column, parameter="mean"), _for_column(self.std, column, parameter="std")
        assert self.min is not None and self.max is not None  # noqa: S101 - the validator holds this
        low = _for_column(self.min, column, parameter="min")
        return low, _for_column(self.max, column, parameter="max") - low


class OneHot(ColumnOperation):
    """Turns a category into a vector with a single 1; an unknown one is flagged and becomes zeros, or is refused."""

    name: ClassVar[str] = "one_hot"
    categories: Categories | dict[str, Categories] = Field(
        description="Category names in the order of the vector: for all columns, or by column."
    )
    unknown: Literal["zeros", "refuse"] = Field(default="zeros", description="What to do with any other category.")

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        specs = []
        for column, spec in zip(self.on, given, strict=True):
            expect(spec, "category", parameter="on")
            categories = _for_column(self.categories, column, parameter="categories")
            if len(set(categories)) != len(categories):
                raise Misfit("categories", f"for {column!r} names a category twice")
            specs.append(Spec("tensor", "FP32", (len(categories),)))
        return tuple(specs)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        return tuple(self._encoded(value, which, call) for which, value in enumerate(values))

    def apply_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> tuple[Column, ...]:
        return tuple(self._encoded_column(column, which, call) for which, column in enumerate(columns))

    def _encoded(self, value: str | None, which: int, call: Call) -> Any:
        if value is None:
            raise _missing(which, call)
        places = _places(_for_column(self.categories, self.on[which], parameter="categories"))
        vector = np.zeros(places.width, dtype=np.float32)
        if value in places.by_name:
            vector[places.by_name[value]] = 1.0
        elif self.unknown == "refuse":
            raise call.refusal(
                "is not one of the known categories",
                reason="UNKNOWN_CATEGORY",
                fix=f"Send one of the {places.width} categories of the pipeline.",
                which=which,
            )
        else:
            call.flag(*_UNKNOWN_CATEGORY, which=which)
        return vector

    def _encoded_column(self, column: CategoryColumn, which: int, call: ColumnsCall) -> Column:
        column.check_present()
        places = _places(_for_column(self.categories, self.on[which], parameter="categories"))
        hot = column.spread((places.by_name.get(name or "", -1) for name in column.names), np.int64)
        unknown = hot < 0
        if self.unknown == "refuse" and unknown.any():
            raise Unusual
        call.flag(unknown, *_UNKNOWN_CATEGORY, which=which)
        vectors = np.zeros((call.count, places.width), dtype=np.float32)
        known = np.flatnonzero(~unknown)
        vectors[known, hot[known]] = 1.0
        return vectors


class Concat(ColumnOperation):
    """Joins columns, numbers and vectors alike, to one FP32 vector."""

    name: ClassVar[str] = "concat"
    output: Name | None = Field(default=None, description="Name for the result.")

    def writes(self, anonymous: str) -> tuple[str, ...]:
        return (self.output or anonymous,)

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        width = 0
        for column, spec in zip(self.on, given, strict=True):
            if spec.kind == "tensor" and (spec.dtype != "FP32" or len(spec.shape) != 1 or spec.shape[0] < 0):
                raise Misfit("on", f"{column!r} is {spec}; only FP32 vectors of known length can be joined")
            if spec.kind == "category":
                raise Misfit("on", f"{column!r} is a category", fix="Put a one_hot step before this one.")
            expect(spec, "number", "tensor", parameter="on")
            width += spec.shape[0] if spec.kind == "tensor" else 1
        return (Spec("tensor", "FP32", (width,), channel_axis=0),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        parts: list[float] = []
        ends = []
        for which, value in enumerate(values):
            if isinstance(value, np.ndarray):
                parts.extend(value.tolist())
            else:
                parts.append(_finite(value, which, call))
            ends.append(len(parts))
        with np.errstate(over="ignore"):  # beyond FP32: flagged below
            vector = np.asarray(parts, dtype=np.float32)
        if not np.isfinite(vector).all():
            for which, (begin, end) in enumerate(pairwise([0, *ends])):
                if not np.isfinite(vector[begin:end]).all():
                    call.flag(*_BEYOND_FP32, which=which)
        return (vector,)

    def apply_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> tuple[Column, ...]:
        widths = [1 if isinstance(column, Numbers) else column.shape[1] for column in columns]
        vectors = np.empty((call.count, sum(widths)), dtype=np.float32)
        for which, (column, (begin, end)) in enumerate(zip(columns, pairwise([0, *accumulate(widths)]), strict=True)):
            part = column.finite()[:, np.newaxis] if isinstance(column, Numbers) else column
            with np.errstate(over="ignore"):  # beyond FP32: flagged below
                vectors[:, begin:end] = part
            call.flag(~np.isfinite(vectors[:, begin:end]).all(axis=1), *_BEYOND_FP32, which=which)
        return (vectors,)


class _Places(NamedTuple):
    width: int
    by_name: Mapping[str, int]


@lru_cache(maxsize=1024)
def _places(categories: tuple[str, ...]) -> _Places:
    """Where each category has its 1; names that only Unicode tells apart are the first of them."""
    numbered = reversed(list(enumerate(categories)))
    return _Places(len(categories), {one_form(name): place for place, name in numbered})


def _for_column(value: _T | dict[str, _T], column: str, *, parameter: str) -> _T:
    """The parameter's value for a column. Raises Misfit when it is given by column and this one is left out."""
    if not isinstance(value, dict):
        return value
    if column not in value:
        raise _no_entry(column, parameter=parameter)
    return value[column]


def _missing_filled(fill: float | str) -> tuple[str, str]:
    return "MISSING_VALUE", f"was missing, filled with {_short(fill)}"


def _not_finite_filled(fill: float | str) -> tuple[str, str]:
    return "NOT_FINITE", f"was not a finite number, replaced by {_short(fill)}"


def _short(fill: float | str) -> str:
    if not isinstance(fill, str):
        return f"{fill:.6g}"
    return fill if len(fill) <= _SHOWN_CHARACTERS else fill[: _SHOWN_CHARACTERS - 1] + "…"


def _out_of_range(low: float, high: float) -> tuple[str, str]:
    return "OUT_OF_RANGE", f"is outside {low:g} to {high:g} and was clipped"


def _no_entry(column: str, *, parameter: str) -> Misfit:
    return Misfit(parameter, f"has no entry for column {column!r}")


def _finite(value: float | None, which: int, call: Call) -> float:
    if value is None:
        raise _missing(which, call)
    if not math.isfinite(value):
        raise call.refusal(
            "is not a finite number",
            reason="NOT_FINITE",
            fix="Send a finite number, or add an impute step.",
            which=which,
        )
    return value


def _missing(which: int, call: Call) -> Exception:
    return call.refusal("is missing", reason="MISSING_VALUE", fix="Send it, or add an impute step.", which=which)
