"""Rollouts as text for people, and as documents for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.cli.output import Column, console, format_duration_s, make_table, style_state
from lepton_ai.references import format_form

if TYPE_CHECKING:
    from rich.text import Text

    from lepton_ai.v1.registry_pb2 import Rollout as RolloutMessage
    from lepton_ai.v1.registry_pb2 import RolloutDecision, Verdict

_BAR_WIDTH = 30
_EVIDENCE_WIDTH = 12
_HOLDING = ("distance", "disagreement")
_OUTCOME_STYLES = {"harm": "bold red", "fine": "green", "inconclusive": "yellow"}


def document(message: RolloutMessage) -> dict[str, Any]:
    """A rollout for programs. Shares are percents."""
    return {
        "id": message.id,
        "model": message.model,
        "version": message.version,
        "old_version": message.old_version,
        "variant": message.variant,
        "old_variant": message.old_variant,
        "state": state_of(message),
        "share_percent": message.share / 100,
        "step": message.step + 1,
        "steps_percent": [share / 100 for share in message.plan.shares],
        "shadow_percent": message.plan.shadow / 100,
        "sticky_by": message.plan.sticky_by,
        "metrics": [f"{each.name}: {each.query} {each.comparison} {each.threshold:g}" for each in message.plan.metrics],
        "margins": dict(message.plan.margins),
        "step_s": message.plan.step_s,
        "step_passed_s": round(message.step_passed_s, 3),
        "bake_s": message.plan.bake_s,
        "baking": message.baking,
        "reason": message.reason,
        "verdict": _verdict_document(message.verdict) if message.HasField("verdict") else None,
        "actor": message.actor,
        "ended_by": message.ended_by,
        "started_at": message.started_at.ToJsonString(),
        "changed_at": message.changed_at.ToJsonString(),
    }


def decisions_document(decisions: Sequence[RolloutDecision]) -> list[dict[str, Any]]:
    """What was decided, for programs."""
    return [
        {
            "decided_at": each.decided_at.ToJsonString(),
            "state": state_of(each),
            "step": each.step + 1,
            "share_percent": each.share / 100,
            "actor": each.actor,
            "reason": each.reason,
            "verdict": _verdict_document(each.verdict) if each.HasField("verdict") else None,
        }
        for each in decisions
    ]


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    gates = [
        {
            "gate": gate.gate,
            "outcome": _outcome_of(gate.outcome),
            "sentence": gate.sentence,
            "numbers": dict(gate.numbers),
        }
        for gate in verdict.gates
    ]
    return {"outcome": _outcome_of(verdict.outcome), "sentence": verdict.sentence, "gates": gates}


def _outcome_of(outcome: Any) -> str:
    from lepton_ai.v1 import registry_pb2

    return registry_pb2.VerdictOutcome.Name(outcome).removeprefix("VERDICT_OUTCOME_").lower()


def state_of(message: RolloutMessage | RolloutDecision) -> str:
    """Its state as a word."""
    from lepton_ai.v1 import registry_pb2

    return registry_pb2.RolloutState.Name(message.state).removeprefix("ROLLOUT_STATE_").lower()


def summary(message: RolloutMessage) -> str:
    """A rollout in one line."""
    state, reason = state_of(message).replace("_", " "), f": {message.reason.rstrip('.')}" if message.reason else ""
    new, old = forms(message)
    return f"{message.model} version {new} (from {old}) is {state}{reason}."


def forms(message: RolloutMessage) -> tuple[str, str]:
    """What it goes to and where it comes from: "3+int8", "3"."""
    new = format_form(message.version, message.variant)
    return new, format_form(message.old_version, message.old_variant)


def row(message: RolloutMessage) -> tuple[object, ...]:
    """A rollout in a list of them: model, versions, state, share, when, why."""
    started = message.started_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    state = state_of(message)
    return (
        message.model,
        *forms(message),
        style_state(state),
        f"{message.share / 100:g} %",
        started,
        message.reason,
    )


def view(message: RolloutMessage) -> Any:
    """Where a rollout stands: weights, gates, time to the next step."""
    from rich.console import Group
    from rich.text import Text

    from lepton_ai.client.control.rollouts import WHOLE

    state = state_of(message)
    bar = _bar(message.share / WHOLE, "green", _BAR_WIDTH)
    rows: list[tuple[object, object]] = [
        ("Version", ", from ".join(forms(message))),
        ("State", style_state(state)),
        ("Traffic", bar + Text(f" {message.share / 100:g} %")),
        ("Steps", " → ".join(_steps(message))),
    ]
    if message.plan.sticky_by:
        rows.append(("Sticky by", f"routing key, else {message.plan.sticky_by}"))
    if state == "running" or (state == "held" and not is_for_people(message)):
        left_s = max(0.0, message.plan.step_s - message.step_passed_s)
        rows.append(("Next step in" if state == "running" else "Looks again in", format_duration_s(left_s)))
    elif message.baking:
        left_s = max(0.0, message.plan.bake_s - message.step_passed_s)
        rows.append(("Old version leaves in", format_duration_s(left_s)))
    parts = [Text(message.model, style="bold"), make_table([Column(""), Column("")], rows, framed=False)]
    if message.reason:
        parts.append(Text(f"Why: {message.reason}"))  # not in the table, whose columns it would squeeze
    if message.HasField("verdict"):
        parts += [Text(""), _gates(message)]
    return Group(*parts)


def _steps(message: RolloutMessage) -> Iterator[str]:
    plan = message.plan
    if plan.shadow:
        yield f"copies of {plan.shadow / 100:g} %"
    yield from (f"{share / 100:g} %" for share in plan.shares)
    yield "you decide" if is_for_people(message) else "100 %"


def is_for_people(message: RolloutMessage) -> bool:
    """Whether nothing follows by itself from the end of its last step."""
    return bool(message.plan.sticky_by) or not message.plan.shares


def _bar(part: float, style: str, width: int) -> Text:
    from rich.text import Text

    filled = round(min(max(part, 0.0), 1.0) * width)
    return Text("█" * filled, style=style) + Text("░" * (width - filled), style="dim")


def _gates(message: RolloutMessage) -> Any:
    from rich.text import Text

    rows = []
    for gate in message.verdict.gates:
        outcome = _outcome_of(gate.outcome)
        rows.append((gate.gate, Text(outcome, style=_OUTCOME_STYLES.get(outcome, "dim")), gate.sentence))
    return make_table([Column("Gate"), Column("Outcome"), Column("What is known")], rows, framed=console().is_terminal)


def explanation(message: RolloutMessage) -> Any:
    """Why a rollout is where it is: how near each gate is to harm, and all that was decided so far."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [view(message)]
    if message.HasField("verdict"):
        holds = any(gate.gate in _HOLDING for gate in message.verdict.gates)
        end = "takes the version back" + ("; distance and disagreement hold it" if holds else "")
        parts += [Text(f"\nEvidence of harm; at the right end of its bar a gate {end}."), _evidence(message)]
    if message.decisions:
        parts += [Text("\nWhat was decided, and what was known then:"), *map(_decided, reversed(message.decisions))]
    return Group(*parts)


