"""Empties the outbox: every notification is sent until it arrives, or is a day old.

A delivery is on the disk, and in etcd where that answers, before it is sent, and noted as delivered afterwards. So none
is lost, and one is sent twice only when it arrived and this process was killed before it had noted that; then it has
the same id, which webhooks carry as `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s
from services.health.alerts.memory.book import Happening
from services.health.alerts.memory.clock import Clock, Stamp, elapsed_s, later
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import Delivery, DeliveryState
from services.health.alerts.notify.http import HttpSender
from services.health.alerts.notify.messengers import Messengers
from services.health.alerts.notify.outcome import Outcome
from services.health.alerts.receivers import Receiver

_CONCURRENT = 8
_LAST_WORDS_S = 3.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a delivery is tried."""

    base_s: float = 1.0
    max_s: float = 300.0
    give_up_s: float = 86_400.0


class NotificationSender:
    """Sends what is due; of one group to one receiver one after the other. Only the leader runs it."""

    def __init__(
        self,
        ledger: Ledger,
        receivers: Mapping[str, Receiver],
        clock: Clock,
        *,
        timeout_s: float,
        patience: Patience | None = None,
    ) -> None:
        self._ledger = ledger
        self._receivers = receivers
        self._clock = clock
        self._patience = patience or Patience()
        self.http = HttpSender(timeout_s=timeout_s)
        self._messengers = Messengers(timeout_s=timeout_s)
        self._room = asyncio.Semaphore(_CONCURRENT)
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}

    def send_due(self) -> None:
        """Begin to send what is due and not under way."""
        for delivery in self._first_of_each():
            place = (delivery.receiver, delivery.group)
            task = self._under_way.get(place)
            if task is None or task.done():
                self._under_way[place] = run_loop(
                    lambda delivery=delivery: self._attempt(delivery),  # type: ignore[misc]
                    name=f"notify {delivery.receiver}",
                )
        self._under_way = {place: task for place, task in self._under_way.items() if not task.done()}

    async def test(self, receiver: Receiver, delivery: Delivery) -> Outcome:
        """Send at once, past the outbox."""
        return await self._send(receiver, delivery)

    async def stop(self) -> None:
        """Let what is on its way arrive, for a moment; what has not by then is sent again by whoever sends next."""
        tasks, self._under_way = self._under_way, {}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=_LAST_WORDS_S)
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def close(self) -> None:
        """Close all connections."""
        await self.http.close()
        await self._messengers.close()

    def _first_of_each(self) -> list[Delivery]:
        """The oldest pending delivery of each group and receiver, where it is due."""
        now = self._clock.now()
        pending = [each for each in self._ledger.of(Delivery).values() if each.state is DeliveryState.PENDING]
        first: dict[tuple[str, str], Delivery] = {}
        for delivery in sorted(pending, key=lambda each: elapsed_s(each.created, now), reverse=True):
            first.setdefault((delivery.receiver, delivery.group), delivery)
        return [delivery for delivery in first.values() if _is_due(delivery, now)]

    async def _attempt(self, delivery: Delivery) -> None:
        async with self._room:
            receiver = self._receivers.get(delivery.receiver)
            if receiver is None:
                await self._finish(delivery, DeliveryState.FAILED, Outcome("There is no such receiver any more."))
                return
            outcome = await self._send(receiver, delivery)
        if outcome.is_delivered:
            await self._finish(delivery, DeliveryState.DELIVERED, outcome)
        elif elapsed_s(delivery.created, self._clock.now()) > self._patience.give_up_s:
            _LOG.error("a notification is given up: %s", outcome.error, extra={"receiver": delivery.receiver})
            await self._finish(delivery, DeliveryState.FAILED, outcome)
        else:
            await self._ledger.save([self._tried(delivery, outcome)])

    def _tried(self, delivery: Delivery, outcome: Outcome) -> Delivery:
        attempts = delivery.attempts + 1
        pause_s = backoff_s(attempts, base_s=self._patience.base_s, max_s=self._patience.max_s)
        due = later(self._clock.now(), max(pause_s, outcome.retry_after_s))
        told = {"attempts": attempts, "due": due, "status": outcome.status, "error": outcome.error}
        return delivery.model_copy(update=told)

    async def _finish(self, delivery: Delivery, state: DeliveryState, outcome: Outcome) -> None:
        now = self._clock.now()
        done = {"state": state, "finished": now, "attempts": delivery.attempts + 1}
        told = {"status": outcome.status, "error": outcome.error}
        detail = f"{delivery.receiver}: {delivery.reason}" + (f" ({outcome.error})" if outcome.error else "")
        history = [Happening(alert, now.wall_s, state.value, detail) for alert in delivery.alerts]
        await self._ledger.save([delivery.model_copy(update={**done, **told})], history=history)

    async def _send(self, receiver: Receiver, delivery: Delivery) -> Outcome:
        try:
            return await self._deliver(receiver, delivery)
        except LeptonError as error:
            return Outcome(error.message)
        except Exception as error:  # noqa: BLE001 - logged, told as the outcome, and tried again like any other failure
            _LOG.exception("a notification failed in the health service", extra={"receiver": receiver.name})
            return Outcome(f"It could not be sent: {type(error).__name__}, see the log of health.")

    async def _deliver(self, receiver: Receiver, delivery: Delivery) -> Outcome:
        ways: Mapping[str, Callable[[Receiver, Delivery], Awaitable[Outcome]]] = {
            "webhook": self.http.send_webhook,
            "dingtalk": self.http.send_dingtalk,
            "wecom": self.http.send_wecom,
            "alertmanager": self._send_alerts,
        }
        return await ways.get(receiver.kind, self._messengers.send)(receiver, delivery)

    async def _send_alerts(self, receiver: Receiver, delivery: Delivery) -> Outcome:
        """Only for tests of the receiver: what fires is shown to Alertmanagers by `AlertmanagerMirror`."""
        alerts = delivery.document["alerts"]
        return await self.http.send_alerts(receiver, alerts if isinstance(alerts, list) else [])  # type: ignore[arg-type]


def _is_due(delivery: Delivery, now: Stamp) -> bool:
    """Due times lie ahead: of one machine the steady clock says when, otherwise the wall clocks."""
    if delivery.due.boot == now.boot:
        return delivery.due.steady_s <= now.steady_s
    return delivery.due.wall_s <= now.wall_s
