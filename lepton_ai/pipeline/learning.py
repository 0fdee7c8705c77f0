"""How each operation with state learns it from values that pass by: one small class for each operation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from lepton_ai.pipeline.columns import Categories, Column, ColumnsCall, Numbers, Unusual
from lepton_ai.pipeline.operation import Call, Misfit, Operation, Spec, expect
from lepton_ai.pipeline.subwords import train_subwords
from lepton_ai.pipeline.summaries import ChannelMoments, Counts, Median, Moments, Range
from lepton_ai.pipeline.tabular import Impute, OneHot, Scale
from lepton_ai.pipeline.tensor import Normalize
from lepton_ai.pipeline.text import SPLITTERS, Tokenize

_MAX_CATEGORY_CHARACTERS = 256
_MAX_TOKEN_CHARACTERS = 256


class Settings(BaseModel):
    """What a step says under `fit`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True)
class Learned:
    """Parameters that take the place of `fit`, files, and what was odd about the data, one sentence each."""

    parameters: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Learner(ABC):
    """Learns the state of one step; `step` is the step with any state, for its other parameters."""

    settings: ClassVar[type[Settings]]
    placeholder: ClassVar[Mapping[str, Any]]
    """Values with which the step can be parsed before it has learned."""
    learns: ClassVar[tuple[str, ...]] = ()
    """Parameters of the step that it gives values."""

    def __init__(self, step: Any, fit: Any) -> None:
        self.step: Operation = step

    def check(self, given: tuple[Spec, ...]) -> None:
        """Whether such values can be learned from. Raises Misfit."""
        self.step.infer(given)

    @abstractmethod
    def observe(self, values: tuple[Any, ...], call: Call) -> None:
        """Take in what the step would read of one row. Raises Misfit for values that the step could not take."""

    def observe_columns(self, columns: tuple[Column, ...], call: ColumnsCall) -> None:
        """The same for many rows, by one of `call.effects`. Raises Unusual for rows to observe one by one."""
        raise Unusual

    @abstractmethod
    def learned(self) -> Learned:
        """The state, after the last row. Raises Misfit when the values give none."""


class ScaleSettings(Settings):
    """`standard`: mean 0, standard deviation 1; `range`: 0 to 1."""

    method: Literal["standard", "range"] = "standard"


class LearnScale(Learner):
    """Mean and deviation, or range, of each column."""

    settings = ScaleSettings
    placeholder: ClassVar[Mapping[str, Any]] = {"mean": 0.0, "std": 1.0}
    learns = ("mean", "std", "min", "max")

    def __init__(self, step: Scale, fit: ScaleSettings) -> None:
        super().__init__(step, fit)
        self._method = fit.method
        self._columns: dict[str, Any] = {name: Moments() if fit.method == "standard" else Range() for name in step.on}
        self._notes: list[str] = []

    def observe(self, values: tuple[Any, ...], call: Call) -> None:
        for (column, summary), value in zip(self._columns.items(), values, strict=True):
            summary.add(_finite(value, column))

    def observe_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> None:
        for summary, column in zip(self._columns.values(), columns, strict=True):
            call.effects.append(partial(summary.add_many, column.finite()))

    def learned(self) -> Learned:
        names, learn = (
            (("mean", "std"), self._standard) if self._method == "standard" else (("min", "max"), self._range)
        )
        pairs = {column: learn(column, summary) for column, summary in self._columns.items()}
        first, second = ({column: pair[side] for column, pair in pairs.items()} for side in (0, 1))
        return Learned({names[0]: first, names[1]: second}, notes=tuple(self._notes))

    def _standard(self, column: str, summary: Moments) -> tuple[float, float]:
        mean, std = summary.mean, summary.std
        if not (math.isfinite(mean) and math.isfinite(std)):
            raise _too_large(column)
        if std == 0:
            self._notes.append(f"column {column!r} never varies; its deviation is taken as 1.")
        return mean, std or 1.0

    def _range(self, column: str, summary: Range) -> tuple[float, float]:
        low, high = summary.min, summary.max
        if not math.isfinite(high - low):
            raise _too_large(column)
        if low == high:
            self._notes.append(f"column {column!r} never varies; its range is taken as 1 wide.")
            high = max(low + 1, math.nextafter(low, math.inf))
        return low, high


class ImputeSettings(Settings):
    """What to fill gaps with; mean and median are for numbers only."""

    method: Literal["mean", "median", "most_frequent"] = "median"


