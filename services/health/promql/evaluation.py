"""Evaluates PromQL over series as Prometheus 3 does: `evaluate` at one time, `evaluate_range` at many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from lepton_ai.errors import ResourceExhausted
from services.health.metrics.series import Series, SeriesReader
from services.health.promql.evaluator import Evaluator, too_late
from services.health.promql.expressions import Expression
from services.health.promql.parsing import invalid, parse
from services.health.promql.reading import Period, read
from services.health.promql.values import Integers, Sample, Scalar, Vector

TIMEOUT_S = 10.0
MAX_STEPS = 11_000
"""Of a range: as many as Prometheus answers."""


async def evaluate(
    expression: str, reader: SeriesReader, time_s: float, *, timeout_s: float = TIMEOUT_S
) -> Sequence[Sample]:
    """The value of an expression at a time (seconds since 1970); of a scalar one sample without labels.

    Raises InvalidInput for what cannot be evaluated, ResourceExhausted for too much for too long.
    """
    now = round(time_s * 1000)
    value = await _run(parse(expression), reader, np.array([now]), timeout_s)
    if isinstance(value, Scalar):
        return [Sample({}, float(value.values[0]))]
    there = np.flatnonzero(value.present[:, 0])
    return [Sample(value.labels[row], float(value.values[row, 0])) for row in there]


async def evaluate_range(
    expression: str,
    reader: SeriesReader,
    start_s: float,
    end_s: float,
    step_s: float,
    *,
    timeout_s: float = TIMEOUT_S,
) -> Sequence[Series]:
    """The value of an expression at start, start + step, … up to end; gaps stay gaps. Raises as `evaluate`."""
    start, end, step = round(start_s * 1000), round(end_s * 1000), round(step_s * 1000)
    if step <= 0 or end < start:
        raise invalid("a range needs a step of 1 ms or more and must not end before it starts", reason="INVALID_RANGE")
    if (end - start) // step >= MAX_STEPS:
        raise ResourceExhausted(
            f"More than {MAX_STEPS:,} steps", reason="QUERY_TOO_LARGE", fix="Ask for a shorter time or a longer step."
        )
    steps = np.arange(start, end + 1, step, dtype=np.int64)
    value = await _run(parse(expression), reader, steps, timeout_s)
    if isinstance(value, Scalar):
        return [Series({}, steps / 1000, value.values)]
    rows = zip(value.labels, value.values, value.present, strict=True)
    return [Series(labels, steps[there] / 1000, values[there]) for labels, values, there in rows if there.any()]


async def _run(expression: Expression, reader: SeriesReader, steps_ms: Integers, timeout_s: float) -> Scalar | Vector:
    deadline = time.monotonic() + timeout_s
    query = Period(int(steps_ms[0]), int(steps_ms[-1]))
    try:
        async with asyncio.timeout(timeout_s):
            found = await read(expression, reader, query)
    except TimeoutError:
        raise too_late() from None
    evaluator = Evaluator(found, query, steps_ms, deadline)
    value = await asyncio.to_thread(evaluator.result, expression)  # numbers are crunched beside the event loop
    if isinstance(value, Scalar | Vector):
        return value
    raise invalid("must be a number or an instant vector, not a range or a text", reason="INVALID_RESULT")
