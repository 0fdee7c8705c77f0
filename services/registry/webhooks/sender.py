"""Empties the outbox: every delivery is sent until it arrives, or until there is no hope."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s
from services.registry.database.store import Store
from services.registry.webhooks.record import DeliveryRecord, DeliveryState, WebhookRecord
from services.registry.webhooks.sending import Outcome, WebhookClient

_BATCH = 50
_CONCURRENT = 8
_TIDY_INTERVAL_S = 600.0
_KEPT = 1000
"""Finished deliveries of a webhook that stay in the log."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a delivery is tried: with these, for about nine hours."""

    attempts: int = 60
    base_s: float = 1.0
    max_s: float = 600.0
    interval_s: float = 1.0
    """How often the outbox is looked into."""


class WebhookSender:
    """Sends what is due. Only one registry may run it; one that dies in the middle sends again (at least once)."""

    def __init__(self, store: Store, client: WebhookClient, patience: Patience | None = None) -> None:
        self._store = store
        self._client = client
        self._patience = patience or Patience()
        self._room = asyncio.Semaphore(_CONCURRENT)
        self._task: asyncio.Task[None] | None = None
        self._tidied_at = datetime.min.replace(tzinfo=UTC)

    def start(self) -> None:
        """Begin sending."""
        self._task = run_loop(self._run, name="send webhooks")

    async def close(self) -> None:
        """Stop; what is on its way is sent again by whoever sends next."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def send_due(self) -> int:
        """Make an attempt at everything that is due, of each webhook one after the other; returns how many."""
        async with self._store.reading() as reading:
            due = await reading.due_deliveries(datetime.now(UTC), limit=_BATCH)
            webhooks = {webhook.id: webhook for webhook in await reading.webhooks()} if due else {}
        by_webhook: dict[int, list[DeliveryRecord]] = defaultdict(list)
        for delivery in due:
            by_webhook[delivery.webhook_id].append(delivery)
        await asyncio.gather(*(self._send_all(webhooks, each) for each in by_webhook.values()))
        return len(due)

    async def _run(self) -> None:
        while True:
            try:
                sent = await self.send_due()
                await self._tidy()
            except LeptonError as error:
                _LOG.warning("cannot look into the outbox of webhooks: %s", error)
                sent = 0
            if sent < _BATCH:
                await asyncio.sleep(self._patience.interval_s)

    async def _send_all(self, webhooks: Mapping[int, WebhookRecord], deliveries: Sequence[DeliveryRecord]) -> None:
        async with self._room:
            for delivery in deliveries:
                webhook = webhooks.get(delivery.webhook_id)
                if webhook is None:
                    return  # it was deleted meanwhile, with its deliveries
                outcome = await self._client.send(webhook.url, webhook.secret, delivery.delivery_id, delivery.body)
                tried, is_away = self._after(delivery, outcome), not outcome.is_delivered and outcome.status is None
                async with self._store.writing() as writing:
                    await writing.set_delivery(tried)
                    if is_away:  # what else there is for it waits as long, and is in nobody's way
                        await writing.postpone_deliveries(webhook.id, tried.due_at)
                if is_away:
                    return

    def _after(self, delivery: DeliveryRecord, outcome: Outcome) -> DeliveryRecord:
        attempts, now = delivery.attempts + 1, datetime.now(UTC)
        tried = replace(delivery, attempts=attempts, status=outcome.status, error=outcome.error)
        if outcome.is_delivered:
            return replace(tried, state=DeliveryState.DELIVERED, finished_at=now)
        if not outcome.may_pass or attempts >= self._patience.attempts:
            _LOG.warning("a webhook's delivery is given up: %s", outcome.error, extra={"webhook": delivery.webhook_id})
            return replace(tried, state=DeliveryState.FAILED, finished_at=now)
        pause_s = backoff_s(attempts, base_s=self._patience.base_s, max_s=self._patience.max_s)
        return replace(tried, due_at=now + timedelta(seconds=max(pause_s, outcome.retry_after_s or 0.0)))

    async def _tidy(self) -> None:
        now = datetime.now(UTC)
        if (now - self._tidied_at).total_seconds() < _TIDY_INTERVAL_S:
            return
        async with self._store.writing() as writing:
            await writing.prune_deliveries(keep=_KEPT)
        self._tidied_at = now
