"""What is counted of calls while a rollout is under way."""

from __future__ import annotations

import asyncio
import time

import pytest
from opentelemetry.context import Context

from lepton_ai.counts import ArmCounts
from lepton_ai.errors import InvalidInput
from services.inference.call import Call
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


@pytest.mark.parametrize(("arrived_s", "left_s", "code"), [(4.7, 0.3, "DEADLINE_EXCEEDED"), (0.5, 4.5, "CANCELLED")])
def test_who_leaves_as_the_time_is_over_has_not_changed_his_mind(arrived_s: float, left_s: float, code: str) -> None:
    now_s = time.monotonic()
    call = Call(deadline=now_s + left_s, context=Context(), arrived_at=now_s - arrived_s)
    arm = ArmCounts()
    count_failure(arm, asyncio.CancelledError(), call)
    assert dict(arm.errors) == {code: 1}
