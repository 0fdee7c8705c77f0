"""The result of a call from rows that were found or computed, as the predictor would have made it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from lepton_ai.errors import LeptonError
from lepton_ai.postprocessing import Answered, Postprocess
from services.inference.cache.entries import Entry
from services.inference.cache.partition import Partition, Source
from services.inference.cache.units import Units
from services.inference.predict.answers import answer_rows, note_faults
from services.inference.predict.layers import RoutedCall
from services.inference.predict.result import InferenceResult, Outcome
from services.inference.rows import join

_NO_TIME = Outcome()


@dataclass(slots=True)
class Row:
    """What became of one row: what is kept of it, or its error."""

    key: bytes
    entry: Entry | None = None
    source: Source = Source.COMPUTED
    timings: Outcome | None = None
    """How long it took, where it was computed."""
    error: LeptonError | None = None


def make_result(routed: RoutedCall, units: Units, rows: Sequence[Row], answers: Partition[Entry]) -> InferenceResult:
    """Raises a single item's error, as a call without cache does."""
    if len(rows) == 1 and rows[0].error is not None:
        raise rows[0].error
    outcomes = [_outcome(row) for row in rows] if units.are_items else [_joined(rows)]
    cached = sum(row.source is not Source.COMPUTED for row in rows)
    postprocess = routed.runtime.loaded.postprocess
    if postprocess is None or not routed.request.answered:
        return InferenceResult(routed.resolved, outcomes, cached_rows=cached)
    began_s = time.monotonic()
    answered = _answers(postprocess, rows, routed.request.top_k, answers, framed=units.are_items)
    if units.are_items:
        answered = note_faults(outcomes, answered)
    took_us = max(0, round((time.monotonic() - began_s) * 1e6))
    return InferenceResult(routed.resolved, outcomes, answered, took_us, cached)


def _outcome(row: Row) -> Outcome:
    if row.entry is None:
        return Outcome(error=row.error)
    spent = row.timings if row.timings is not None and row.source is Source.COMPUTED else _NO_TIME
    return Outcome(
        row.entry.rows,
        None,
        row.entry.anomalies,
        row.entry.frame,
        spent.preprocess_us,
        spent.queue_us,
        spent.compute_us,
        spent.batch_rows,
    )


def _joined(rows: Sequence[Row]) -> Outcome:
    """The rows of a call with tensors as one."""
    parts = [row.entry.rows for row in rows if row.entry is not None]
    computed = [row.timings for row in rows if row.timings is not None and row.source is Source.COMPUTED]
    slowest = max(computed, key=lambda outcome: outcome.busy_us, default=_NO_TIME)
    return Outcome(join(parts), queue_us=slowest.queue_us, compute_us=slowest.compute_us, batch_rows=slowest.batch_rows)


def _answers(
    postprocess: Postprocess, rows: Sequence[Row], top_k: int, answers: Partition[Entry], *, framed: bool
) -> list[Answered]:
    """What every row that has outputs means; computed for those of which it is not known, and then kept."""
    entries = [(row.key, row.entry) for row in rows if row.entry is not None]
    known = [entry.answers.get(top_k) for _, entry in entries]
    new = [(key, entry) for (key, entry), answered in zip(entries, known, strict=True) if answered is None]
    if new:
        frames = [entry.frame for _, entry in new] if framed else ()
        made = answer_rows(postprocess, [entry.rows for _, entry in new], top_k, frames)
        for (key, entry), answered in zip(new, made, strict=True):
            if entry.keep(top_k, answered):
                answers.weigh_again(key, entry)
        remaining = iter(made)
        return [answered if answered is not None else next(remaining) for answered in known]
    return [answered for answered in known if answered is not None]
