"""Evidence of harm: fair bets, by enumeration and against simulated nulls."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.rollouts.judging.evidence import Mixture, limit_gain, odds_gain, shape_gain
from services.registry.rollouts.judging.shares import _RARE

totals = st.integers(1, 40)


@given(totals, totals, st.data(), st.sampled_from([1.5, 3.0, 30.0]))
def test_a_bet_on_odds_is_exactly_fair_when_both_arms_are_equal(
    ours: int, theirs: int, data: st.DataObject, odds: float
) -> None:
    events = data.draw(st.integers(0, ours + theirs))
    everything = math.comb(ours + theirs, events)
    expected = math.fsum(
        math.comb(ours, mine)
        * math.comb(theirs, events - mine)
        / everything
        * math.exp(odds_gain(mine, ours, events - mine, theirs, odds))
        for mine in range(max(0, events - theirs), min(events, ours) + 1)
    )
    assert expected == pytest.approx(1.0, rel=1e-9)


def test_a_bet_on_odds_takes_millions_of_answers() -> None:
    assert 1e4 < odds_gain(600_000, 1_000_000, 400_000, 1_000_000, 2.0) < 1e6
    assert odds_gain(500_000, 1_000_000, 500_000, 1_000_000, 2.0) < 0


@given(st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3), st.integers(1, 4), st.integers(1, 3))
def test_a_bet_on_shapes_is_fair_whatever_the_common_distribution(weights: list[float], n: int, m: int) -> None:
    shares = [weight / sum(weights) for weight in weights]
    expected = 0.0
    for ours, theirs in itertools.product(compositions(n), compositions(m)):
        gain = shape_gain(ours, theirs, (9.0, 2.0, 1.0), (1.0, 2.0, 30.0), 5.0)
        expected += multinomial(ours, shares) * multinomial(theirs, shares) * math.exp(gain)
    assert expected <= 1 + 1e-9


def compositions(total: int) -> list[tuple[int, int, int]]:
    return [(a, b, total - a - b) for a in range(total + 1) for b in range(total - a + 1)]


def multinomial(counts: tuple[int, ...], shares: list[float]) -> float:
    ways = math.factorial(sum(counts)) / math.prod(math.factorial(count) for count in counts)
    return ways * math.prod(share**count for share, count in zip(shares, counts, strict=True))


@pytest.mark.parametrize("odds", [1.5, 5.0])
def test_a_bet_against_a_limit_is_fair_at_the_limit(odds: float) -> None:
    expected = math.fsum(
        math.comb(20, k) * 0.1**k * 0.9 ** (20 - k) * math.exp(limit_gain(k, 20, 0.1, odds)) for k in range(21)
    )
    assert expected == pytest.approx(1.0)


def test_a_mixture_keeps_something_back_for_what_turns_bad_late() -> None:
    patient = Mixture([1.0])
    for _ in range(200):
        patient.add([-3.0], dispersion=1.0)
    for _ in range(20):
        patient.add([1.0], dispersion=1.0)
    assert patient.log > 8.0


def test_a_mixture_of_fair_bets_crosses_its_threshold_as_rarely_as_it_promises() -> None:
    dice, crossed = random.Random(7), 0
    for _ in range(400):
        mixture, greatest = Mixture([0.5, 0.5]), 0.0
        for _ in range(60):
            mine = sum(dice.random() < 0.5 for _ in range(4))
            mixture.add([odds_gain(mine, 40, 4 - mine, 40, odds) for odds in (2.0, 10.0)], dispersion=1.0)
            greatest = max(greatest, mixture.log)
        crossed += greatest >= math.log(20)
    assert crossed <= 400 / 20


def test_nine_errors_against_none_are_enough_between_equal_arms() -> None:
    mixture = Mixture(list(_RARE.values()))
    for _ in range(10):
        mixture.add([0.0 for _ in _RARE], dispersion=1.0)
    for _ in range(9):
        mixture.add([odds_gain(1, 20, 0, 20, odds) for odds in _RARE], dispersion=1.0)
    assert mixture.log > math.log(100)