class LearnImpute(Learner):
    """The mean, median or most frequent of the values that are there; of equally frequent ones the first in order."""

    settings = ImputeSettings
    placeholder: ClassVar[Mapping[str, Any]] = {"value": 0.0}
    learns = ("value",)

    def __init__(self, step: Impute, fit: ImputeSettings) -> None:
        super().__init__(step, fit)
        make: Callable[[], Any] = {"mean": Moments, "median": Median, "most_frequent": Counts}[fit.method]
        self._method = fit.method
        self._columns = {name: make() for name in step.on}

    def check(self, given: tuple[Spec, ...]) -> None:
        for column, spec in zip(self._columns, given, strict=True):
            expect(spec, "number", "category", parameter="on")
            if spec.kind == "category" and self._method != "most_frequent":
                fix = 'Use "most_frequent".'
                raise Misfit("fit.method", f"{column!r} is a category, which has no {self._method}", fix=fix)

    def observe(self, values: tuple[Any, ...], call: Call) -> None:
        for summary, value in zip(self._columns.values(), values, strict=True):
            if value is not None and not (isinstance(value, float) and not math.isfinite(value)):
                summary.add(value + 0.0 if isinstance(value, float) else value)  # -0.0 is 0.0

    def observe_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> None:
        for summary, column in zip(self._columns.values(), columns, strict=True):
            if isinstance(column, Numbers):
                values = column.values[np.isfinite(column.values)] + 0.0
                add = partial(_count, summary) if isinstance(summary, Counts) else summary.add_many
                call.effects.append(partial(add, values))
            else:
                present = [name is not None for name in column.names]
                call.effects.append(partial(_count_names, summary, column, present))

    def learned(self) -> Learned:
        return Learned({"value": {column: self._value(column, each) for column, each in self._columns.items()}})

    def _value(self, column: str, summary: Any) -> float | str:
        if summary.count == 0:
            fix = "Leave the column out, or give `value` instead of `fit`."
            raise Misfit("fit", f"column {column!r} has no value in any row", fix=fix)
        if isinstance(summary, Counts):
            most_frequent: float | str = summary.most_common()[0]
            return most_frequent
        value = float(summary.mean if isinstance(summary, Moments) else summary.value)
        if not math.isfinite(value):
            raise _too_large(column)
        return value


class OneHotSettings(Settings):
    """Which categories get a place of their own."""

    max_categories: Annotated[int, Field(ge=1, le=4096)] = 100
    min_count: Annotated[int, Field(ge=1)] = 1


class LearnOneHot(Learner):
    """The categories of each column, most frequent first, equally frequent ones by name."""

    settings = OneHotSettings
    placeholder: ClassVar[Mapping[str, Any]] = {"categories": ["?"]}
    learns = ("categories",)

    def __init__(self, step: OneHot, fit: OneHotSettings) -> None:
        super().__init__(step, fit)
        self._fit = fit
        self._columns = {name: Counts() for name in step.on}

    def observe(self, values: tuple[Any, ...], call: Call) -> None:
        for (column, counts), value in zip(self._columns.items(), values, strict=True):
            if value is None:
                raise _missing(column)
            if len(value) <= _MAX_CATEGORY_CHARACTERS:
                counts.add(value)

    def observe_columns(self, columns: tuple[Any, ...], call: ColumnsCall) -> None:
        for counts, column in zip(self._columns.values(), columns, strict=True):
            column.check_present()
            short = [len(name or "") <= _MAX_CATEGORY_CHARACTERS for name in column.names]
            call.effects.append(partial(_count_names, counts, column, short))

    def learned(self) -> Learned:
        categories, notes = {}, []
        for column, counts in self._columns.items():
            known = counts.most_common(min_count=self._fit.min_count)
            if not known:
                raise Misfit("fit", f"column {column!r} has no category that occurs {self._fit.min_count} times")
            categories[column] = known[: self._fit.max_categories]
            if len(categories[column]) < len(counts.counts):
                kept = f"{len(categories[column])} of {len(counts.counts)}"
                notes.append(f"column {column!r}: {kept} categories are kept, the others become zeros.")
        return Learned({"categories": categories}, notes=tuple(notes))


class TokenizeSettings(Settings):
    """How large the vocabulary may get; `max_tokens` counts padding, unknown, start and end too."""

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    min_count: Annotated[int, Field(ge=1)] = 2


