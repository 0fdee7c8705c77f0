"""What all gates have in common: evidence is gathered interval by interval, and read as a verdict."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lepton_ai.counts import ArmCounts
from services.registry.rollouts.judging import bounds
from services.registry.rollouts.judging.dispersion import Dispersion
from services.registry.rollouts.judging.evidence import Mixture
from services.registry.rollouts.judging.gates import Gate
from services.registry.rollouts.judging.verdicts import GateVerdict, Outcome


@dataclass(frozen=True)
class Arms:
    """What was counted of all arms in the same time."""

    candidate: ArmCounts = field(default_factory=ArmCounts)
    baseline: ArmCounts = field(default_factory=ArmCounts)
    """The fresh arm of the old version that gets as many requests as the candidate."""
    others: ArmCounts = field(default_factory=ArmCounts)
    """All arms but the candidate, the baseline included."""

    @cached_property
    def rest(self) -> ArmCounts:
        """The other arms without the baseline: the old version, too."""
        return self.others - self.baseline

    def halved(self) -> Arms:
        """Half of everything."""
        return Arms(self.candidate.halved(), self.baseline.halved(), self.others.halved())

    def __add__(self, later: Arms) -> Arms:
        return Arms(self.candidate + later.candidate, self.baseline + later.baseline, self.others + later.others)

    def as_json(self) -> dict[str, Any]:
        """All counts."""
        return {name: getattr(self, name).as_json() for name in ("candidate", "baseline", "others")}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Arms:
        """The counts that `as_json` wrote."""
        return cls(**{name: ArmCounts.from_json(counts) for name, counts in known.items()})


class Watch(ABC):
    """Follows one gate through a rollout."""

    unit = "answers"

    def __init__(self, gate: Gate, candidate: str, mixture: Mixture, dispersion: Dispersion) -> None:
        self.gate = gate
        self._candidate = candidate
        self._mixture = mixture
        self._dispersion = dispersion

    @abstractmethod
    def look(self, interval: Arms, recent: Arms) -> None:
        """Gather the evidence of an interval; `recent` has this one and those before it."""

    @abstractmethod
    def samples(self, arms: Arms) -> tuple[int, int]:
        """Answers that tell something, of the candidate and of those it is compared with."""

    @abstractmethod
    def excess(self, arms: Arms) -> float:
        """How much worse the candidate looks, in the units of the gate's margin."""

    def matters(self, arms: Arms) -> bool:
        """Whether the candidate looks worse by more than what is negligible."""
        return self.excess(arms) > self.gate.negligible

    @abstractmethod
    def proof(self, arms: Arms) -> Callable[[float], bool]:
        """Says whether it is good enough for sure, given how many independent answers each answer counts for."""

    @abstractmethod
    def describe(self, arms: Arms) -> str:
        """The counts as the first half of a sentence."""

    def verdict(self, step: Arms, recent: Arms, log_threshold: float) -> GateVerdict:
        """What is known by now."""
        ours, theirs = self.samples(step)
        numbers: dict[str, float] = {"samples": ours, "compared_with": theirs, "margin": self.gate.margin}
        if not ours or not theirs:
            return self._without_data(ours, theirs, numbers)
        log, dispersion = self._mixture.log, self._dispersion.value
        numbers |= {"log_evidence": log, "log_threshold": log_threshold, "dispersion": dispersion}
        numbers["excess"] = self.excess(step)
        if log >= log_threshold:
            telling = max((recent, step), key=self.excess)
            if self.matters(telling):
                numbers["excess"] = self.excess(telling)
                sentence = f"{self.describe(telling)}: 1 chance in {_in_words(log)} that this is luck."
                return self._say(Outcome.HARM, sentence, numbers)
        return self._good_enough(step, numbers, ours, dispersion)

    def _good_enough(self, step: Arms, numbers: dict[str, float], ours: int, dispersion: float) -> GateVerdict:
        described = self.describe(step)
        wanting = max(self.gate.min_samples - ours, 0)
        proof = self.proof(step)
        if not wanting and proof(1 / dispersion):
            return self._say(Outcome.FINE, f"{described}: no worse within the margin of {self._margin()}.", numbers)
        missing = bounds.missing(lambda times: proof(times / dispersion), ours)
        if missing is None and not wanting:
            sentence = f"{described}: if it stays so, no number of {self.unit} will show that it is within the margin"
            return self._say(Outcome.INCONCLUSIVE, f"{sentence} of {self._margin()}.", numbers)
        more = max(missing or 0, wanting)
        sentence = f"{described}: not enough to tell, about {more:,} more {self.unit} of {self._candidate} would do."
        return self._say(Outcome.INCONCLUSIVE, sentence, numbers, more)

    def _without_data(self, ours: int, theirs: int, numbers: dict[str, float]) -> GateVerdict:
        name, unit = self.gate.name, self.unit
        if not (ours or theirs or self.gate.required):
            return self._say(Outcome.ABSENT, f"No {unit} to judge {name} by.", numbers)
        silent = self._candidate if not ours else "the others"
        sentence = f"No {unit} of {silent} to judge {name} by yet."
        return self._say(Outcome.INCONCLUSIVE, sentence, numbers, None if ours else self.gate.min_samples)

    def _say(
        self, outcome: Outcome, sentence: str, numbers: dict[str, float], missing: int | None = None
    ) -> GateVerdict:
        return GateVerdict(self.gate.name, outcome, sentence, self.gate.critical, numbers, missing)

    def _margin(self) -> str:
        return percent(self.gate.margin)

    def as_json(self) -> dict[str, Any]:
        """All that the future depends on."""
        return {"mixture": self._mixture.as_json(), "dispersion": self._dispersion.as_json()}

    def restore(self, known: Mapping[str, Any]) -> None:
        """Go on where `as_json` was."""
        self._mixture.restore(known["mixture"])
        self._dispersion.restore(known["dispersion"])


def percent(share: float) -> str:
    """A share for people."""
    return f"{100 * share:.1f} %"


def _in_words(log: float) -> str:
    """e to this power with two digits, as much as anybody believes."""
    if log > math.log(1e9):
        return "more than a billion"
    odds = math.exp(log)
    digits = max(len(str(int(odds))) - 2, 0)
    return f"{round(odds, -digits):,.0f}"
