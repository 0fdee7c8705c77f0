"""Malice and size: markup in every name and text runs nowhere, and a huge platform is drawn in time."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from lepton_ai.v1 import alerts_pb2, registry_pb2
from tests.console import TOKEN, status_of
from tests.console_page import ConsolePage
from tests.integration.health.console import states
from tests.integration.health.console.conftest import RunningConsole
from tests.integration.health.console.states import ATTACK

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def hostile(console: RunningConsole) -> RunningConsole:
    """Everything that people or programs can name or write is an attack."""
    answers = console.script.gateway.answers
    answers["ListModels"] = states.listed(ATTACK, description=ATTACK)
    attacked = {**states.rollout(reason=ATTACK), "model": ATTACK, "actor": ATTACK}
    attacked["verdict"]["gates"][0] |= {"gate": ATTACK, "sentence": ATTACK, "numbers": {ATTACK: 1.0}}
    answers["ListRollouts"] = json_format.ParseDict({"rollouts": [attacked]}, registry_pb2.ListRolloutsResponse())
    answers["ListKpis"] = states.kpis(ATTACK)
    answers["QueryRange"] = states.series(ATTACK)
    quality = states.quality()
    quality.versions[0].confusions[0].predicted = ATTACK
    answers["GetQuality"] = quality
    answers["GroupComplaints"] = states.complaints(ATTACK)
    answers["GetDrift"] = states.drift(ATTACK)
    answers["ListFeedback"] = states.feedback(ATTACK, predicted=ATTACK)
    alert = states.alert(summary=ATTACK, cause=ATTACK, impact=ATTACK, runbook=f"javascript:{ATTACK}", query=ATTACK)
    alert["labels"] |= {"model": ATTACK, "instance": ATTACK}
    answers["ListAlerts"] = json_format.ParseDict({"alerts": [alert]}, alerts_pb2.ListAlertsResponse())
    answers["GetAlert"] = json_format.ParseDict({"alert": alert}, alerts_pb2.GetAlertResponse())
    answers["ListEvents"] = states.events(ATTACK)
    answers["ListLogs"] = states.logs(ATTACK)
    answers["ListTemplates"] = states.templates(ATTACK)
    console.script.traces.found = [states.trace_line(0, ATTACK, (ATTACK,))]
    console.script.traces.rows = states.waterfall(ATTACK)
    edge = {"caller": ATTACK, "callee": "inference", "calls": 6, "errors": 0, "p50_us": 4000, "p95_us": 9000}
    console.script.traces.calls |= {"traces": 6, "from_us": 1e15, "to_us": 1e15 + 6e6, "edges": [edge]}
    status = states.status(
        states.model(ATTACK, states.DEGRADED, ATTACK), problems=(ATTACK, f"Model {ATTACK}: {ATTACK}")
    )
    status["services"][0]["replicas"][0] |= {"address": ATTACK, "message": ATTACK}
    console.set_status(status_of(status))
    return console


HOSTILE_VIEWS = (
    "/",
    "/topology",
    "/models",
    "/models/digits",
    f"/models/{ATTACK.replace('/', '%2F')}",
    "/alerts",
    "/alerts/0123456789abcdef",
    "/metrics",
    f"/metrics?q={ATTACK}",
    "/traces",
    f"/traces?tags={ATTACK}",
    f"/traces/{'a' * 32}",
    "/feedback",
    "/feedback?model=digits",
    "/logs",
    f"/{ATTACK}",
)


@pytest.mark.parametrize("view", HOSTILE_VIEWS)
def test_markup_in_names_and_texts_is_shown_and_never_runs(
    page: ConsolePage, hostile: RunningConsole, view: str
) -> None:
    page.forget()
    page.run(f"sessionStorage.setItem('lepton.token', '{TOKEN}')")
    page.open(view)
    page.until(lambda: page.count("main *") > 1 or page.count(".empty"), "it is drawn")
    page.until(lambda: page.count(".skeleton") == 0, "its data are there")
    assert page.run("return window.attacked") is None
    assert page.count("main img, main script, main iframe") == 0
    assert (
        page.run("return [...document.querySelectorAll('a[href]')].filter((a) => a.protocol === 'javascript:').length")
        == 0
    )


def test_the_attack_can_be_read(page: ConsolePage, hostile: RunningConsole) -> None:
    page.open("/alerts/0123456789abcdef")
    page.until_says("<script>window.attacked=1</script>")


def test_a_hundred_models_and_fifty_replicas_are_drawn_and_found(page: ConsolePage, console: RunningConsole) -> None:
    names = [f"model-{number:03}" for number in range(100)]
    console.script.gateway.answers["ListModels"] = states.listed(*names)
    console.script.gateway.answers["ListKpis"] = states.kpis(*names)
    console.set_status(status_of(states.status(*map(states.model, names), replicas=50)))
    page.open()
    page.until_says("53 of 53 replicas answer", "100 of 100 models answer")
    page.until(lambda: len(page.rows("Models")) == 50, "half of them")
    page.until_says("Show 50 more (50 left)")
    page.search("model-077")
    page.until(lambda: [row[0] for row in page.rows("Models")] == ["model-077"], "the one that is searched")
    page.open("/topology")
    page.until(lambda: page.count("[data-node=inference] svg") > 20, "its replicas")
    assert page.overflow_px() <= 0


def test_ten_thousand_rows_are_shown_piece_by_piece(page: ConsolePage, console: RunningConsole) -> None:
    console.script.gateway.answers["ListFeedback"] = states.feedback(count=10_000)
    console.set_status(status_of(states.status()))
    page.open("/feedback")
    page.until(lambda: len(page.rows("Feedback")) == 50, "the first of them")
    page.click(".more button")
    page.until(lambda: len(page.rows("Feedback")) == 100, "some more")
    assert page.count("main *") < 5000


def test_nothing_is_loaded_from_elsewhere(page: ConsolePage, console: RunningConsole) -> None:
    console.set_status(states.usual(console.script))
    page.open("/models/digits")
    page.until(lambda: page.count("lepton-chart canvas") == 6, "charts")
    origins = page.run(
        "return [...new Set(performance.getEntriesByType('resource').map((r) => new URL(r.name).origin))]"
    )
    assert origins == [f"http://127.0.0.1:{console.port}"]
