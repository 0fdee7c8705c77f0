"""Judges a candidate by the counts of its answers: harm at any time, good enough at the end of a step.

No clock, no files, no network: counts go in, verdicts come out. How it judges is in docs/rollouts-judge.md.
"""

from __future__ import annotations

from services.registry.rollouts.judging.gates import DEFAULT_GATES, Gate, Measure
from services.registry.rollouts.judging.judge import Judge
from services.registry.rollouts.judging.verdicts import GateVerdict, Outcome, Verdict

__all__ = ["DEFAULT_GATES", "Gate", "GateVerdict", "Judge", "Measure", "Outcome", "Verdict"]
