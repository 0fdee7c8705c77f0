"""Every view in a real browser: what it says, that it changes by itself, and what can be done there."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from lepton_ai.errors import Unavailable
from lepton_ai.v1 import metrics_pb2
from tests.console import TOKEN, status_of
from tests.console_page import ConsolePage
from tests.integration.health.console import states
from tests.integration.health.console.conftest import RunningConsole, show_usual, unlock

pytestmark = pytest.mark.timeout(240)
VIEWS = ("/", "/topology", "/models", "/alerts", "/metrics", "/traces", "/feedback", "/logs")


def test_the_first_screen_says_that_all_is_well(page: ConsolePage, console: RunningConsole) -> None:
    console.script.gateway.answers["ListModels"] = states.listed("digits")
    console.set_status(status_of(states.status(states.model("digits"))))
    page.open()
    page.until(lambda: page.verdict() == ("healthy", "All is well"), "the verdict")
    page.until_says(
        "4 of 4 replicas answer", "1 of 1 model answers", "No service, replica, model or rollout needs you."
    )


def test_the_first_screen_says_what_is_wrong_and_what_to_do_without_being_loaded_again(
    page: ConsolePage, console: RunningConsole
) -> None:
    console.set_status(status_of(states.status(states.model("digits"))))
    page.open()
    page.until(lambda: page.verdict()[0] == "healthy", "all is well at first")
    broken = states.model("digits", states.UNHEALTHY, "A test prediction failed: no answer")
    problem = "Model digits: A test prediction failed: no answer"
    console.set_status(status_of(states.status(broken, condition=states.UNHEALTHY, problems=(problem,))))
    page.until(lambda: page.verdict() == ("unhealthy", "It does not work: 1 problem"), "the verdict changes")
    page.until_says(problem, "lepton models digits", "Open digits")


def test_a_page_alert_is_no_all_is_well(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open()
    page.until(lambda: page.verdict() == ("degraded", "It works, with 1 problem"), "the verdict")
    page.until_says("digits burns its budget", "The rollout of digits version 3 waits for you.")


def test_every_model_has_its_figures_in_one_line(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open()
    page.until(lambda: len(page.rows("Models")) == 1 and "12.5/s" in page.rows("Models")[0], "the figures")
    name, condition, production, rate, _, errors, p50, p95, p99, _ = page.rows("Models")[0]
    assert (name, condition, rate, errors) == ("digits", "Healthy", "12.5/s", "25 %")
    assert (p50, p95, p99) == ("4 ms", "9 ms", "12.5 ms")
    assert "v2 80 %" in production
    assert "v3 20 %" in production


def test_changes_come_by_themselves(page: ConsolePage, console: RunningConsole) -> None:
    console.set_status(status_of(states.status()))
    page.open()
    page.until_says("No changes yet")
    console.script.gateway.answers["ListEvents"] = states.events("digits was deployed")
    page.until_says("digits was deployed 0")


def test_an_empty_platform_says_what_to_do_first(page: ConsolePage, console: RunningConsole) -> None:
    console.set_status(status_of(states.status()))
    page.open()
    page.until(lambda: page.verdict()[1] == "All services run. No model is deployed yet", "the verdict")
    page.until_says("Bring the first model", "lepton push ./my-model")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_says_something_when_there_is_nothing(page: ConsolePage, console: RunningConsole, view: str) -> None:
    console.set_status(status_of(states.status()))
    page.open(view)
    page.until(lambda: page.count(".empty, .topology svg") > 0 or "No measurements in this time" in page.text(), "it")
    assert page.overflow_px() <= 0


@pytest.mark.parametrize(("code", "worries"), [("INTERNAL", 1), ("INVALID_ARGUMENT", 0)])
def test_only_failures_of_the_platform_are_marked(
    page: ConsolePage, console: RunningConsole, code: str, worries: int
) -> None:
    show_usual(console)
    kpis = states.kpis("digits")
    kpis.rows[0].values.add(kpi="errors", kind=code, value=0.25 * 12.5)
    console.script.gateway.answers["ListKpis"] = kpis
    page.open("/models")
    page.until_says("25 %")
    assert page.count("td .status.unhealthy") == worries


def test_the_picture_shows_services_and_calls(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    edge = {"caller": "client", "callee": "inference", "calls": 60, "errors": 6, "p50_us": 4000, "p95_us": 9000}
    console.script.traces.calls |= {"traces": 60, "from_us": 1e15, "to_us": 1e15 + 60e6, "edges": [edge]}
    page.open("/topology")
    page.until(lambda: page.count("[data-node]") == 6, "client, four services and Triton")
    assert "failing" in page.attribute("[data-edge='client inference']", "class")
    call = ["client", "inference", "1/s", "10 %", "4 ms", "9 ms", "traces", "Traces"]
    page.until(lambda: call in page.rows("Calls"), "the call")


def test_calls_that_send_no_traces_are_shown_as_they_are_counted(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    pairs = [{"caller": "client", "service": "inference"}, {"caller": "inference", "service": "health"}]
    answer = {"samples": [{"labels": each, "value": 0.25} for each in pairs]}
    console.script.gateway.answers["Query"] = json_format.ParseDict(answer, metrics_pb2.QueryResponse())
    page.open("/topology")
    page.until(lambda: [row[6] for row in page.rows("Calls")][:2] == ["counts of all calls"] * 2, "both calls")
    assert page.rows("Calls")[0][:3] == ["client", "inference", "0.25/s"]
    assert "idle" not in page.attribute("[data-edge='client inference']", "class")
    assert page.count("[data-edge='inference health']") == 0, "it would only cross the picture"
    assert "lepton_rpc_server_seconds_count" in page.attribute("th a", "href")


def test_a_rollout_shows_its_gates_with_their_evidence(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/models/digits")
    page.until_says("Rollout under way", "v2 → v3", "held: not settled", "Not settled: too few answers.")
    page.until(lambda: len(page.rows("Gates")) == 1, "a gate")
    gate, says, evidence = page.rows("Gates")[0]
    assert (gate, says) == ("errors", "fine")
    assert "0.1 % of 900 answers failed" in evidence


def test_a_rollout_is_paused_with_the_token(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/models/digits")
    page.click("[data-action=pause]")
    unlock(page)
    page.until(
        lambda: (
            page.count("dialog[open]") == 1
            and "The shares stay" in page.run("return document.querySelector('dialog').innerText")
        ),
        "it asks whether to",
    )
    assert console.script.gateway.done == []
    page.submit()
    page.until(lambda: bool(console.script.gateway.done), "it is done")
    assert console.script.gateway.done == [
        ("ControlRollout", {"model": "digits", "action": "ROLLOUT_ACTION_PAUSE"}, TOKEN)
    ]


def test_a_wrong_token_changes_nothing_and_is_not_kept(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/models/digits")
    page.click("[data-action=abort]")
    page.fill("token", "wrong")
    page.submit()
    page.until(
        lambda: "needs the platform's token" in page.run("return document.querySelector('dialog').innerText"),
        "it is refused",
    )
    assert page.run("return sessionStorage.length") == 0
    assert console.script.gateway.done == []


def test_quality_has_its_interval_and_its_mistakes(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/models/digits")
    page.until_says("90 %", "82 % – 95 % of 100", "7 instead of 1")


def test_drift_says_how_far_and_where_answers_have_changed(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/models/digits")
    page.until_says("Drifted", "PSI 0.42 of 0.1", "wolf: 10 % → 35 %", "wolf brightness")


def test_complaints_about_the_same_are_one_line(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/feedback?model=digits")
    page.until_says("What users complain of", "it calls every husky a wolf", "v2: 12")


def test_charts_are_drawn_and_say_what_they_are_made_of(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/models/digits?range=15m")
    page.until(lambda: page.count("lepton-chart canvas") == 6, "six charts")
    made_of = page.run("return [...document.querySelectorAll('footer details a')].map((a) => a.textContent)")
    assert any('rate(lepton_requests_total{model="digits"}[60s])' in each for each in made_of)
    page.run("document.querySelector('footer details').open = true")
    page.click("footer details a")
    page.until(lambda: page.path().startswith("/metrics?q="), "it opens the expression")
    page.until_says("Result")


def test_traces_are_a_picture_and_a_list_that_open(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    console.script.traces.found = [states.trace_line(number) for number in range(20)]
    console.script.traces.rows = states.waterfall()
    page.open("/traces")
    page.until(lambda: page.count(".scatter .dot") == 20, "a dot for each")
    assert page.count(".scatter .failed") == 4
    page.click("tr[data-row] a.name")
    page.until_says("Where the time went", "12 ms", "triton")
    page.click(".waterfall button[data-row]")
    page.until_says("lepton.model.name")


def test_a_label_is_given_to_what_a_user_said(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/feedback")
    page.until_says("that is a seven")
    page.click("[data-action=label]")
    unlock(page)
    page.until(lambda: page.count("dialog [name=label]") == 1, "it asks for the label")
    page.fill("label", "sieben 七")
    page.submit()
    page.until(lambda: bool(console.script.gateway.done), "it is sent")
    method, request, token = console.script.gateway.done[0]
    assert (method, token) == ("SubmitFeedback", TOKEN)
    assert request == {"feedback": [{"prediction_id": "p0", "label": "sieben 七"}]}


def test_logs_are_for_those_with_the_token(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/logs")
    page.until_says("Logs need the token")
    page.click("main button.primary")
    unlock(page)
    page.until_says("cannot reach <*>", "cannot reach the registry 0")


def test_when_health_is_gone_a_banner_says_since_when_and_it_reconnects(
    page: ConsolePage, console: RunningConsole
) -> None:
    show_usual(console)
    page.open()
    page.until(lambda: bool(page.verdict()[0]), "the verdict")
    console.stop()
    page.until(lambda: "No news from the health service." in page.banner(), "the banner")
    console.start(console.port)
    console.set_status(status_of(states.status()))
    page.until(lambda: page.banner() == "" and page.verdict()[1].startswith("All services run"), "it is back")
    page.complaints()  # that nothing answered is said there


def test_a_stale_status_is_not_shown_as_if_it_were_true(page: ConsolePage, console: RunningConsole) -> None:
    stale = status_of(states.status(states.model("digits"), condition=states.DEGRADED, stale_since=states.stamp(90)))
    console.set_status(stale)
    page.open()
    page.until(lambda: page.verdict()[1] == "Nobody knows: health could not look", "the verdict")
    assert "Health could not look any more." in page.banner()


def test_a_registry_that_is_away_is_said_with_what_to_do(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    console.script.gateway.answers["ListModels"] = Unavailable("No registry answers.", fix="Start the registry.")
    page.open("/models")
    page.until_says("No registry answers.", "Start the registry.")


def test_what_was_typed_stays_while_news_come(page: ConsolePage, console: RunningConsole) -> None:
    console.script.gateway.answers["ListModels"] = states.listed(*(f"m{number}" for number in range(8)))
    console.set_status(status_of(states.status()))
    page.open("/models")
    page.until(lambda: len(page.rows("Models")) == 8, "all models")
    page.search("m3")
    page.until(lambda: [row[0] for row in page.rows("Models")] == ["m3"], "one model")
    console.set_status(status_of(states.status(states.model("m3"))))
    page.until(lambda: page.rows("Models")[0][1] == "Healthy", "the news")
    assert page.run("return document.activeElement.value") == "m3"


def test_places_are_reached_by_keys(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open()
    for key, path in {
        "t": "/topology",
        "m": "/models",
        "a": "/alerts",
        "e": "/metrics",
        "r": "/traces",
        "f": "/feedback",
        "l": "/logs",
        "o": "/",
    }.items():
        page.press("g", key)
        page.until(lambda path=path: page.path() == path, f"g {key} goes to {path}")  # type: ignore[misc]
    page.press("?")
    page.until(lambda: page.count("dialog[open] kbd") > 10, "the list of keys")


def test_rows_are_walked_and_opened_by_keys(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/models")
    page.until(lambda: len(page.rows("Models")) == 1, "a model")
    page.press("j")
    page.enter()
    page.until(lambda: page.path() == "/models/digits", "it opens")


def test_the_page_speaks_chinese(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open()
    page.click("button[lang=zh]")
    page.until_says("最近变化", "需要处理")
    assert page.run("return document.documentElement.lang") == "zh"
    page.open("/alerts")
    page.until_says("告警", "触发中")
    for view in VIEWS:
        page.open(view)
        page.until(lambda: page.count("main *") > 5, "it is drawn")
        missing = (
            page.run("return document.querySelector('#shell').innerText.match(/\\b[a-z_]+\\.[a-z_]{4,}\\b/g)") or []
        )
        assert [each for each in missing if not each.startswith(("lepton.", "inference."))] == []


def test_dark_and_light_follow_the_system_and_the_switch(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.prefer("dark")
    page.open()
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    page.until(lambda: page.run(ground) == "rgb(13, 17, 23)", "dark")
    page.click_text("button", "Light")
    page.until(lambda: page.run(ground) == "rgb(247, 248, 249)", "light")
    page.open("/models")
    assert page.run(ground) == "rgb(247, 248, 249)"


@pytest.mark.parametrize("view", [*VIEWS, "/models/digits", "/alerts/0123456789abcdef"])
def test_every_view_fits_a_phone(page: ConsolePage, console: RunningConsole, view: str) -> None:
    show_usual(console)
    page.resize(360, 740)
    page.open(view)
    page.until(lambda: page.count("main *") > 5, "it is drawn")
    assert page.overflow_px() <= 0
    assert page.count("nav.open") == 0
    page.click(".menu")
    page.until(lambda: page.count("nav.open") == 1, "the menu opens")
