"""The judge of drift."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from lepton_ai.inputs.bars import bars
from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.detect.drift.book import DriftBook
from services.health.detect.drift.statistics import Statistic, Verdict
from services.health.detect.drift.tally import Finding, Source

_MOST_NAMED = 5
_THEN = {Source.TRAINING: "in training", Source.FIRST: "after its deployment"}
_WHAT = {"label": "labels", "score": "scores", "number": "predictions"}


class DriftJudge:
    """Answers of a version that have come to differ from its first ones are a ticket; so are inputs from training."""

    name = "drift"

    def __init__(self, book: DriftBook, *, interval_s: float = 60.0, pending_s: float = 300.0) -> None:
        """All are compared again every `interval_s`; drift that has lasted for `pending_s` fires."""
        self._book = book
        self._interval_s = interval_s
        self._pending_s = pending_s
        self._judged_s = float("-inf")
        self._found: list[Firing] = []

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """All versions that have drifted, as of the last comparison."""
        if abs(now_s - self._judged_s) >= self._interval_s:
            self._judged_s = now_s
            found: list[Firing] = []
            for model in sorted(self._book.models):
                found += self._drifted(model)
                await asyncio.sleep(0)  # hundreds of inputs take a while, and others wait
            self._found = found
        return self._found

    def _drifted(self, model: str) -> Iterator[Firing]:
        for version, findings in self._book.findings(model).items():
            yield from (
                _firing(model, version, each, self._pending_s)
                for each in findings
                if each.comparison.verdict is Verdict.DRIFTED
            )
        for version, findings in self._book.input_findings(model).items():
            drifted = [each for each in findings if each.comparison.verdict is Verdict.DRIFTED]
            if drifted:
                farthest_first = sorted(drifted, key=_excess, reverse=True)
                yield _firing_of_inputs(model, version, farthest_first, len(findings), self._pending_s)


def _firing(model: str, version: int, found: Finding, pending_s: float) -> Firing:
    worst = _worst(found)
    labels = {
        ALERT_NAME: "OutputDrift",
        SEVERITY: "ticket",
        "model": model,
        "version": str(version),
        "what": found.what,
    }
    annotations = {
        "summary": f"The {_WHAT[found.what]} of {model}@{version} are not as after its deployment: "
        f"{_differences(found)}.",
        "description": f"{worst.name.upper()} {worst.value:.2f}, more than {worst.threshold:.2f}; "
        f"{found.comparison.golden:,} predictions then, {found.comparison.latest:,} of late.",
        "runbook": "docs/runbooks.md#outputdrift",
    }
    return Firing(labels, annotations, value=worst.value, pending_s=pending_s)


def _firing_of_inputs(model: str, version: int, drifted: Sequence[Finding], features: int, pending_s: float) -> Firing:
    """`drifted`, of all `features`: the farthest first."""
    farthest = drifted[0]
    labels = {ALERT_NAME: "InputDrift", SEVERITY: "ticket", "model": model, "version": str(version)}
    named = ", ".join(each.what for each in drifted[:_MOST_NAMED]) + (", …" if len(drifted) > _MOST_NAMED else "")
    annotations = {
        "summary": f"{len(drifted)} of {features} inputs of {model}@{version} are not as {_THEN[farthest.source]}: "
        f"{named}. {farthest.what}: {_differences(farthest)}.",
        "description": "\n".join(_told(each) for each in drifted[:_MOST_NAMED]),
        "runbook": "docs/runbooks.md#inputdrift",
    }
    return Firing(labels, annotations, value=_worst(farthest).value, pending_s=pending_s)


def _told(found: Finding) -> str:
    """How far, and both distributions from small to great, or category by category."""
    worst = _worst(found)
    before, now = bars([share for _, share, _ in found.bins], [share for _, _, share in found.bins])
    return (
        f"{found.what}: {worst.name.upper()} {worst.value:.2f}, more than {worst.threshold:.2f}; "
        f"[{before}] {_THEN[found.source]} ({found.comparison.golden:,}), [{now}] of late "
        f"({found.comparison.latest:,}); {_differences(found)}"
    )


def _worst(found: Finding) -> Statistic:
    return max(found.comparison.statistics, key=lambda each: each.value / each.threshold)


def _excess(found: Finding) -> float:
    worst = _worst(found)
    return worst.value / worst.threshold


def _differences(found: Finding) -> str:
    return "; ".join(f"{name}: {a:.0%} → {b:.0%}".replace("%", " %") for name, a, b in found.shares[:3])
