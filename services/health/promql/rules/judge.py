"""The judge that knows the rules: it records what they work out, and says what they find wrong."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from lepton_ai.errors import InvalidInput, LeptonError
from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.metrics.series import NAME, SeriesReader
from services.health.promql.evaluation import evaluate
from services.health.promql.parsing import invalid
from services.health.promql.rules.file import Group, Rule
from services.health.promql.rules.keeping import KeptRecords
from services.health.promql.rules.recordings import Key, RecordedReader, Recordings
from services.health.promql.values import Sample, identity, without

RULE_FAILS = "RuleFails"
_log = logging.getLogger(__name__)


@dataclass
class _State:
    """What a rule found the last time."""

    rule: Rule
    firings: Sequence[Firing] = ()
    recorded: Sequence[Key] = ()
    error: str = ""


@dataclass
class _GroupState:
    group: Group
    rules: list[_State] = field(default_factory=list)
    evaluated_s: float = float("-inf")

    def is_due(self, now_s: float) -> bool:
        """Whether its interval is over; a clock that went back makes it due, too."""
        return not self.evaluated_s <= now_s < self.evaluated_s + self.group.interval_s


class RuleJudge:
    """A Judge. `reader` has what is measured and what the rules record."""

    name = "rules"

    def __init__(self, groups: Sequence[Group], measured: SeriesReader, kept: KeptRecords | None = None) -> None:
        """`kept`: where to put what rules record, for others to find; None: nowhere."""
        self._recordings = Recordings()
        self._kept = kept
        self.reader: SeriesReader = RecordedReader(measured, self._recordings)
        self._groups = [_GroupState(group, [_State(rule) for rule in group.rules]) for group in groups]

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """All that the rules find wrong; groups whose interval is not over say what they said last.

        A rule that cannot be evaluated keeps what it found before and becomes an alert of its own.
        """
        for group in self._groups:
            if group.is_due(now_s):
                group.evaluated_s = now_s
                for state in group.rules:
                    await self._evaluate(state, now_s)
        states = [state for group in self._groups for state in group.rules]
        return [
            *(each for state in states for each in state.firings),
            *(_failure(each) for each in states if each.error),
        ]

    async def _evaluate(self, state: _State, now_s: float) -> None:
        try:
            samples = await evaluate(state.rule.expr, self.reader, now_s)
            if state.rule.record:
                found = _recorded(state.rule, samples)
                state.recorded = self._recordings.note(state.recorded, found, now_s)
                if self._kept is not None:
                    self._kept.keep(state.rule.record, found, now_s)
            else:
                state.firings = _fired(state.rule, samples)
        except LeptonError as error:
            if error.message != state.error:
                _log.warning("A rule cannot be evaluated: %s", error, extra={"rule": state.rule.name})
            state.error = error.message
        else:
            state.error = ""


def _recorded(rule: Rule, samples: Sequence[Sample]) -> dict[Key, float]:
    found = {}
    for sample in samples:
        labels = {**sample.labels, NAME: rule.record, **rule.written_labels(sample.labels, sample.value)}
        found[identity(labels)] = sample.value
    if len(found) < len(samples):
        raise _ambiguous()
    return found


def _fired(rule: Rule, samples: Sequence[Sample]) -> list[Firing]:
    found = {}
    for sample in samples:
        about = without(sample.labels, (NAME,))
        labels = {**about, **rule.written_labels(about, sample.value), ALERT_NAME: rule.alert}
        annotations = {**rule.written_annotations(about, sample.value), "query": rule.expr}
        found[identity(labels)] = Firing(labels, annotations, sample.value, rule.pending_s)
    if len(found) < len(samples):
        raise _ambiguous()
    return list(found.values())


def _ambiguous() -> InvalidInput:
    return invalid("two results have the same labels after those of the rule were added", reason="DUPLICATE_SERIES")


def _failure(state: _State) -> Firing:
    return Firing(
        {ALERT_NAME: RULE_FAILS, SEVERITY: "ticket", "rule": state.rule.name},
        {
            "summary": f"The rule {state.rule.name} cannot be evaluated.",
            "description": state.error,
            "runbook": "docs/runbooks.md#rulefails",
            "query": state.rule.expr,
        },
    )
