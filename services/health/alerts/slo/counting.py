"""Requests of models and those of them that were bad, by PromQL over the series that health keeps."""

from __future__ import annotations

import time
from collections.abc import Mapping

from services.health.alerts.slo.burning import Count, window_name, within
from services.health.metrics.series import SeriesReader
from services.health.promql.evaluation import evaluate

BAD_CODES = ("UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""What callers cannot help. A wrong request, or one that its caller gave up, breaks no promise."""
_BAD = f'lepton_requests_total{{code=~"{"|".join(BAD_CODES)}"}}'
_JUDGED = f'lepton_requests_total{{code=~"OK|{"|".join(BAD_CODES)}"}}'
_FRESHEST_S = 15.0
_PER_WINDOW = 60
"""A window is counted anew after this part of its length."""
_COVERAGES = (1.0, 0.75, 0.5, 0.25, 1 / 12)


class Counting:
    """Counts again only what can have changed: of three days not every few seconds."""

    def __init__(self, reader: SeriesReader) -> None:
        self._reader = reader
        self._answers: dict[float, tuple[float, Mapping[str, Count]]] = {}
        self._times: dict[float, tuple[float, Mapping[str, Mapping[float, float]]]] = {}

    async def answered(self, window_s: float, now_s: float) -> Mapping[str, Count]:
        """Model → its requests in the window, bad are those that failed. Raises LeptonError."""
        kept = self._answers.get(window_s)
        if kept is None or _is_old(kept[0], window_s):
            total = await self._sums(f"sum by (model) (increase({_JUDGED}[{window_name(window_s)}]))", now_s)
            bad = await self._sums(f"sum by (model) (increase({_BAD}[{window_name(window_s)}]))", now_s)
            counts = {model: Count(count, bad.get(model, 0.0)) for model, count in total.items()}
            kept = self._answers[window_s] = (time.monotonic(), counts)
        return kept[1]

    async def in_time(self, window_s: float, limit_s: float, model: str, now_s: float) -> Count:
        """A model's answers in the window, bad are those slower than a limit. Raises LeptonError."""
        kept = self._times.get(window_s)
        if kept is None or _is_old(kept[0], window_s):
            query = f"sum by (model, le) (increase(lepton_request_seconds_bucket[{window_name(window_s)}]))"
            buckets: dict[str, dict[float, float]] = {}
            for sample in await evaluate(query, self._reader, now_s):
                bounds = buckets.setdefault(sample.labels.get("model", ""), {})
                bounds[float(sample.labels.get("le", "+Inf"))] = sample.value
            kept = self._times[window_s] = (time.monotonic(), buckets)
        return within(kept[1].get(model, {}), limit_s)

    async def coverage(self, model: str, window_s: float, now_s: float) -> float:
        """Of a window, the part that there is data of, roughly: 0 for next to none. Raises LeptonError."""
        for part in _COVERAGES:
            query = f'count(lepton_requests_total{{model="{model}"}})'
            # A window that is just full begins before the first sample that it counts from.
            if await evaluate(query, self._reader, now_s - part * window_s + _FRESHEST_S):
                return part
        return 0.0

    async def _sums(self, query: str, now_s: float) -> dict[str, float]:
        samples = await evaluate(query, self._reader, now_s)
        return {sample.labels.get("model", ""): sample.value for sample in samples}


def _is_old(counted_s: float, window_s: float) -> bool:
    return time.monotonic() - counted_s >= max(min(_FRESHEST_S, window_s / 2), window_s / _PER_WINDOW)


def query_of(objective: str, model: str, limit_s: float, window_s: float) -> str:
    """The share of bad requests as one expression, for charts."""
    window = window_name(window_s)
    if objective == "availability":
        bad = _BAD.replace("{", f'{{model="{model}",')
        judged = _JUDGED.replace("{", f'{{model="{model}",')
        return f"sum(rate({bad}[{window}])) / sum(rate({judged}[{window}]))"
    fast = f'lepton_request_seconds_bucket{{model="{model}",le="{limit_s:g}"}}'
    answered = f'lepton_request_seconds_count{{model="{model}"}}'
    return f"1 - sum(rate({fast}[{window}])) / sum(rate({answered}[{window}]))"
