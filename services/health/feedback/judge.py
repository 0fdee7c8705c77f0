"""Whether users say that models have become worse: accuracy, ratings, and bursts of complaints."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lepton_ai.v1 import registry_pb2
from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.feedback.desk import FeedbackDesk
from services.health.feedback.figures import Span
from services.health.feedback.quality import capped, wilson

RECENT_S = 86_400.0
_EVERY_S = 30.0
"""To add everything up again costs a tenth of a second, and nothing here changes within seconds."""
_LEAST = 30
"""Things said, of either side, below which nothing is compared."""
_Z99 = 2.576
"""Intervals of 99 %, as they are looked at again and again."""
_LEAST_RATING_DROP, _RATING_Z = 0.3, 3.0
_BURST_S, _USUAL_S = 3600.0, 7 * 86_400.0
_LEAST_BURST = 10
_OVER_BUSY = 1.5
"""Times as many as in the second-busiest hour; the busiest may have been a burst itself."""
_BURST_CHANCE = 1e-5
"""Of as many complaints in an hour, where they come as before."""
_MUCH = 500.0
"""From here on the normal distribution serves."""
_RUNBOOK = "docs/runbooks.md"
_WORDS = {"label": "right labels", "thumb": "thumbs up"}


class QualityJudge:
    """A Judge (services/health/alerts/firing.py) of what users say; its alerts are tickets.

    Of a version that gets no calls any more, as it was rolled back, there is none: nobody waits for it to be better.
    """

    name = "feedback"

    def __init__(self, desk: FeedbackDesk, deployments: Callable[[], Mapping[str, registry_pb2.Deployment]]) -> None:
        """`deployments`: of each model, as they are now; of one that has none, all versions count."""
        self._desk = desk
        self._deployments = deployments
        self._judged_s = -math.inf
        self._found: Sequence[Firing] = ()

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """All that is worse now than it was. Raises OSError and sqlite3.Error where the files cannot be read."""
        if not 0 <= now_s - self._judged_s < _EVERY_S:
            spans = await self._desk.spans(recent=now_s - RECENT_S)
            times = await self._desk.complaint_times(since=now_s - _USUAL_S)
            self._found = [*find_drops(spans), *find_rating_drops(spans), *find_bursts(times, now_s)]
            self._judged_s = now_s
        deployments = self._deployments()
        return [each for each in self._found if not _gets_no_calls(each.labels, deployments)]


@dataclass(frozen=True)
class _Share:
    """How many of a number are good, where no source counts for more than a quarter."""

    said: float = 0.0
    good: float = 0.0

    @property
    def share(self) -> float:
        return self.good / self.said if self.said else 0.0

    def is_below(self, other: _Share) -> bool:
        """Whether it is surely worse than the other one."""
        if min(self.said, other.said) < _LEAST:
            return False
        return wilson(self.good, self.said, z=_Z99)[1] < wilson(other.good, other.said, z=_Z99)[0]


def find_drops(spans: Iterable[Span]) -> list[Firing]:
    """Versions whose labels or thumbs have become worse than their own earlier ones, or than the version before."""
    groups: dict[tuple[str, str], dict[int, list[Span]]] = defaultdict(lambda: defaultdict(list))
    for span in spans:
        if span.kind in _WORDS:
            groups[span.model, span.kind][span.version].append(span)
    found: list[Firing] = []
    for (model, kind), versions in groups.items():
        for version, said in versions.items():
            recent, earlier = (_share(part) for part in _split(said))
            if recent.is_below(earlier):
                found.append(_drop("ModelQualityDropped", model, version, kind, recent, earlier, "before the last day"))
            older = [number for number in versions if number < version and _share(versions[number]).said >= _LEAST]
            if recent.said and older:
                before, whole = _share(versions[max(older)]), _share(said)
                if whole.is_below(before):
                    compared = f"of version {max(older)}"
                    found.append(_drop("ModelWorseThanBefore", model, version, kind, whole, before, compared))
    return found


def find_rating_drops(spans: Iterable[Span]) -> list[Firing]:
    """Versions whose ratings of the last day are lower than before (Welch's statistic)."""
    groups: dict[tuple[str, int], list[Span]] = defaultdict(list)
    for span in spans:
        if span.kind == "rating":
            groups[span.model, span.version].append(span)
    found: list[Firing] = []
    for (model, version), said in groups.items():
        recent, earlier = (_moments(part) for part in _split(said))
        if recent is None or earlier is None:
            continue
        drop = earlier.mean - recent.mean
        if drop >= _LEAST_RATING_DROP and drop >= _RATING_Z * math.hypot(recent.error, earlier.error):
            summary = f"Ratings of {model} version {version} fell from {earlier.mean:.1f} to {recent.mean:.1f} of 5."
            about = {"model": model, "version": str(version)}
            found.append(_firing("RatingsDropped", about, summary, recent.mean, share=drop / 4))
    return found


def find_bursts(times: Iterable[tuple[str, float]], now_s: float) -> list[Firing]:
    """Models of which far more is complained in the last hour than usually, in the week before (Poisson).

    People write by day and sleep by night: it must also be half as much again as in the second-busiest hour.
    """
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    first: dict[str, float] = {}
    for model, at in times:
        counts[model][max(0, int((now_s - at) // _BURST_S))] += 1
        first[model] = min(first.get(model, at), at)
    found: list[Firing] = []
    for model, counted in counts.items():
        now = counted.pop(0, 0)
        hours = max(1.0, (now_s - _BURST_S - first[model]) / 3600)
        usual, busy = max(1.0, counted.total() / hours), sorted((0, 0, *counted.values()))[-2]
        is_odd = now >= _LEAST_BURST and now > _OVER_BUSY * busy
        if is_odd and _poisson_tail(now, usual) < _BURST_CHANCE:
            summary = f"{now} texts about {model} were written in the last hour; usually it is {usual:.2g} an hour."
            found.append(_firing("ComplaintBurst", {"model": model}, summary, float(now)))
    return found


@dataclass(frozen=True)
class _Moments:
    mean: float
    error: float
    """Of the mean."""


def _gets_no_calls(labels: Mapping[str, str], deployments: Mapping[str, registry_pb2.Deployment]) -> bool:
    """Whether it is about a version that its model's routes lead nobody to."""
    deployment = deployments.get(labels["model"])
    if deployment is None or "version" not in labels:
        return False
    called = {target.version for route in deployment.routes for target in route.targets if target.weight}
    return int(labels["version"]) not in called


def _moments(spans: Sequence[Span]) -> _Moments | None:
    """Of ratings; None for too few. Each source's share of the weight is bounded."""
    weights = capped([span.said for span in spans])
    said = sum(weights)
    if said < _LEAST:
        return None
    parts = [weight / span.said for weight, span in zip(weights, spans, strict=True)]
    mean = sum(part * span.total for part, span in zip(parts, spans, strict=True)) / said
    variance = sum(part * span.squares for part, span in zip(parts, spans, strict=True)) / said - mean * mean
    return _Moments(mean, math.sqrt(max(variance, 0.0) / said))


def _split(spans: Sequence[Span]) -> tuple[list[Span], list[Span]]:
    """Recent and earlier ones."""
    return [each for each in spans if each.is_recent], [each for each in spans if not each.is_recent]


def _share(spans: Sequence[Span]) -> _Share:
    sources: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for span in spans:
        sources[span.source] += span.said
        good[span.source] += span.good
    weights = dict(zip(sources, capped(list(sources.values())), strict=True))
    return _Share(sum(weights.values()), sum(weights[each] * good[each] / sources[each] for each in sources))


def _drop(name: str, model: str, version: int, kind: str, now: _Share, before: _Share, compared: str) -> Firing:
    summary = f"Of {model} version {version}, {now.share:.1%} {_WORDS[kind]}: {before.share:.1%} {compared}."
    about = {"model": model, "version": str(version), "said": kind}
    return _firing(name, about, summary, now.share, share=before.share - now.share)


def _firing(name: str, about: Mapping[str, str], summary: str, value: float, *, share: float | None = None) -> Firing:
    annotations = {"summary": summary, "runbook": f"{_RUNBOOK}#{name.lower()}"}
    if share is not None:
        annotations["share"] = f"{share:.3f}"
    return Firing({ALERT_NAME: name, SEVERITY: "ticket", **about}, annotations, value)


def _poisson_tail(count: int, mean: float) -> float:
    """How likely at least so many are."""
    if mean > _MUCH:
        return 0.5 * math.erfc((count - 0.5 - mean) / math.sqrt(2 * mean))
    term, below = math.exp(-mean), 0.0
    for number in range(count):
        below += term
        term *= mean / (number + 1)
    return max(0.0, 1.0 - below)
