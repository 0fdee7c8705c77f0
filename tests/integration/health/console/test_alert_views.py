"""The page of an alert: what, why, what to do, and silence."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from lepton_ai.v1 import alerts_pb2
from tests.console_page import ConsolePage
from tests.integration.health.console import states
from tests.integration.health.console.conftest import RunningConsole, show_usual, unlock

pytestmark = pytest.mark.timeout(240)


def test_an_alert_says_what_why_and_what_to_do(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/alerts")
    page.click_text("a", "digits burns its budget 14 times too fast.")
    page.until_says("version 3 fails", "docs/alerts.md#burn", "14.4", "Became an alert", "digits is served: version 2")
    assert page.path() == "/alerts/0123456789abcdef"
    page.click("[data-action=acknowledge]")
    unlock(page)
    page.until(
        lambda: "Do you look after this?" in page.run("return document.querySelector('dialog')?.innerText || ''"),
        "it asks",
    )
    page.submit()
    page.until(lambda: bool(console.script.gateway.done), "it is done")
    assert console.script.gateway.done[0][:2] == ("AcknowledgeAlert", {"fingerprint": "0123456789abcdef"})


def test_an_alert_names_its_likely_causes_and_shows_its_runbook(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    causes = [
        {"kind": "process", "text": "At 07:59:50 UTC: the Triton of 10.0.0.1:8500 was started anew"},
        {"kind": "log", "text": "New in the log of inference, 3 ×: <b>boom</b>", "see": "7"},
    ]
    text = "Calls fail.\n\n- Which: `lepton top`,\n  now.\n- <img src=x onerror=alert(1)>\n\nThen wait.\n"
    whole = {"alert": {**states.alert(), "causes": causes}, "runbook": text}
    console.script.gateway.answers["GetAlert"] = json_format.ParseDict(whole, alerts_pb2.GetAlertResponse())
    page.open("/alerts/0123456789abcdef")
    page.until_says(
        "Perhaps also", "the Triton of 10.0.0.1:8500", "<b>boom</b>", "What to do", "<img src=x onerror=alert(1)>"
    )
    assert page.run("return [...document.querySelectorAll('.causes li a')].map((a) => a.getAttribute('href'))") == [
        "/alerts", "/logs?kind=7",
    ]  # fmt: skip
    shown = (
        "return [...document.querySelector('[data-testid=runbook]').children].map((e) => [e.tagName, e.textContent])"
    )
    assert page.run(shown) == [
        ["P", "Calls fail."], ["UL", "Which: lepton top, now.<img src=x onerror=alert(1)>"], ["P", "Then wait."],
    ]  # fmt: skip
    page.run("localStorage.setItem('lepton.language', 'zh')")
    page.open("/alerts/0123456789abcdef")
    page.until_says("也可能是", "10.0.0.1:8500 的 Triton", "inference 的日志中新出现 3 次：<b>boom</b>")


def test_an_alert_is_silenced_for_some_hours(page: ConsolePage, console: RunningConsole) -> None:
    show_usual(console)
    page.open("/alerts/0123456789abcdef")
    page.click("[data-action=silence]")
    unlock(page)
    page.until(lambda: page.count("dialog [name=hours]") == 1, "it asks how long")
    page.fill("hours", "2")
    page.fill("comment", "known")
    page.submit()
    page.until(lambda: bool(console.script.gateway.done), "it is done")
    method, request, _ = console.script.gateway.done[0]
    assert method == "CreateSilence"
    assert request == {
        "matchers": ['alertname="BudgetBurn"', 'model="digits"'],
        "duration": "7200s",
        "comment": "known",
    }
    json_format.ParseDict(request, alerts_pb2.CreateSilenceRequest())
