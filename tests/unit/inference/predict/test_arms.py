"""What is counted of calls while a rollout is under way."""

from __future__ import annotations

import asyncio

import pytest

from lepton_ai.counts import ArmCounts
from lepton_ai.errors import InvalidInput
from services.inference.predict.arms import count_failure


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("x: is no number"), "INVALID_ARGUMENT"),
        (asyncio.CancelledError(), "CANCELLED"),  # for which nobody is to blame
        (ZeroDivisionError(), "INTERNAL"),  # which is what its caller is told
    ],
)
def test_a_failed_call_counts_by_what_its_caller_sees(error: BaseException, code: str) -> None:
    arm = ArmCounts()
    count_failure(arm, error)
    assert (arm.answers, dict(arm.errors)) == (1, {code: 1})
