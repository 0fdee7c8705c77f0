"""Shows what fires to Alertmanagers elsewhere, as Prometheus does: again and again while it fires.

They group, silence and notify by themselves, and forget an alert that is not shown any more at the time that each
showing names. <https://prometheus.io/docs/alerting/latest/clients/>
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from services.health.alerts.memory.clock import Clock, Stamp, elapsed_s
from services.health.alerts.memory.records import Alert
from services.health.alerts.muting import Muting
from services.health.alerts.notify.http import HttpSender
from services.health.alerts.notify.message import alert_document, rfc3339
from services.health.alerts.notify.outcome import Outcome
from services.health.alerts.receivers import Receiver

_RESEND_S = 60.0
_RETRY_S = 5.0
_VALID_S = 4 * _RESEND_S
_TOLD_OVER_S = 900.0
"""How long a resolved alert is shown as such."""
_LOG = logging.getLogger(__name__)


class AlertmanagerMirror:
    """Of one receiver; `show` is called each round and sends when there is reason to."""

    def __init__(self, receiver: Receiver, http: HttpSender, clock: Clock) -> None:
        self.receiver = receiver
        self.last = Outcome()
        """What became of the last attempt."""
        self._http = http
        self._clock = clock
        self._shown: tuple[frozenset[str], Stamp] | None = None
        self._showing: asyncio.Task[None] | None = None

    def show(self, alerts: Sequence[Alert], muting: Muting) -> None:
        """Show these alerts, as far as they are for this receiver, are not muted, and are news or shown long ago."""
        now = self._clock.now()
        wanted = [each for each in alerts if self._is_shown(each, muting, now)]
        state = frozenset(f"{each.episode} {each.state}" for each in wanted)
        if self._showing is not None and not self._showing.done():
            return
        if self._shown is not None:
            patience_s = _RESEND_S if self.last.is_delivered else _RETRY_S
            is_news = state != self._shown[0] and self.last.is_delivered
            if not is_news and (not wanted or elapsed_s(self._shown[1], now) < patience_s):
                return
        self._shown = (state, now)
        if wanted:
            self._showing = asyncio.create_task(self._show(wanted, now), name=f"show {self.receiver.name}")

    async def close(self) -> None:
        """Stop showing; what fires is forgotten there within minutes, unless somebody else shows it."""
        if self._showing is not None:
            self._showing.cancel()
            await asyncio.gather(self._showing, return_exceptions=True)

    async def _show(self, alerts: Sequence[Alert], now: Stamp) -> None:
        self.last = await self._http.send_alerts(self.receiver, [_document(each, now) for each in alerts])
        if not self.last.is_delivered:
            _LOG.warning("alerts cannot be shown: %s", self.last.error, extra={"receiver": self.receiver.name})

    def _is_shown(self, alert: Alert, muting: Muting, now: Stamp) -> bool:
        if alert.fired is None or alert in muting or not self.receiver.wants(alert.labels, alert.severity):
            return False
        return alert.is_firing or (alert.resolved is not None and elapsed_s(alert.resolved, now) < _TOLD_OVER_S)


def _document(alert: Alert, now: Stamp) -> Mapping[str, Any]:
    told = alert_document(alert)
    ends_s = alert.resolved.wall_s if alert.resolved is not None else now.wall_s + _VALID_S
    shown = {name: told[name] for name in ("labels", "annotations", "startsAt")}
    return {**shown, "endsAt": rfc3339(ends_s)}
