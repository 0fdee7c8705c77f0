"""eventually() waits for what a condition says, and tells what it saw last when it gives up."""

from __future__ import annotations

import pytest

from lepton_ai.testing import eventually


async def test_it_returns_the_first_true_value() -> None:
    values = iter((0, None, "there"))
    assert await eventually(lambda: next(values), description="a value") == "there"


async def test_it_awaits_async_conditions_and_takes_failures_for_not_yet() -> None:
    attempts = 0

    async def condition() -> bool:
        nonlocal attempts
        attempts += 1
        assert attempts == 3
        return True

    assert await eventually(condition, description="the third attempt")


async def test_it_gives_up_with_the_description_and_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"within 0.05 s: a big number \(last value: False\)"):
        await eventually(lambda: 1 > 2, timeout_s=0.05, description="a big number")


async def test_faults_of_the_test_end_the_wait_at_once() -> None:
    with pytest.raises(TypeError):
        await eventually(lambda: int([]), description="never")  # type: ignore[call-overload]
