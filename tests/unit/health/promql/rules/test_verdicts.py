"""The rules of the platform find what is wrong, when Prometheus would, and nothing where nothing is."""

from __future__ import annotations

import pytest

from services.health.alerts.firing import ALERT_NAME, SEVERITY
from services.health.promql.rules.file import read_rules
from tests.promql.scenarios import BREAK_S, SCENARIOS, Scenario
from tests.promql.verdicts import judge, kept_verdicts, written


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_the_same_alerts_fire_at_the_same_times_as_in_prometheus(scenario: Scenario) -> None:
    verdicts = await judge(scenario)
    assert written(verdicts) == kept_verdicts()[scenario.name], "python -m tests.promql.keep"
    assert {each.labels[ALERT_NAME] for each in verdicts[scenario.times_s()[-1]]} == scenario.fires


def test_every_alert_fires_in_some_scenario_and_nothing_before_something_breaks() -> None:
    alerts = {rule.alert for group in read_rules() for rule in group.rules if rule.alert}
    assert frozenset().union(*(scenario.fires for scenario in SCENARIOS)) == alerts
    early = [found for at_s, found in kept_verdicts()["broken"].items() if float(at_s) < BREAK_S]
    assert {len(found) for found in early} == {1}  # the watchdog


def test_every_alert_says_how_urgent_it_is_and_what_it_means() -> None:
    for rule in (rule for group in read_rules() for rule in group.rules if rule.alert):
        assert rule.labels[SEVERITY] in ("page", "ticket", "info"), rule.alert
        assert {"summary", "description", "runbook"} <= rule.annotations.keys(), rule.alert
        assert rule.annotations["summary"].endswith("."), rule.alert
