"""What the judge says of each gate, and of all together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Outcome(Enum):
    """What is known of a gate, or of the candidate."""

    HARM = "harm"
    FINE = "fine"
    INCONCLUSIVE = "inconclusive"
    ABSENT = "absent"
    """There is nothing of this kind to judge: a model without labels, no feedback."""


@dataclass(frozen=True)
class GateVerdict:
    """What is known of one gate after a look."""

    gate: str
    outcome: Outcome
    sentence: str
    critical: bool
    numbers: dict[str, float] = field(default_factory=dict)
    """What it rests on: counts, shares, evidence, the threshold of evidence, dispersion, bound and margin."""
    missing_answers: int | None = None
    """About how many answers of the candidate would settle an inconclusive gate; None where no number would."""

    def as_json(self) -> dict[str, Any]:
        """For the record of decisions."""
        return {
            "gate": self.gate,
            "outcome": self.outcome.value,
            "sentence": self.sentence,
            "critical": self.critical,
            "numbers": self.numbers,
            "missing_answers": self.missing_answers,
        }

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> GateVerdict:
        """The verdict that `as_json` wrote."""
        return cls(**{**known, "outcome": Outcome(known["outcome"])})


@dataclass(frozen=True)
class Verdict:
    """What is known of the candidate after a look.

    HARM: a critical gate saw harm; roll back. FINE: every gate with something to judge is good enough; it counts at the
    end of a step, as it is not made for being waited for. INCONCLUSIVE: hold, or go on looking within a step.
    """

    outcome: Outcome
    sentence: str
    gates: tuple[GateVerdict, ...]

    def as_json(self) -> dict[str, Any]:
        """For the record of decisions."""
        gates = [gate.as_json() for gate in self.gates]
        return {"outcome": self.outcome.value, "sentence": self.sentence, "gates": gates}


def overall(gates: tuple[GateVerdict, ...]) -> Verdict:
    """All gates together, with the sentence of the one that decided."""
    harmful = [gate for gate in gates if gate.outcome is Outcome.HARM]
    critical = [gate for gate in harmful if gate.critical]
    if critical:
        return Verdict(Outcome.HARM, critical[0].sentence, gates)
    if harmful:
        return Verdict(Outcome.INCONCLUSIVE, f"{harmful[0].sentence} The gate is not critical: held.", gates)
    undecided = [gate for gate in gates if gate.outcome is Outcome.INCONCLUSIVE]
    if undecided:
        names = ", ".join(gate.gate for gate in undecided)
        slowest = max(
            undecided, key=lambda gate: float("inf") if gate.missing_answers is None else gate.missing_answers
        )
        return Verdict(Outcome.INCONCLUSIVE, f"Not settled: {names}. {slowest.sentence}", gates)
    judged = [gate.gate for gate in gates if gate.outcome is Outcome.FINE]
    if not judged:
        return Verdict(Outcome.INCONCLUSIVE, "Nothing was answered yet.", gates)
    return Verdict(Outcome.FINE, f"Good enough within the margins: {', '.join(judged)}.", gates)
