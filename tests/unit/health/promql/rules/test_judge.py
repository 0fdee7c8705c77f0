"""RuleJudge: groups in their time, recorded series, rules that fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput, Unavailable
from services.health.alerts.firing import ALERT_NAME, Firing
from services.health.metrics.series import NAME, Matcher, Series
from services.health.promql.evaluation import evaluate, evaluate_range
from services.health.promql.rules.file import Group, read_rules
from services.health.promql.rules.judge import RULE_FAILS, RuleJudge
from services.health.promql.rules.recordings import Recordings
from tests.promql.series import MemoryReader


class Measured(MemoryReader):
    """A gauge whose value a test sets."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {"a": 1.0}
        self.failure: Exception | None = None
        self.looks = 0
        self.now_s = 0.0

    async def select(self, matchers: Sequence[Matcher], start_s: float, end_s: float) -> Sequence[Series]:
        self.looks += 1
        if self.failure:
            raise self.failure
        series = [Series({NAME: "x", "of": of}, np.array([end_s]), np.array([v])) for of, v in self.found.items()]
        return await MemoryReader(series).select(matchers, start_s, end_s)


def rules(tmp_path: Path, text: str) -> tuple[Group, ...]:
    file = tmp_path / "rules.yml"
    file.write_text(text, encoding="utf-8")
    return read_rules(file)


RULES = """
groups:
  - name: one
    interval: 10s
    rules:
      - record: double
        expr: x * 2
        labels: {kind: "{{ $labels.of }}!"}
      - alert: High
        expr: double > 5
        for: 1m
        labels: {severity: page}
        annotations: {summary: "{{ $labels.of }} has {{ $value | humanize }}."}
"""


def alerts(firings: Sequence[Firing]) -> list[str]:
    return [each.labels[ALERT_NAME] for each in firings]


async def test_a_rule_finds_what_the_rule_before_it_has_recorded(tmp_path: Path) -> None:
    measured = Measured()
    judge = RuleJudge(rules(tmp_path, RULES), measured)
    assert await judge.judge(100) == []
    measured.found["a"] = 1234.5
    (firing,) = await judge.judge(110)
    assert firing.labels == {"of": "a", "kind": "a!", "severity": "page", ALERT_NAME: "High"}
    assert firing.annotations == {"summary": "a has 2.469k.", "query": "double > 5"}
    assert (firing.value, firing.pending_s) == (2469, 60)


async def test_readers_see_recorded_series_beside_measured_ones(tmp_path: Path) -> None:
    measured = Measured()
    judge = RuleJudge(rules(tmp_path, RULES), measured)
    for at_s in (100, 110, 120):
        measured.found["a"] = at_s
        await judge.judge(at_s)
    (series,) = await evaluate_range("double", judge.reader, 100, 120, 10)
    assert series.values.tolist() == [200, 220, 240]
    assert [each.value for each in await evaluate("double / 2 - on () x", judge.reader, 120)] == [0]


async def test_a_recorded_series_ends_when_nothing_is_found_any_more(tmp_path: Path) -> None:
    measured = Measured()
    judge = RuleJudge(rules(tmp_path, RULES), measured)
    await judge.judge(100)
    measured.found = {"b": 3.0}
    await judge.judge(110)
    assert {each.labels["of"] for each in await evaluate("double", judge.reader, 111)} == {"b"}


async def test_a_group_is_looked_at_when_its_interval_is_over_and_stands_meanwhile(tmp_path: Path) -> None:
    measured = Measured()
    measured.found["a"] = 9.0
    judge = RuleJudge(rules(tmp_path, RULES), measured)
    first = await judge.judge(100)
    looks = measured.looks
    assert await judge.judge(109) == first and measured.looks == looks
    measured.found["a"] = 1.0
    assert await judge.judge(110) == []


async def test_after_the_clock_went_back_groups_are_looked_at(tmp_path: Path) -> None:
    measured = Measured()
    judge = RuleJudge(rules(tmp_path, RULES), measured)
    await judge.judge(5000)
    measured.found["a"] = 9.0
    assert alerts(await judge.judge(1400)) == ["High"]


async def test_a_rule_that_fails_keeps_what_it_found_and_is_an_alert_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    measured = Measured()
    measured.found["a"] = 9.0
    judge = RuleJudge(rules(tmp_path, RULES), measured)
    await judge.judge(100)
    measured.failure = Unavailable("the disk is gone")
    for at_s in (110, 120):
        found = await judge.judge(at_s)
    assert alerts(found) == ["High", RULE_FAILS, RULE_FAILS]
    assert [each.labels.get("rule") for each in found] == [None, "double", "High"]
    assert found[1].annotations["description"] == "the disk is gone"
    assert len(caplog.records) == 2  # once a rule
    measured.failure = None
    assert alerts(await judge.judge(130)) == ["High"]


async def test_two_results_that_the_labels_of_a_rule_make_one_are_an_error(tmp_path: Path) -> None:
    measured = Measured()
    measured.found = {"a": 1.0, "b": 2.0}
    text = (
        "groups: [{name: g, rules: [{alert: A, expr: x, labels: {of: same}}, {record: r, expr: x, labels: {of: z}}]}]"
    )
    found = await RuleJudge(rules(tmp_path, text), measured).judge(100)
    assert alerts(found) == [RULE_FAILS, RULE_FAILS]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{alert: A, expr: 'rate(x)'}", "expected type matrix"),
        ("{alert: A, expr: 'nothing('}", "expression"),
        ("{alert: A, record: a, expr: x}", "either"),
        ("{expr: x}", "either"),
        ("{alert: A, expr: x, for: soon}", "duration"),
        ("{alert: A, expr: x, annotations: {summary: '{{ query \"x\" }}'}}", "not understood"),
        ("{alert: A, expr: x, labels: {a: '{{ $value | title }}'}}", "not understood"),
        ("{alert: A, expr: x, keep_firing_for: 5m}", "Extra inputs"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_when_it_is_read(tmp_path: Path, rule: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        rules(tmp_path, f"groups: [{{name: g, rules: [{rule}]}}]")
    assert caught.value.reason == "INVALID_RULES"
    assert "groups.0.rules.0" in caught.value.fields[0].field


def test_what_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="YAML"):
        rules(tmp_path, "groups: [")


async def test_recordings_are_bounded_in_time_and_number() -> None:
    kept = Recordings(keep_s=100, max_series=2)
    for at_s in range(0, 1000, 10):
        kept.note([], {(("n", "a"),): float(at_s)}, at_s)
    (series,) = await kept.select([Matcher("n", "=", "a")], -1, 1000)
    assert 10 <= len(series.times_s) <= 25
    kept.note([], {(("n", each),): 1.0 for each in "bcd"}, 1000)
    assert len(await kept.select([], -1, 1000)) == 2
    kept.note([], {(("n", "e"),): 1.0}, 2000)
    assert [each.labels["n"] for each in await kept.select([], -1, 2000)] == ["e"]
