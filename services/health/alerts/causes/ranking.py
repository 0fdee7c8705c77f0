"""The likeliest causes of an alert, in order. Pure: no clock, no I/O."""

from __future__ import annotations

from services.health.alerts.causes.clues import find_clues
from services.health.alerts.causes.evidence import Evidence
from services.health.alerts.causes.layers import weights_of
from services.health.alerts.memory.records import Alert, Cause

_MOST, _MOST_OF_A_KIND = 4, 2
_ALIKE = 0.7
"""How much the second of a kind counts: one of another kind is more often news."""
_LEAST = 0.25
"""What fits less is not told: a guess costs somebody who was woken more than it helps."""


def rank(alert: Alert, evidence: Evidence) -> tuple[Cause, ...]:
    """At most four, the likeliest first: by how well each fits, and by how often its kind explains such an alert."""
    weights = weights_of(alert.name)
    scored = [(weights.get(clue.cause.kind, 0.0) * clue.strength, clue.cause) for clue in find_clues(alert, evidence)]
    chosen: list[tuple[float, Cause]] = []
    for score, cause in sorted(scored, key=lambda pair: -pair[0]):
        alike = sum(each.kind == cause.kind for _, each in chosen)
        worth = score * _ALIKE**alike
        if worth >= _LEAST and alike < _MOST_OF_A_KIND and all(cause != each for _, each in chosen):
            chosen.append((worth, cause))
    chosen.sort(key=lambda pair: -pair[0])
    return tuple(cause for _, cause in chosen[:_MOST])


def command_of(cause: Cause) -> str:
    """The command that shows a cause."""
    if cause.kind == "alert":
        return f"lepton alerts show {cause.see[:8]}"
    if cause.kind == "log":
        return f"lepton logs --template {cause.see}"
    return f"lepton metrics {_quoted(cause.see)} --since 1h" if cause.see else "lepton events --since 1h"


def _quoted(expression: str) -> str:
    return "'" + expression.replace("'", "'\"'\"'") + "'"
