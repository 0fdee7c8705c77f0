"""Schedules go where they say they go."""

from __future__ import annotations

from typing import Any

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.reinforcement import Schedule


def test_a_linear_one_goes_straight_and_then_stays() -> None:
    schedule = Schedule(1.0, 0.2, until=0.5)
    assert [schedule(share) for share in (0.0, 0.25, 0.5, 0.9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_an_exponential_one_falls_by_equal_factors() -> None:
    schedule = Schedule(1.0, 0.01, shape="exponential")
    assert [schedule(share) for share in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize(
    "values",
    [
        {"start": 1, "end": 0, "until": 0},
        {"start": 1, "end": 0, "until": 1.5},
        {"start": 1, "end": 0, "shape": "exponential"},
        {"start": 1, "end": 0, "shape": "round"},
    ],
)
def test_one_that_cannot_be_followed_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Schedule(**values)
