"""Counts of replicas: right within their bounds, the same however they are added and subtracted."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.counts import ArmCounts, LabelCounts, ScoreBins, Sketch
from lepton_ai.counts.labels import MAX_LABELS
from lepton_ai.counts.sketch import bucket_of, value_of

values = st.lists(st.floats(2e-6, 9e4), min_size=1, max_size=60)


def sketch(added: list[float]) -> Sketch:
    made = Sketch()
    made.extend(added)
    return made


def arm(seed: int, answers: int = 50) -> ArmCounts:
    dice, counts = random.Random(seed), ArmCounts()
    for _ in range(answers):
        counts.answers += 1
        if dice.random() < 0.2:
            counts.errors["INTERNAL"] += 1
            continue
        counts.latency_s.add(dice.lognormvariate(-3, 1))
        counts.labels.add(f"label {dice.randrange(5)}")
        counts.scores.add(dice.random())
        counts.distances.add(dice.random())
        counts.compared += 1
        counts.disagreeing += dice.random() < 0.1
        counts.good += dice.random() < 0.1
        counts.bad += dice.random() < 0.1
    return counts


@given(values, st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_quantiles_are_right_within_two_percent(added: list[float], share: float) -> None:
    exact = sorted(added)[max(-int(-share * len(added) // 1) - 1, 0)]
    assert sketch(added).quantile(share) == pytest.approx(exact, rel=0.0201)


@given(values, values)
def test_sketches_add_up_and_subtract(some: list[float], more: list[float]) -> None:
    both = sketch(some + more)
    assert sketch(some) + sketch(more) == both
    assert both - sketch(some) == sketch(more)


def test_nothing_breaks_a_sketch() -> None:
    odd = sketch([0.0, -1.0, 1e-300, float("nan"), float("inf"), 1e300])
    assert odd.count == 6
    assert len(odd.buckets) == 2
    assert Sketch().quantile(0.5) is None


def test_the_number_of_buckets_is_bounded() -> None:
    assert bucket_of(float("inf")) - bucket_of(0.0) < 640


def test_values_above_a_bucket_are_counted() -> None:
    assert sketch([0.1, 0.2, 0.3, 0.4]).count_above(bucket_of(0.25)) == 2


def test_a_scaled_sketch_is_that_of_scaled_values() -> None:
    scaled = sketch([0.1] * 10).scaled(1.5).quantile(0.5)
    assert scaled == pytest.approx(0.15, rel=0.04)
    assert value_of(bucket_of(0.15)) == pytest.approx(0.15, rel=0.02)


def test_labels_beyond_the_bound_are_counted_together() -> None:
    labels = LabelCounts()
    for number in range(MAX_LABELS + 50):
        labels.add(f"label {number}")
    assert (len(labels.by_label), labels.rest, labels.count) == (MAX_LABELS, 50, MAX_LABELS + 50)


def test_the_most_frequent_labels_of_two_replicas_keep_their_names() -> None:
    many = LabelCounts({f"a{number}": 2 for number in range(MAX_LABELS)})
    both = many + LabelCounts({f"b{number}": 3 for number in range(10)}, rest=4)
    assert all(f"b{number}" in both.by_label for number in range(10))
    assert both.count == many.count + 34
    assert len(both.by_label) == MAX_LABELS


def test_scores_outside_of_the_unit_interval_are_in_the_outermost_bins() -> None:
    bins = ScoreBins()
    for score in (-3.0, 0.0, float("nan"), 1.0, 7.0):
        bins.add(score)
    assert (bins.bins[0], bins.bins[-1]) == (3, 2)


def test_an_interval_is_the_difference_of_two_states() -> None:
    before, since = arm(1), arm(2)
    assert (before + since) - before == since


def test_the_order_of_replicas_does_not_matter() -> None:
    assert (arm(1) + arm(2)) + arm(3) == arm(3) + (arm(2) + arm(1))


def test_a_replica_that_began_anew_never_makes_counts_negative() -> None:
    fewer = arm(1, answers=5) - arm(2, answers=500)
    assert fewer.answers == 0
    assert fewer.labels.count == 0
    assert fewer.latency_s.count == 0


def test_counts_survive_json() -> None:
    assert ArmCounts.from_json(json.loads(json.dumps(arm(3).as_json()))) == arm(3)
