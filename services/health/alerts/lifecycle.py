"""How an alert lives: found, pending, firing, resolved. Pure: no clock, no I/O."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.alerts.memory.clock import Stamp, elapsed_s
from services.health.alerts.memory.records import Alert, AlertState, fingerprint

_KEPT_ROUNDS = 1
"""So many rounds in a row an alert may be missing and still stands: one look that came to nothing resolves nothing."""
_MAX_TEXT, _MAX_WORDS, _MAX_PARTS = 4000, 300, 64


@dataclass(frozen=True)
class Outcome:
    """What came of asking a judge once."""

    judge: str
    firings: Sequence[Firing] = ()
    error: str = ""
    """Why there is no answer; then `firings` says nothing."""


def advance(
    alerts: Mapping[str, Alert], outcome: Outcome, now: Stamp, *, max_alerts: int, untold: Collection[str] = ()
) -> list[Alert]:
    """The alerts that are otherwise after a judge's answer. A judge that failed changes nothing.

    With `max_alerts` that are not resolved, new ones are not taken up. `untold` are episodes of whose end somebody has
    not been told yet: when such an alert comes back it has never ended, and nobody is told of it twice.
    """
    if outcome.error:
        return []
    found = dict(_identified(outcome.firings))
    room = max_alerts - sum(each.state is not AlertState.RESOLVED for each in alerts.values())
    changed: list[Alert] = []
    for identity, firing in found.items():
        known = alerts.get(identity)
        if known is not None and known.state is AlertState.RESOLVED and known.episode in untold:
            back = {"state": AlertState.FIRING, "resolved": None}
            changed.append(_go_on(known.model_copy(update=back), firing, outcome.judge, now))
        elif known is None or known.state is AlertState.RESOLVED:
            room -= 1
            if room >= 0:
                changed.append(_begin(identity, firing, outcome.judge, now, known))
        else:
            changed.append(_go_on(known, firing, outcome.judge, now))
    missing = (each for each in alerts.values() if each.judge == outcome.judge and each.id not in found)
    changed += [_miss(each, now) for each in missing if each.state is not AlertState.RESOLVED]
    return [each for each in changed if each != alerts.get(each.id)]


def is_news(before: Alert | None, after: Alert) -> bool:
    """Whether a change must outlive this process: texts and values come again with the next round."""
    if before is None:
        return True
    return (before.state, before.began, before.judge) != (after.state, after.began, after.judge)


def _identified(firings: Iterable[Firing]) -> Iterator[tuple[str, Firing]]:
    for firing in firings:
        labels = {str(name)[:_MAX_WORDS]: str(value)[:_MAX_WORDS] for name, value in firing.labels.items()}
        labels = dict(sorted({ALERT_NAME: "Unnamed", SEVERITY: "ticket", **labels}.items())[:_MAX_PARTS])
        texts = {str(name)[:_MAX_WORDS]: str(text)[:_MAX_TEXT] for name, text in firing.annotations.items() if text}
        annotations = dict(list(texts.items())[:_MAX_PARTS])
        value = float(firing.value) if math.isfinite(firing.value) else 0.0
        yield fingerprint(labels), Firing(labels, annotations, value, float(firing.pending_s))


def is_given_up(before: Alert | None, after: Alert) -> bool:
    """Whether it was pending and came to nothing: what it is after that it was before, or it was nothing."""
    return before is not None and before.state is AlertState.PENDING and after.state is AlertState.RESOLVED


def _begin(identity: str, firing: Firing, judge: str, now: Stamp, known: Alert | None) -> Alert:
    """`known`: the same, over. It is an older record of the same id."""
    new = Alert(
        id=identity,
        revision=known.revision if known is not None else 0,
        before=known if known is not None and known.fired is not None else None,
        labels=firing.labels,
        annotations=firing.annotations,
        value=firing.value,
        judge=judge,
        state=AlertState.PENDING,
        pending_s=firing.pending_s,
        began=now,
    )
    return _fire_in_time(new, now)


def _go_on(known: Alert, firing: Firing, judge: str, now: Stamp) -> Alert:
    told = {"annotations": firing.annotations, "value": firing.value, "pending_s": firing.pending_s}
    return _fire_in_time(known.model_copy(update={**told, "judge": judge, "missed": 0}), now)


def _fire_in_time(alert: Alert, now: Stamp) -> Alert:
    if alert.state is AlertState.PENDING and elapsed_s(alert.began, now) >= alert.pending_s:
        return alert.model_copy(update={"state": AlertState.FIRING, "fired": now, "before": None})
    return alert


def _miss(known: Alert, now: Stamp) -> Alert:
    missed = known.missed + 1
    if known.state is AlertState.FIRING and missed <= _KEPT_ROUNDS:
        return known.model_copy(update={"missed": missed})
    if known.state is AlertState.PENDING and known.before is not None:
        return known.before.model_copy(update={"revision": known.revision})
    return known.model_copy(update={"missed": missed, "state": AlertState.RESOLVED, "resolved": now})
