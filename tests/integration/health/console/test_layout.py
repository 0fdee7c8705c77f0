"""How things stand on the page: in wide and narrow windows, in both languages."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from lepton_ai.v1 import alerts_pb2, drift_pb2, metrics_pb2, registry_pb2
from tests.console_page import ConsolePage
from tests.integration.health.console import states
from tests.integration.health.console.conftest import RunningConsole

pytestmark = pytest.mark.timeout(240)


def speak(page: ConsolePage, language: str) -> None:
    page.run(f"localStorage.setItem('lepton.language', '{language}')")


def lines(page: ConsolePage, selector: str) -> list[int]:
    """How many lines each of these takes."""
    found: list[int] = page.run(
        f"return [...document.querySelectorAll('{selector}')].map((each) => {{ const range = document.createRange();"
        " range.selectNodeContents(each);"
        " return new Set([...range.getClientRects()].map((rect) => Math.round(rect.bottom / 8))).size; })"
    )
    return found


@pytest.mark.parametrize("width", [360, 800, 1280])
@pytest.mark.parametrize(("language", "gate", "firing"), [("en", "feedback", "firing"), ("zh", "反馈", "触发中")])
def test_names_of_gates_and_states_stand_on_one_line(
    page: ConsolePage, console: RunningConsole, width: int, language: str, gate: str, firing: str
) -> None:
    console.set_status(states.usual(console.script))
    held = states.rollout()
    held["verdict"]["gates"][0]["gate"] = "feedback"
    rollouts = json_format.ParseDict({"rollouts": [held]}, registry_pb2.ListRolloutsResponse())
    console.script.gateway.answers["ListRollouts"] = rollouts
    page.resize(width)
    speak(page, language)
    page.open("/models/digits")
    page.until_says(gate)
    assert lines(page, "td b.nowrap") == [1]
    page.open("/alerts")
    page.until_says(firing)
    assert lines(page, "td .chip.bad") == [1]


def test_promises_burn_from_the_shortest_window_to_the_longest_and_dates_are_of_the_language(
    page: ConsolePage, console: RunningConsole
) -> None:
    console.set_status(states.usual(console.script))
    slo = {
        "model": "digits",
        "availability": 0.99,
        "window": "604800s",
        "status": [
            {
                "objective": "availability",
                "requests": "1000",
                "bad": "3",
                "budget_left": 0.7,
                "burn_rates": {"3d": 0.1, "1d": 0.2, "1h": 2.5, "6h": 0.3},
                "coverage": 1.0,
            }
        ],
    }
    answers = console.script.gateway.answers
    answers["ListSlos"] = json_format.ParseDict({"slos": [slo]}, alerts_pb2.ListSlosResponse())
    silence = {"id": "1", "matchers": ['model="猫"'], "until": "2031-02-03T04:05:06Z", "author": "anna"}
    answers["ListSilences"] = json_format.ParseDict({"silences": [silence]}, alerts_pb2.ListSilencesResponse())
    speak(page, "zh")
    page.open("/alerts")
    page.until_says("1h 2.5× · 6h 0.3× · 1d 0.2× · 3d 0.1×", "2031年2月3日")


def test_a_test_prediction_is_right_or_wrong_and_no_number(page: ConsolePage, console: RunningConsole) -> None:
    console.set_status(states.usual(console.script))
    kpis = states.kpis("digits")
    kpis.kpis.add(name="probe", scope=metrics_pb2.KPI_SCOPE_MODEL, title="probe", expression="lepton_probe_success")
    kpis.rows[0].values.add(kpi="probe", value=0.0)
    console.script.gateway.answers["ListKpis"] = kpis
    page.open("/models/digits")
    page.until(lambda: any("wrong" in row for row in page.rows("Figures")), "the test prediction is wrong")


def test_inputs_that_drift_stand_beside_the_answers_with_what_they_are_compared_with(
    page: ConsolePage, console: RunningConsole
) -> None:
    console.set_status(states.usual(console.script))
    found = states.drift("wolf")
    found.versions[0].inputs.add(
        what="年龄 <b>", verdict=drift_pb2.DRIFT_VERDICT_STABLE, golden=800, latest=1200,
        reference=drift_pb2.DRIFT_REFERENCE_TRAINING,
    )  # fmt: skip
    console.script.gateway.answers["GetDrift"] = found
    page.open("/models/digits")
    page.until(lambda: len(page.rows("Drift")) == 3, "all rows")
    assert page.rows("Drift")[2][:3] == ["v2", "input 年龄 <b>", "As at first"]
    assert "the training data" in page.rows("Drift")[2][3]
