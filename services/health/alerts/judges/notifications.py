"""Notifications that do not arrive, as firings: the other receivers hear of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.health.alerts.firing import ALERT_NAME, SEVERITY, Firing
from services.health.alerts.memory.clock import Clock, elapsed_s
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import Delivery, DeliveryState
from services.health.alerts.notify.outcome import Outcome

_LATE_S = 60.0

Attempts = Callable[[], Sequence[tuple[str, Outcome]]]
"""Receivers that are told past the outbox, and their last attempts."""


class NotificationJudge:
    """A receiver that could not be reached for a minute is a firing."""

    name = "notifications"

    def __init__(self, ledger: Ledger, clock: Clock, attempts: Attempts) -> None:
        self._ledger = ledger
        self._clock = clock
        self._attempts = attempts

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """One for each receiver in trouble."""
        errors = {name: outcome.error for name, outcome in self._attempts() if not outcome.is_delivered}
        now = self._clock.now()
        for delivery in self._ledger.of(Delivery).values():
            is_late = elapsed_s(delivery.created, now) > _LATE_S
            if delivery.state is DeliveryState.PENDING and delivery.error and is_late:
                errors[delivery.receiver] = delivery.error
        return [_firing(name, error) for name, error in sorted(errors.items())]


def _firing(receiver: str, error: str) -> Firing:
    return Firing(
        labels={ALERT_NAME: "NotificationsFailing", SEVERITY: "ticket", "receiver": receiver},
        annotations={
            "summary": f"Notifications do not reach {receiver}.",
            "cause": error,
            "impact": f"whoever reads {receiver} does not hear of alerts; they are tried again for a day",
            "runbook": "docs/runbooks.md#notificationsfailing",
        },
        pending_s=_LATE_S,
    )
