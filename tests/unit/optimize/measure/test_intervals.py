"""Intervals that say how little a few rows tell."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.optimize.measure.intervals import paired_difference, resampled, share


def test_twenty_hits_of_twenty_leave_room_for_misses() -> None:
    found = share(20, 20)
    assert found.value == 1.0 and found.high == 1.0
    assert found.low == pytest.approx(0.839, abs=0.001)  # Wilson's published value


def test_a_share_lies_within_its_interval() -> None:
    found = share(81, 263)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_rows_without_any_change_bound_the_loss_by_their_number() -> None:
    few, many = paired_difference(0, 0, 20), paired_difference(0, 0, 2000)
    assert few.value == 0 and few.high == pytest.approx(3.8415 / 23.8415, abs=1e-4)  # z² / (n + z²)
    assert many.high < 0.002


def test_the_interval_of_a_paired_difference_is_tangos() -> None:
    found = paired_difference(12, 2, 44)  # Tango 1998: 0.2273, from 0.0618 to 0.3850 (12 and 2 of 44)
    assert found.value == pytest.approx(0.2273, abs=1e-4)
    assert found.low > 0.05 and found.high < 0.40


def test_a_gain_is_a_loss_below_zero() -> None:
    found = paired_difference(0, 30, 100)
    assert found.value == -0.3 and found.high < 0


def test_a_bootstrap_interval_is_the_same_every_time() -> None:
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    found = resampled(lambda rows: float(values[rows].mean()), 400)
    assert found == resampled(lambda rows: float(values[rows].mean()), 400)
    assert found.low < 3.0 < found.high and found.high - found.low == pytest.approx(4 / np.sqrt(400), rel=0.2)
