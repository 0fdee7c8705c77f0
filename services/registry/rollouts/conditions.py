"""Conditions that a plan adds to the judge's own gates: other margins, and Prometheus expressions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from lepton_ai.errors import InvalidInput
from services.registry.rollouts.judging.gates import DEFAULT_GATES, SHADOW_GATES, Gate
from services.registry.rollouts.judging.verdicts import GateVerdict, Outcome
from services.registry.rollouts.record import MetricGate, RolloutRecord

PATIENCE = 3
"""Looks in a row at which a metric must be out of bounds to be harm: one odd value rolls nothing back."""
_MAX_METRICS = 20
_MAX_QUERY = 4000
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class MetricValue:
    """What Prometheus said of a gate: a number, or why there is none."""

    number: float | None
    problem: str = ""


def gates_of(record: RolloutRecord) -> Sequence[Gate]:
    """The judge's gates at the present step, with the margins of the plan."""
    margins = record.plan.margins
    gates = SHADOW_GATES if record.is_shadowing else DEFAULT_GATES
    kept = [gate for gate in gates if margins.get(gate.name, gate.margin) > 0]
    # What somebody allows is no harm either.
    return [
        replace(gate, margin=margins[gate.name], negligible=margins[gate.name]) if gate.name in margins else gate
        for gate in kept
    ]


def judge_metrics(
    gates: Sequence[MetricGate], values: Mapping[str, MetricValue], breaches: Mapping[str, int]
) -> tuple[list[GateVerdict], dict[str, int]]:
    """A verdict for each gate, and at how many looks in a row each has been out of bounds by now."""
    verdicts, now = [], dict[str, int]()
    for gate in gates:
        value = values.get(gate.name, MetricValue(None, "was not asked"))
        before = breaches.get(gate.name, 0)
        out = value.number is not None and not _COMPARISONS[gate.comparison](value.number, gate.threshold)
        now[gate.name] = before + 1 if out else (before if value.number is None else 0)
        verdicts.append(_verdict(gate, value, now[gate.name]))
    return verdicts, now


def check_metrics(gates: Sequence[MetricGate]) -> None:
    """Raises InvalidInput for conditions that are none."""
    taken = {gate.name for gate in (*DEFAULT_GATES, *SHADOW_GATES)}
    if len(gates) > _MAX_METRICS:
        raise InvalidInput.of_field("plan.metrics", f"are more than {_MAX_METRICS}")
    for index, gate in enumerate(gates):
        field = f"plan.metrics[{index}]"
        if not gate.name or len(gate.name) > 64 or gate.name in taken:
            raise InvalidInput.of_field(f"{field}.name", "is empty, too long or taken", fix="Give it another name.")
        taken.add(gate.name)
        if not gate.query.strip() or len(gate.query) > _MAX_QUERY:
            raise InvalidInput.of_field(f"{field}.query", f"is empty or over {_MAX_QUERY} characters")
        if gate.comparison not in _COMPARISONS or not isfinite(gate.threshold):
            raise InvalidInput.of_field(field, "is no comparison with a number", fix="For instance: … < 0.01.")


def check_margins(margins: Mapping[str, float]) -> None:
    """Raises InvalidInput for margins of gates that are unknown, or that are no shares."""
    known = {gate.name for gate in (*DEFAULT_GATES, *SHADOW_GATES)}
    for name, margin in margins.items():
        if name not in known:
            raise InvalidInput.of_field(
                "plan.margins", f"{name[:64]!r} is no gate", fix=f"Gates: {', '.join(sorted(known))}."
            )
        if not 0 <= margin <= 10:
            raise InvalidInput.of_field("plan.margins", f"that of {name} must be 0 (not judged) to 1000 %")
    for gates in (DEFAULT_GATES, SHADOW_GATES):
        if not any(margins.get(gate.name, gate.margin) > 0 for gate in gates):
            raise InvalidInput.of_field(
                "plan.margins", "leave nothing to judge by", fix="Keep a gate, or do not have it judged."
            )


def _verdict(gate: MetricGate, value: MetricValue, breaches: int) -> GateVerdict:
    wanted = f"{gate.comparison} {gate.threshold:g}"
    numbers = {"threshold": gate.threshold, "looks_out_of_bounds": float(breaches)}
    if value.number is None:
        sentence = f"{gate.name} has no number, it should be {wanted}: {value.problem}."
        return GateVerdict(gate.name, Outcome.INCONCLUSIVE, sentence, True, numbers)
    numbers["value"] = value.number
    if not breaches:
        return GateVerdict(gate.name, Outcome.FINE, f"{gate.name} is {value.number:.4g}, {wanted}.", True, numbers)
    outcome = Outcome.HARM if breaches >= PATIENCE else Outcome.INCONCLUSIVE
    looks = "at this look" if breaches == 1 else f"at {breaches} looks in a row"
    sentence = f"{gate.name} is {value.number:.4g}, not {wanted}, {looks}."
    return GateVerdict(gate.name, outcome, sentence, True, numbers)
