"""Measures a variant beside the original: what decides first and fast, then the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.optimize.measure.accuracy import Accuracy, Judge
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.measure.engines import Run, open_onnx
from lepton_ai.optimize.measure.intervals import Estimate
from lepton_ai.optimize.measure.measured import Measured
from lepton_ai.optimize.measure.memory import begin_peak, peak_bytes
from lepton_ai.optimize.measure.requests import whole_request
from lepton_ai.optimize.measure.speed import Load, Speed, batch_of, compare_speed, loads_for
from lepton_ai.optimize.rows import Rows, dataset_rows
from lepton_ai.package import Package
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

_FIRST_ROWS = 64
_FIRST_S, _LOAD_S = 0.5, 2.0


class Dropped(Exception):
    """A first measurement shows that going on is of no use."""


@dataclass(frozen=True)
class Judging:
    """What a variant is judged by."""

    rows: Rows
    answers: Path
    """A file in which the original's answers to the rows are kept."""
    sent: Dataset | None = None
    """The rows as they are sent, to measure whole requests, and pipelines other than the original's."""


def measure_variant(original: Package, variant: Package, judging: Judging, *, target: str, max_loss: float) -> Measured:
    """All figures of a variant. Raises Dropped when the first ones show that it loses too much or gains nothing.

    Call it in a fresh process: peak memory is the process's.
    """
    measuring = _Measuring(original, variant, judging)
    memory_bytes = measuring.memory_bytes(target)
    is_self = original.digest == variant.digest
    if not is_self:
        measuring.check_loss(max_loss)
        measuring.check_gain(target)
    accuracy = measuring.accuracy(judging.rows)
    if is_self:  # not a sample of anything: it is the same
        accuracy = replace(accuracy, loss=Estimate(0.0, 0.0, 0.0), agreement=Estimate(1.0, 1.0, 1.0))
    return Measured(
        speeds=tuple(measuring.speeds(target, _LOAD_S)),
        accuracy=accuracy,
        size_bytes=_size_bytes(variant),
        memory_bytes=memory_bytes,
        original_size_bytes=_size_bytes(original),
    )


class _Measuring:
    def __init__(self, original: Package, variant: Package, judging: Judging) -> None:
        self._original, self._variant = original, variant
        self._rows, self._answers, self._sent = judging.rows, judging.answers, judging.sent
        self._opened: dict[tuple[Path, int], Run] = {}
        self._requests: dict[Path, Run] = {}

    def memory_bytes(self, target: str) -> int:
        """What opening and running the variant adds to this process, at its peak."""
        load = loads_for(target, max_batch_size=self._batch, cores=1)[0]
        feeds = batch_of(self._rows.inputs, load.batch)
        before = begin_peak()
        self._open(self._variant, load.threads)(feeds)
        return max(0, peak_bytes() - before)

    def check_loss(self, max_loss: float) -> None:
        first = self._rows.take(slice(_FIRST_ROWS))
        found = self.accuracy(first)
        if found.loss.low > max_loss:
            raise Dropped(
                f"loses at least {found.loss.low:.1%} of {found.metric} ({len(first)} rows), {max_loss:.1%} allowed"
            )

    def check_gain(self, target: str) -> None:
        speed = self._compare(target, _FIRST_S)
        smaller = _size_bytes(self._variant) < 0.95 * _size_bytes(self._original)
        if speed.ratio.high < 1.0 and not smaller:
            raise Dropped(f"is slower ({speed.ratio.value:.2f} ×) and not smaller")

    def speeds(self, target: str, budget_s: float) -> list[Speed]:
        return [self._compare_under(load, budget_s) for load in self._loads(target)]

    def accuracy(self, rows: Rows) -> Accuracy:
        """Of these rows, which are the first ones."""
        before = {name: array[: len(rows)] for name, array in self._right().items()}
        after = self._outputs(self._variant, self._inputs_of_variant(rows))
        if not all(np.isfinite(each).all() for each in after.values() if each.dtype.kind == "f"):
            raise InvalidInput.of_field("model", "answers what is not a number", reason="NOT_FINITE")
        return Judge(self._original, rows.targets).compare(before, after)

    def _right(self) -> Mapping[str, Array]:
        """The original's answers to all rows."""
        if not self._answers.exists():
            Rows(self._outputs(self._original, self._rows.inputs)).save(self._answers)
        return Rows.read(self._answers).inputs

    def _compare(self, target: str, budget_s: float) -> Speed:
        return self._compare_under(self._loads(target)[0], budget_s)

    def _loads(self, target: str) -> Sequence[Load]:
        whole = target == "latency" and self._sent is not None
        return loads_for(target, max_batch_size=self._batch, cores=this_cpu().cores, pictures=whole)

    def _inputs_of_variant(self, rows: Rows) -> Mapping[str, Array]:
        """The first rows as the variant's model gets them, whose pipeline may be another one."""
        if self._variant.pipeline_document() == self._original.pipeline_document():
            return rows.inputs
        if self._sent is None:
            raise FailedPrecondition(
                "Its pipeline is another one, and there are no pictures to run it on.",
                reason="NO_PICTURES",
                fix="Give some: lepton optimise … --data DIR.",
            )
        return dataset_rows(self._variant, self._sent[: len(rows)]).inputs

    def _compare_under(self, load: Load, budget_s: float) -> Speed:
        original, variant = (self._request(package, load) for package in (self._original, self._variant))
        feeds = batch_of(self._rows.inputs, load.batch)
        return compare_speed(original, variant, feeds, load, budget_s=budget_s)

    def _request(self, package: Package, load: Load) -> Run:
        run = self._open(package, load.threads)
        if not load.whole or self._sent is None:
            return run
        if package.directory not in self._requests:
            self._requests[package.directory] = whole_request(package, self._sent, run)
        return self._requests[package.directory]

    def _outputs(self, package: Package, inputs: Mapping[str, Array]) -> dict[str, Array]:
        run, count = self._open(package, 1), len(next(iter(inputs.values())))
        parts = [
            run({name: array[begin : begin + self._batch] for name, array in inputs.items()})
            for begin in range(0, count, self._batch)
        ]
        specs = package.description.outputs
        whole = [
            [np.asarray(each) if s.batched else np.asarray(each)[np.newaxis] for s, each in zip(specs, p, strict=True)]
            for p in parts
        ]
        return {spec.name: np.concatenate(each) for spec, each in zip(specs, zip(*whole, strict=True), strict=True)}

    def _open(self, package: Package, threads: int) -> Run:
        path = package.path(package.description.model.file)
        if (path, threads) not in self._opened:
            outputs = [spec.name for spec in package.description.outputs]
            self._opened[path, threads] = open_onnx(path, threads=threads, outputs=outputs)
        return self._opened[path, threads]

    @property
    def _batch(self) -> int:
        return self._original.description.max_batch_size


def _size_bytes(package: Package) -> int:
    """Of the files that hold the model."""
    model = package.description.model
    return sum(package.files[name].size_bytes for name in (model.file, *model.weights))
