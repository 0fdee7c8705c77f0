"""The judge: what it says, when, and that it can be stopped at any moment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import pytest

from benchmarks.judging.simulation import Fault, Interval, Scene, rollout
from lepton_ai.counts import ArmCounts, LabelCounts, Sketch
from services.registry.rollouts.judging import DEFAULT_GATES, Gate, GateVerdict, Judge, Measure, Outcome, Verdict
from services.registry.rollouts.judging.gates import SHADOW_GATES


def judged(intervals: Sequence[Interval], judge: Judge | None = None) -> Verdict:
    judge = judge or Judge(candidate="version 7")
    for interval in intervals:
        verdict = judge.look(*interval)
    return verdict


def gate(verdict: Verdict, name: str) -> GateVerdict:
    return next(each for each in verdict.gates if each.gate == name)


def answers(count: int, errors: int = 0, ms: float = 40.0, **more: object) -> ArmCounts:
    latency_s = Sketch()
    latency_s.extend([ms / 1000 * (0.5 + index % 10 / 10) for index in range(count - errors)])
    return ArmCounts(count, Counter({"INTERNAL": errors}), latency_s, **more)  # type: ignore[arg-type]


def healthy(looks: int, size: int = 100) -> list[Interval]:
    return [(answers(size), answers(size), answers(10 * size))] * looks


def test_a_candidate_that_is_as_good_is_fine_at_the_end_of_a_step() -> None:
    verdict = judged(healthy(20))
    assert verdict.outcome is Outcome.FINE
    assert "no worse within the margin of 1.0 %" in gate(verdict, "errors").sentence


def test_errors_are_harm_and_said_in_a_sentence() -> None:
    verdict = judged([(answers(40, errors=2), answers(40), answers(740))] * 5)
    assert verdict.outcome is Outcome.HARM
    said = "5.0 % of 80 answers of version 7 failed, 0.0 % of 1,480 of the others: 1 chance in 820"
    assert verdict.sentence == f"{said} that this is luck."
    numbers = gate(verdict, "errors").numbers
    assert numbers["log_evidence"] >= numbers["log_threshold"]


def test_harm_that_was_seen_once_stays() -> None:
    judge = Judge()
    judged([(answers(40, errors=4), answers(40), answers(740))] * 5, judge)
    judge.begin_step()
    assert judged(healthy(30), judge).outcome is Outcome.HARM


def test_callers_that_left_are_nobodys_errors() -> None:
    left = answers(100)
    left.errors = Counter({"CANCELLED": 30})
    assert gate(judged([(left, answers(100), answers(1000))] * 10), "errors").outcome is Outcome.FINE


def test_too_few_answers_are_inconclusive_and_say_how_many_are_missing() -> None:
    verdict = judged(healthy(1, size=50))
    errors = gate(verdict, "errors")
    assert (verdict.outcome, errors.outcome) == (Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE)
    assert errors.missing_answers is not None
    assert f"about {errors.missing_answers:,} more answers of version 7 would do" in errors.sentence


def test_as_many_answers_as_it_asked_for_settle_it() -> None:
    missing = gate(judged(healthy(1, size=50)), "errors").missing_answers
    assert missing is not None
    settled = judged([(answers(50 + missing), answers(50 + missing), answers(10 * (50 + missing)))])
    assert gate(settled, "errors").outcome is Outcome.FINE


def test_silence_is_not_consent() -> None:
    verdict = judged([(ArmCounts(), answers(100), answers(1000))] * 5)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "No answers of version 7 to judge errors by yet" in gate(verdict, "errors").sentence


def test_what_a_model_does_not_have_is_not_judged() -> None:
    verdict = judged(healthy(20))
    assert {each.gate for each in verdict.gates if each.outcome is Outcome.ABSENT} == {"labels", "scores", "feedback"}


def test_a_candidate_that_stops_giving_labels_is_not_fine() -> None:
    labelled = answers(100, labels=LabelCounts({"cat": 100}))
    verdict = judged([(answers(100), labelled, labelled)] * 20)
    assert gate(verdict, "labels").outcome is Outcome.INCONCLUSIVE
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_a_difference_that_does_not_matter_is_never_harm() -> None:
    verdict = judged([(answers(50_000, ms=41.0), answers(50_000), answers(50_000))] * 5)
    assert gate(verdict, "latency p50").outcome is Outcome.FINE


@pytest.mark.parametrize(("ms", "outcome"), [(1.8, Outcome.FINE), (2.6, Outcome.HARM)])
def test_a_fraction_of_a_millisecond_is_neither_harm_nor_doubt(ms: float, outcome: Outcome) -> None:
    verdict = judged([(answers(500, ms=ms), answers(500, ms=1.0), answers(500, ms=1.0))] * 10)
    assert gate(verdict, "latency p50").outcome is outcome


def test_worse_by_more_than_the_margin_needs_no_more_answers() -> None:
    gates = (Gate("errors", Measure.ERRORS, 0.001, 1.0, min_samples=100),)
    verdict = judged([(answers(100, errors=2), answers(100), answers(1000))] * 10, Judge(gates))
    assert gate(verdict, "errors").outcome is Outcome.INCONCLUSIVE
    assert gate(verdict, "errors").missing_answers is None


def test_harm_of_a_gate_that_is_not_critical_holds() -> None:
    gates = (Gate("errors", Measure.ERRORS, 0.01, 0.002, min_samples=10, critical=False),)
    verdict = judged([(answers(40, errors=4), answers(40), answers(740))] * 5, Judge(gates))
    assert gate(verdict, "errors").outcome is Outcome.HARM
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_a_step_is_judged_by_its_own_answers() -> None:
    judge = Judge()
    judged(healthy(20), judge)
    judge.begin_step()
    assert judged(healthy(1, size=10), judge).outcome is Outcome.INCONCLUSIVE


def test_bad_feedback_is_harm() -> None:
    rated, well = answers(100, good=5, bad=5), answers(100, good=9, bad=1)
    verdict = judged([(rated, well, well + answers(900, good=81, bad=9))] * 30)
    assert gate(verdict, "feedback").outcome is Outcome.HARM
    assert "rated answers of version 7 were called wrong" in gate(verdict, "feedback").sentence


@pytest.mark.parametrize(("far", "outcome"), [(20, Outcome.HARM), (0, Outcome.FINE)])
def test_shadows_that_answer_something_else_are_harm(far: int, outcome: Outcome) -> None:
    distances = Sketch()
    distances.extend([0.5] * far + [0.01] * (100 - far))
    shadow = answers(100, distances=distances, compared=100, disagreeing=far)
    verdict = judged([(shadow, answers(100), answers(100))] * 10, Judge(SHADOW_GATES))
    assert gate(verdict, "distance").outcome is outcome
    assert gate(verdict, "disagreement").outcome is outcome


def test_a_judge_that_was_killed_goes_on_exactly_where_it_was() -> None:
    through = Judge()
    killed = Judge()
    for interval in rollout(Scene(Fault(relabelled=0.3, errors=0.005), per_interval=30, rest=200, intervals=30), 3):
        expected = through.look(*interval)
        reborn = Judge()
        reborn.restore(json.loads(json.dumps(killed.as_json())))
        killed = reborn
        assert killed.look(*interval).as_json() == expected.as_json()


def test_a_gate_that_is_added_begins_with_nothing() -> None:
    before, after = Judge(DEFAULT_GATES[:3]), Judge()
    judged(healthy(20), before)
    after.restore(json.loads(json.dumps(before.as_json())))
    assert after.look(answers(100), answers(100), answers(1000)).outcome is Outcome.FINE


def test_the_state_stays_small() -> None:
    judge = Judge()
    judged(list(rollout(Scene(per_interval=30, rest=200, intervals=60), 3)), judge)
    assert len(json.dumps(judge.as_json())) < 128_000


def test_an_interval_without_any_answer_changes_nothing() -> None:
    judge = Judge()
    before = judged(healthy(20), judge)
    assert judge.look(ArmCounts(), ArmCounts(), ArmCounts()).outcome is before.outcome


def test_every_verdict_has_its_sentence() -> None:
    verdict = judged(list(rollout(Scene(Fault(relabelled=0.6), intervals=40), 1)))
    assert verdict.outcome is Outcome.HARM
    assert "have" in verdict.sentence or 'are "label' in verdict.sentence
    assert all(each.sentence.endswith(".") for each in verdict.gates)


@pytest.mark.parametrize("gates", [(), (DEFAULT_GATES[0], DEFAULT_GATES[0])])
def test_gates_need_names_of_their_own(gates: tuple[Gate, ...]) -> None:
    with pytest.raises(ValueError, match=r"gates|name"):
        Judge(gates)
