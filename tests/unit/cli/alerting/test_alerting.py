"""`lepton alerts` and `lepton slo`: what they say to somebody who was woken, and to somebody who mistyped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from lepton_ai.cli import main
from lepton_ai.cli.alerting import alerts, slo
from lepton_ai.v1 import alerts_pb2, events_pb2, health_pb2


def ago(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(round((time.time() - seconds) * 1000))
    return stamp


def alert(**more: Any) -> alerts_pb2.Alert:
    labels = {"alertname": "ModelDown", "severity": "page", "model": "猫"}
    return alerts_pb2.Alert(fingerprint="3f2a9c0d11", labels=labels, began_at=ago(200), **more)


class _Client:
    """Knows one model, 猫, and one alert."""

    def __init__(self, found: Sequence[alerts_pb2.Alert]) -> None:
        self._found = found

    def alerts(self, **_: Any) -> Sequence[alerts_pb2.Alert]:
        return self._found

    def alert(self, _fingerprint: str) -> alerts_pb2.GetAlertResponse:
        return alerts_pb2.GetAlertResponse(alert=self._found[0], runbook="It is down.\n\n- `lepton health` says why.")

    def events(self, **asked: Any) -> Sequence[events_pb2.TimelineEvent]:
        assert asked["labels"] == {"model": "猫"}
        said = ((100, "deploy", "afterwards"), (260, "alert", "another alert"), (320, "deploy", "version 5 of 猫"))
        return [
            events_pb2.TimelineEvent(kind=kind, title=title, at=ago(since), actor="王") for since, kind, title in said
        ]

    def create_silence(self, matchers: Sequence[str], *_: Any) -> alerts_pb2.Silence:
        return alerts_pb2.Silence(id="1", matchers=matchers, alerts=len(self._found))

    def set_slo(self, model: str, **_: Any) -> alerts_pb2.Slo:
        return alerts_pb2.Slo(model=model, availability=0.999)

    def status(self) -> health_pb2.PlatformStatus:
        return health_pb2.PlatformStatus(models=[health_pb2.ModelStatus(name="猫")])


def run(monkeypatch: pytest.MonkeyPatch, *words: str, found: Sequence[alerts_pb2.Alert] = ()) -> None:
    @contextmanager
    def client_for(_home: Path) -> Iterator[_Client]:
        yield _Client(found)

    monkeypatch.setattr(alerts, "client_for", client_for)
    monkeypatch.setattr(slo, "client_for", client_for)
    with pytest.raises(SystemExit):
        main(list(words))


def test_an_alert_that_fires_says_for_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "alerts", found=[alert(state=alerts_pb2.ALERT_STATE_FIRING)])
    assert "3 min 20 s" in capsys.readouterr().out


def test_who_is_woken_reads_all_that_helps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {
        "summary": "猫 does not answer.", "impact": "callers of 猫", "share": "0.25", "cause": "no memory",
        "runbook": "docs/alerts.md#modeldown", "query": "up == 0", "trace_id": "ab12",
    }  # fmt: skip
    causes = [
        alerts_pb2.Cause(kind="log", text="New in the log of triton, 3 ×: boom", command="lepton logs --template 7")
    ]
    firing = alert(state=alerts_pb2.ALERT_STATE_FIRING, annotations=texts, causes=causes)
    run(monkeypatch, "alerts", "show", "3f2a", found=[firing])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "猫 does not answer."
    assert {
        "State: firing, page", "How bad: 25.0% of requests", "For whom: callers of 猫", "Likely cause: no memory",
        "What to do: docs/alerts.md#modeldown", "Chart: lepton metrics 'up == 0' --since 1h",
        "Trace: lepton trace ab12", "Perhaps: New in the log of triton, 3 ×: boom  (lepton logs --template 7)",
        "  It is down.", "  - `lepton health` says why.",
    } <= set(lines)  # fmt: skip
    (before,) = (line for line in lines if line.startswith("Shortly before: "))
    assert before.startswith("Shortly before: version 5 of 猫 (by 王), ")


def test_an_alert_that_is_over_says_how_long_it_was_and_since_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    over = alert(state=alerts_pb2.ALERT_STATE_RESOLVED, resolved_at=ago(120))
    run(monkeypatch, "alerts", "--state", "resolved", found=[over])
    assert "1 min 20 s, over for 2 min 0 s" in capsys.readouterr().out


@pytest.mark.parametrize(("found", "says"), [([], True), ([alert()], False)])
def test_a_silence_that_means_nothing_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: list[alerts_pb2.Alert], says: bool
) -> None:
    run(monkeypatch, "alerts", "silence", 'model="狗"', "--for", "2h", found=found)
    shown = capsys.readouterr()
    assert f"it means {'0 alerts' if says else '1 alert'} now." in shown.out
    assert ("No alert that there is now has such labels." in shown.err) == says


@pytest.mark.parametrize(("model", "says"), [("猫", False), ("狗", True)])
def test_a_promise_of_a_model_that_there_is_not_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str, says: bool
) -> None:
    run(monkeypatch, "slo", "set", model, "--availability", "99.9")
    shown = capsys.readouterr()
    assert f"Promised of {model}: 99.9 % answered" in shown.out
    assert ("No model of this name is deployed." in shown.err) == says