def _decided(decision: RolloutDecision) -> Text:
    from rich.text import Text

    at, state = decision.decided_at.ToDatetime(), state_of(decision).replace("_", " ")
    lines = [f"{at:%Y-%m-%d %H:%M:%S}  {state}, {decision.share / 100:g} %, by {decision.actor}: {decision.reason}"]
    told = [gate for gate in decision.verdict.gates if _outcome_of(gate.outcome) != "absent"]
    lines += [f"    {gate.gate}: {gate.sentence}" for gate in told if gate.sentence != decision.reason]
    return Text("\n".join(lines))


def _evidence(message: RolloutMessage) -> Any:
    from rich.text import Text

    rows = []
    for gate in message.verdict.gates:
        log, threshold = gate.numbers.get("log_evidence"), gate.numbers.get("log_threshold")
        part = max(log, 0.0) / threshold if log is not None and threshold else 0.0
        bar = _bar(part, "red" if part >= 1 else "yellow", _EVIDENCE_WIDTH) if threshold else Text("")
        rows.append((gate.gate, bar, _in_words(gate.numbers)))
    return make_table([Column("Gate"), Column("Harm"), Column("Numbers")], rows, framed=console().is_terminal)


def _in_words(numbers: Mapping[str, float]) -> str:
    """What a gate's verdict rests on; all digits are in --json."""
    told = []
    if numbers.get("samples") or numbers.get("compared_with"):
        told.append(f"{numbers['samples']:,.0f} answers beside {numbers.get('compared_with', 0):,.0f}")
    if "excess" in numbers:
        excess, allowed = numbers["excess"], f"{numbers['margin']:.0%} worse is allowed"
        told.append(f"{'better' if excess < 0 else 'worse'} by {abs(excess):.1%}, {allowed}")
    if "log_threshold" in numbers:
        log = max(numbers["log_evidence"], 0.0)
        told.append(f"evidence {log:.1f} of {numbers['log_threshold']:.1f}")
    if "value" in numbers:
        told.append(f"{numbers['value']:.4g} beside {numbers['threshold']:.4g}")
    return "; ".join(told)
