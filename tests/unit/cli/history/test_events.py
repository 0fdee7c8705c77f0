"""`lepton events` and what `lepton logs` shows of health's log records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.cli import main
from lepton_ai.cli.history import events as command
from lepton_ai.cli.history import log_records
from lepton_ai.errors import Unavailable
from lepton_ai.v1 import events_pb2 as pb

DEPLOY = pb.TimelineEvent(id="1", kind="deploy", title="猫 is served\x1b[31m", labels={"model": "猫"})
TOLD = pb.TimelineEvent(id="1", kind="deploy", title="猫 is served", labels={"model": "猫"}, actor="anna@例子")
RESTART = pb.TimelineEvent(id="2", kind="restart", title="inference a:1 was restarted")
RECORD = pb.LogRecord(
    level=pb.LOG_LEVEL_ERROR,
    service="registry",
    instance="a:1",
    message="forged\n2026-01-01 line",
    fields={"模型": "猫"},
    exception="Traceback\nValueError: x",
    trace_id="ab" * 16,
    template_id=7,
)
TEMPLATE = pb.LogTemplate(
    id=7, service="registry", level=pb.LOG_LEVEL_ERROR, text="took <n> s", count=3, example=RECORD
)


class _Client:
    def __init__(self, answers: Sequence[Sequence[pb.TimelineEvent] | BaseException]) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def events(self, model: str, **asked: Any) -> Sequence[pb.TimelineEvent]:
        self.asked.append({"model": model, **asked})
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def logs(self, **asked: Any) -> Sequence[pb.LogRecord]:
        self.asked.append(asked)
        return [RECORD]

    def log_templates(self, service: str, **asked: Any) -> Sequence[pb.LogTemplate]:
        self.asked.append({"service": service, **asked})
        return [TEMPLATE]


def run(
    monkeypatch: pytest.MonkeyPatch, *words: str, answers: Sequence[Sequence[pb.TimelineEvent] | BaseException] = ()
) -> tuple[Any, _Client]:
    client = _Client(answers)

    @contextmanager
    def client_for(_home: Path) -> Iterator[_Client]:
        yield client

    monkeypatch.setattr(command, "client_for", client_for)
    monkeypatch.setattr(log_records, "client_for", client_for)
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return caught.value.code, client


def test_nothing_says_of_what_and_since_when(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "events", "猫[1]", "--since", "2h", answers=[[]])
    assert "Nothing has happened to 猫[1] since 20" in capsys.readouterr().err
    run(monkeypatch, "events", "--kind", "restart", answers=[[]])
    assert "Nothing of that kind has happened since 20" in capsys.readouterr().err


def test_a_kind_that_there_is_not_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, client = run(monkeypatch, "events", "--kind", "restarts")
    assert (code, client.asked) == (2, [])
    assert "'serving_failed'" in capsys.readouterr().err


def test_events_are_lines_the_newest_last(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, client = run(monkeypatch, "events", "猫", "--since", "2h", "--kind", "deploy", answers=[[RESTART, TOLD]])
    assert code == 0
    assert (client.asked[0]["model"], client.asked[0]["kinds"]) == ("猫", ("deploy",))
    first, second = capsys.readouterr().out.splitlines()
    assert "deploy" in first
    assert first.endswith("猫 is served  by anna@例子")
    assert second.endswith("inference a:1 was restarted")


def test_events_are_json_for_programs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "events", "--json", answers=[[TOLD]])
    (event,) = json.loads(capsys.readouterr().out)
    assert (event["kind"], event["labels"], event["actor"]) == ("deploy", {"model": "猫"}, "anna@例子")


def test_no_text_drives_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "events", answers=[[DEPLOY]])
    run(monkeypatch, "logs", "--trace", "ab" * 16)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "forged·2026" in shown


def test_following_prints_each_once_and_again_with_its_actor_and_waits_while_health_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    away = Unavailable("Health is away.")
    answers: list[Sequence[pb.TimelineEvent] | BaseException] = [
        [DEPLOY],
        [DEPLOY],
        away,
        away,
        [RESTART, TOLD],
        KeyboardInterrupt(),
    ]
    code, _ = run(monkeypatch, "events", "--follow", answers=answers)
    shown = capsys.readouterr()
    assert code == 130
    assert [line.split()[2] for line in shown.out.splitlines()] == ["deploy", "deploy", "restart"]
    assert shown.err.count("Health is away.") == 1


def test_records_of_a_call_are_shown_with_all_that_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, client = run(monkeypatch, "logs", "inference-2", "--trace", "ab" * 16)
    assert code == 0
    assert (client.asked[0]["service"], client.asked[0]["trace_id"]) == ("inference", "ab" * 16)
    shown = capsys.readouterr().out
    for word in ("ERROR registry a:1", "模型=猫", f"trace={'ab' * 16}", "    ValueError: x"):
        assert word in shown


def test_kinds_of_records_are_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "logs", "--grouped")
    shown = capsys.readouterr().out
    for word in ("took <n> s", "ERROR", "registry", "ab" * 16):
        assert word in shown
    run(monkeypatch, "logs", "--grouped", "--json")
    (template,) = json.loads(capsys.readouterr().out)
    assert (template["count"], template["example"]["template_id"]) == (3, 7)


@pytest.mark.parametrize("more", [("--follow",), ("--trace", "x"), ("--template", "3")])
def test_what_cannot_be_asked_together_is_refused(monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]) -> None:
    code, _ = run(monkeypatch, "logs", "--grouped", *more)
    assert code == 2
