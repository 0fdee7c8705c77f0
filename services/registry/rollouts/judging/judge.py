"""The judge of a rollout: looks at the counts of every interval and says what is known of the candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lepton_ai.counts import ArmCounts
from services.registry.rollouts.judging.gates import DEFAULT_GATES, Gate, Measure
from services.registry.rollouts.judging.shapes import ShapeWatch
from services.registry.rollouts.judging.shares import ErrorsWatch, FeedbackWatch, LatencyWatch, LimitWatch
from services.registry.rollouts.judging.verdicts import GateVerdict, Outcome, Verdict, overall
from services.registry.rollouts.judging.watch import Arms, Watch

_RECENT_LOOKS = 12
"""After so many looks what was recent counts half."""
_WATCHES: dict[Measure, type[ErrorsWatch | FeedbackWatch | LatencyWatch | ShapeWatch | LimitWatch]] = {
    Measure.ERRORS: ErrorsWatch,
    Measure.FEEDBACK: FeedbackWatch,
    Measure.LATENCY: LatencyWatch,
    Measure.LABELS: ShapeWatch,
    Measure.SCORES: ShapeWatch,
    Measure.DISTANCE: LimitWatch,
    Measure.DISAGREEMENT: LimitWatch,
}


class Judge:
    """Judges one candidate over one rollout.

    Harm is looked for at every look, as often as one likes: a candidate that is no worse is rolled back in at most a
    share `alpha` of all rollouts. Evidence goes on from step to step. Good enough is decided on the answers of a step.
    """

    def __init__(
        self, gates: Sequence[Gate] = DEFAULT_GATES, *, alpha: float = 0.01, candidate: str = "the candidate"
    ) -> None:
        if not gates or not 0 < alpha < 1:
            raise ValueError("A judge needs gates, and an alpha between 0 and 1.")
        if len({gate.name for gate in gates}) != len(gates):
            raise ValueError("Every gate needs a name of its own.")
        shares = math.fsum(gate.weight for gate in gates)
        self._log_thresholds = {gate.name: math.log(shares / (alpha * gate.weight)) for gate in gates}
        self._watches: list[Watch] = [_WATCHES[gate.measure](gate, candidate) for gate in gates]
        self._harmful: dict[str, GateVerdict] = {}
        self._step = Arms()
        self._recent = Arms()
        self._looks = 0

    def begin_step(self) -> None:
        """Answers count for the next step from here on."""
        self._step = Arms()

    def look(self, candidate: ArmCounts, baseline: ArmCounts, others: ArmCounts) -> Verdict:
        """Take in what was counted since the last look, and say what is known.

        `baseline`: the fresh arm of the old version with as many requests as the candidate. `others`: all arms but the
        candidate together, the baseline among them. Without a baseline of its own both are the old version.
        """
        interval = Arms(candidate, baseline, others)
        self._looks += 1
        self._step = self._step + interval
        self._recent = (self._recent if self._looks % _RECENT_LOOKS else self._recent.halved()) + interval
        for watch in self._watches:
            watch.look(interval, self._recent)
        return self.verdict()

    def verdict(self) -> Verdict:
        """What is known by now; harm that was seen once stays."""
        verdicts = []
        for watch in self._watches:
            name = watch.gate.name
            verdict = self._harmful.get(name) or watch.verdict(self._step, self._recent, self._log_thresholds[name])
            if verdict.outcome is Outcome.HARM:
                self._harmful[name] = verdict
            verdicts.append(verdict)
        return overall(tuple(verdicts))

    def as_json(self) -> dict[str, Any]:
        """All that the future depends on, for `json`: a judge that gets it goes on exactly here."""
        return {
            "looks": self._looks,
            "step": self._step.as_json(),
            "recent": self._recent.as_json(),
            "watches": {watch.gate.name: watch.as_json() for watch in self._watches},
            "harmful": {name: verdict.as_json() for name, verdict in self._harmful.items()},
        }

    def restore(self, known: Mapping[str, Any]) -> None:
        """Go on where a judge was when it made this with `as_json`; gates that it did not have begin with nothing."""
        self._looks = known["looks"]
        self._step = Arms.from_json(known["step"])
        self._recent = Arms.from_json(known["recent"])
        for watch in self._watches:
            if watch.gate.name in known["watches"]:
                watch.restore(known["watches"][watch.gate.name])
        self._harmful = {name: GateVerdict.from_json(each) for name, each in known["harmful"].items()}
