"""What people and programs are shown of a rollout."""

from __future__ import annotations

from rich.console import Console

from lepton_ai.cli.catalogue.rollout_views import decisions_document, document, explanation, view
from lepton_ai.v1 import registry_pb2 as pb

HARM, FINE = pb.VERDICT_OUTCOME_HARM, pb.VERDICT_OUTCOME_FINE


def shown(renderable: object) -> str:
    out = Console(width=200, record=True, file=None, quiet=True)
    with out.capture() as captured:
        out.quiet = False
        out.print(renderable)
    return captured.get()


def rollout(state: pb.RolloutState.ValueType = pb.ROLLOUT_STATE_RUNNING, **changes: object) -> pb.Rollout:
    message = pb.Rollout(model="cat", version=2, old_version=1, state=state, share=500, step_passed_s=20.0)
    message.plan.MergeFrom(pb.RolloutPlan(shares=[500, 2500], step_s=60.0))
    message.MergeFrom(pb.Rollout(**changes))  # type: ignore[arg-type]
    return message


def gate(name: str, *, excess: float = 0.0, outcome: pb.VerdictOutcome.ValueType = FINE) -> pb.GateVerdict:
    numbers = {"samples": 300.0, "compared_with": 310.0, "margin": 0.2, "excess": excess}
    return pb.GateVerdict(gate=name, outcome=outcome, sentence=f"{name} is told.", numbers=numbers)


def test_weights_and_the_time_to_the_next_step_are_shown() -> None:
    text = shown(view(rollout()))
    assert "5 % → 25 % → 100 %" in text
    assert "Next step in  40.0 s" in text


def test_of_a_held_one_it_is_shown_when_it_is_looked_at_again_unless_people_decide() -> None:
    held = pb.ROLLOUT_STATE_HELD
    assert "Looks again in  40.0 s" in shown(view(rollout(held)))
    assert "Looks again" not in shown(view(rollout(held, plan=pb.RolloutPlan(sticky_by="user-id"))))


def test_what_is_faster_is_better() -> None:
    verdict = pb.Verdict(outcome=FINE, gates=[gate("latency p95", excess=-0.551), gate("errors", excess=0.004)])
    text = shown(explanation(rollout(verdict=verdict)))
    assert "better by 55.1%, 20% worse is allowed" in text
    assert "worse by 0.4%" in text


def test_that_a_gate_only_holds_is_said_where_there_is_one() -> None:
    shadow = pb.Verdict(outcome=HARM, gates=[gate("distance", outcome=HARM)])
    assert "distance and disagreement hold it" in shown(explanation(rollout(verdict=shadow)))
    assert "hold it" not in shown(explanation(rollout(verdict=pb.Verdict(gates=[gate("errors")]))))


def test_decisions_are_told_in_their_order_with_what_was_known() -> None:
    message = rollout(ended_by="Anna")
    verdict = pb.Verdict(outcome=FINE, gates=[gate("errors"), gate("labels", outcome=pb.VERDICT_OUTCOME_ABSENT)])
    message.decisions.add(state=pb.ROLLOUT_STATE_RUNNING, step=1, share=2500, actor="registry", verdict=verdict)
    message.decisions.add(state=pb.ROLLOUT_STATE_WAITING, actor="Anna", reason="waits")
    first, second, numbers = shown(explanation(message)).splitlines()[-3:]
    assert "waiting, 0 %, by Anna: waits" in first
    assert "running, 25 %, by registry" in second
    assert numbers.strip() == "errors: errors is told."
    newest, oldest = decisions_document(message.decisions)
    assert (newest["step"], newest["share_percent"], oldest["verdict"]) == (2, 25.0, None)
    assert newest["verdict"]["gates"][0]["numbers"]["samples"] == 300
    assert document(message)["ended_by"] == "Anna"