class LearnTokenize(Learner):
    """The vocabulary: special tokens, then by count, equally frequent ones by text; subwords as they are merged."""

    settings = TokenizeSettings
    placeholder: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, step: Tokenize, fit: TokenizeSettings) -> None:
        super().__init__(step, fit)
        self._fit = fit
        self._tokenize = step
        self._split = SPLITTERS["word" if step.level == "subword" else step.level]
        self._counts = Counts()
        special = (step.padding if step.pad else None, step.unknown, step.start, step.end)
        self._special = tuple(dict.fromkeys(token for token in special if token is not None))

    def observe(self, values: tuple[Any, ...], call: Call) -> None:
        for token in self._split(values[0]):
            if len(token) <= _MAX_TOKEN_CHARACTERS and token not in self._special:
                self._counts.add(token)

    def learned(self) -> Learned:
        room = self._fit.max_tokens - len(self._special)
        if room < 0:
            raise Misfit("fit.max_tokens", f"leaves no room for {', '.join(self._special)}")
        if self._tokenize.level == "subword":
            tokens = train_subwords(self._counts.counts, max_pieces=room, min_count=self._fit.min_count)
        else:
            tokens = self._counts.most_common(min_count=self._fit.min_count)[:room]
        notes = () if tokens else (f"no token occurs {self._fit.min_count} times; every text is unknown tokens.",)
        content = "".join(f"{token}\n" for token in (*self._special, *tokens)).encode()
        return Learned({}, {self._tokenize.vocabulary: content}, notes)


class NormalizeSettings(Settings):
    """Mean and deviation for each channel (of a spectrogram: each band), or one for all."""

    per: Literal["channel", "all"] = "channel"


class LearnNormalize(Learner):
    """Mean and deviation of the elements of images and tensors, times the step's scale."""

    settings = NormalizeSettings
    placeholder: ClassVar[Mapping[str, Any]] = {"mean": 0.0, "std": 1.0}
    learns = ("mean", "std")

    def __init__(self, step: Normalize, fit: NormalizeSettings) -> None:
        super().__init__(step, fit)
        self._per = fit.per
        self._scale = step.scale
        self._moments = ChannelMoments()

    def check(self, given: tuple[Spec, ...]) -> None:
        super().check(given)
        if self._per == "channel" and given[0].kind == "tensor" and given[0].channel_axis is None:
            raise Misfit("fit.per", "the tensor has no channels", fix='Use "all".')

    def observe(self, values: tuple[Any, ...], call: Call) -> None:
        array = np.asarray(values[0])
        axis = 2 if call.given[0].kind == "image" else call.given[0].channel_axis
        if self._per == "all" or axis is None or axis == array.ndim:
            rows = array.reshape(-1, 1)
        else:
            rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
        self._moments.add_rows(rows)
        if not np.isfinite(self._moments.mean).all():
            raise Misfit(
                "input",
                "holds NaN, infinity or numbers too large to add up",
                fix="Fill gaps in, or drop such rows.",
            )

    def learned(self) -> Learned:
        if self._moments.count == 0:
            raise Misfit("fit", "the tensors of all rows are empty")
        means, stds = self._moments.mean * self._scale, self._moments.std * abs(self._scale)
        with np.errstate(under="ignore", over="ignore"):
            varies = np.isfinite(stds.astype(np.float32)) & (stds.astype(np.float32) > 0)
        stds = np.where(varies, stds, 1.0)
        notes = () if varies.all() else (f"{int((~varies).sum())} channels never vary; their deviation is taken as 1.",)
        if self._per == "all":
            return Learned({"mean": float(means[0]), "std": float(stds[0])}, notes=notes)
        return Learned({"mean": means.tolist(), "std": stds.tolist()}, notes=notes)


LEARNERS: Mapping[str, type[Learner]] = {
    Scale.name: LearnScale,
    Impute.name: LearnImpute,
    OneHot.name: LearnOneHot,
    Tokenize.name: LearnTokenize,
    Normalize.name: LearnNormalize,
}
"""Operations that have state, and how they learn it."""


def _count(counts: Counts, values: npt.NDArray[np.float64]) -> None:
    distinct, codes = np.unique(values, return_inverse=True)
    counts.add_many(distinct.tolist(), codes)


def _count_names(counts: Counts, column: Categories, counted: list[bool]) -> None:
    """Occurrences of those names that are to be counted."""
    codes = column.codes if all(counted) else column.codes[column.spread(counted, np.bool_)]
    counts.add_many(column.names, codes)


def _finite(value: float | None, column: str) -> float:
    if value is None:
        raise _missing(column)
    if not math.isfinite(value):
        raise Misfit("on", f"column {column!r} is not a finite number", fix="Put an impute step before this one.")
    return value


def _missing(column: str) -> Misfit:
    return Misfit("on", f"column {column!r} is missing", fix="Put an impute step before this one.")


def _too_large(column: str) -> Misfit:
    return Misfit("fit", f"the numbers of column {column!r} are too large to add up", fix="Put a clip step before.")
