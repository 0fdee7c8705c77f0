"""Judges that hang, fail or are slow keep nobody else from being heard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lepton_ai.errors import Unavailable
from lepton_ai.testing import eventually
from services.health.alerts.firing import Firing
from services.health.alerts.lifecycle import Outcome
from services.health.alerts.panel import PANEL, Panel
from tests.unit.health.alerts.making import Said, firing


class Hanging:
    name = "hanging"

    def __init__(self) -> None:
        self.asked = 0

    async def judge(self, now_s: float) -> Sequence[Firing]:
        self.asked += 1
        await asyncio.Event().wait()
        return ()


def by_judge(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {each.judge: each for each in outcomes}


async def test_what_judges_find_is_heard() -> None:
    panel = Panel([Said("a", [firing()]), Said("b")], timeout_s=1)
    heard = by_judge(await panel.hear(1))
    assert [each.labels["alertname"] for each in heard["a"].firings] == ["ModelDown"]
    assert heard["b"].firings == ()
    assert heard[PANEL].firings == []


async def test_one_that_hangs_is_asked_once_and_the_others_are_heard_without_it() -> None:
    hanging = Hanging()
    panel = Panel([hanging, Said("a")], timeout_s=30)
    for _ in range(3):
        assert "a" in by_judge(await panel.hear(0.01))
    assert hanging.asked == 1
    await panel.close()


async def test_one_that_is_late_is_an_alert_of_its_own_until_it_answers_again() -> None:
    panel = Panel([Hanging()], timeout_s=0.01)

    async def failing() -> list[Firing]:
        return list(by_judge(await panel.hear(0.05))[PANEL].firings)

    (told,) = await eventually(failing, description="it is noticed")
    assert told.labels == {"alertname": "JudgeFailing", "severity": "ticket", "judge": "hanging"}
    assert "did not answer within 0.01 s" in told.annotations["summary"]
    assert told.pending_s > 0
    await panel.close()


async def test_one_that_fails_has_an_error_and_no_findings() -> None:
    broken = Said("a", [firing()], fault=Unavailable("The series are away."))
    panel = Panel([broken], timeout_s=1)
    assert by_judge(await panel.hear(1))["a"].error == "The series are away."
    broken.fault = ValueError("secret")
    heard = by_judge(await panel.hear(1))
    assert "secret" not in heard["a"].error
    assert len(heard[PANEL].firings) == 1
    broken.fault = None
    assert by_judge(await panel.hear(1))[PANEL].firings == []
