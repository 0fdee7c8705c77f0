"""What a plan may add to the judge's own gates."""

from __future__ import annotations

import pytest

from lepton_ai.errors import InvalidInput
from services.registry.rollouts.conditions import (
    PATIENCE,
    MetricValue,
    check_margins,
    check_metrics,
    judge_metrics,
)
from services.registry.rollouts.judging.verdicts import Outcome
from services.registry.rollouts.record import MetricGate

ORDERS = MetricGate("orders", "sum(rate(orders[1m]))", ">=", 2.0)


def outcomes(*numbers: float | None) -> list[Outcome]:
    """Of looks that found these numbers, one after the other."""
    breaches: dict[str, int] = {}
    found = []
    for number in numbers:
        (verdict,), breaches = judge_metrics([ORDERS], {"orders": MetricValue(number, "it is away")}, breaches)
        found.append(verdict.outcome)
    return found


def test_only_what_stays_out_of_bounds_is_harm() -> None:
    assert outcomes(3.0, 1.0, 1.0, 3.0, 1.0, 1.0, 1.0) == [
        Outcome.FINE,
        Outcome.INCONCLUSIVE,
        Outcome.INCONCLUSIVE,
        Outcome.FINE,
        Outcome.INCONCLUSIVE,
        Outcome.INCONCLUSIVE,
        Outcome.HARM,
    ]


def test_while_prometheus_is_away_nothing_is_concluded_and_nothing_forgotten() -> None:
    assert outcomes(1.0, 1.0, None, 1.0)[-2:] == [Outcome.INCONCLUSIVE, Outcome.HARM]
    assert outcomes(*[None] * 2 * PATIENCE)[-1] is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("comparison", "fine"), [("<", False), ("<=", True), (">", False), (">=", True)])
def test_every_comparison_says_what_it_looks_like(comparison: str, fine: bool) -> None:
    gate = MetricGate("m", "m", comparison, 2.0)
    (verdict,), _ = judge_metrics([gate], {"m": MetricValue(2.0)}, {})
    assert (verdict.outcome is Outcome.FINE) == fine


@pytest.mark.parametrize(
    "gate",
    [
        MetricGate("", "m", "<", 1.0),
        MetricGate("errors", "m", "<", 1.0),
        MetricGate("m", " ", "<", 1.0),
        MetricGate("m", "m", "==", 1.0),
        MetricGate("m", "m", "<", float("nan")),
    ],
)
def test_what_is_no_condition_is_refused(gate: MetricGate) -> None:
    with pytest.raises(InvalidInput):
        check_metrics([gate])


def test_two_conditions_need_two_names() -> None:
    with pytest.raises(InvalidInput, match="taken"):
        check_metrics([ORDERS, ORDERS])


@pytest.mark.parametrize("margins", [{"errrors": 0.1}, {"errors": -0.1}, {"errors": float("nan")}])
def test_margins_that_mean_nothing_are_refused(margins: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        check_margins(margins)


def test_something_must_be_left_to_judge_by() -> None:
    gates = ("errors", "latency p50", "latency p95", "latency p99", "labels", "scores", "feedback")
    with pytest.raises(InvalidInput, match="leave nothing"):
        check_margins(dict.fromkeys(gates, 0.0))
