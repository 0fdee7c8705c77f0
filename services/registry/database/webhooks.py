"""Webhooks and their outbox in the registry's database."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registry.database.schema import webhook_deliveries, webhooks
from services.registry.webhooks.events import Event
from services.registry.webhooks.record import DeliveryRecord, DeliveryState, NewWebhook, WebhookRecord

MAX_PENDING = 10_000
"""Deliveries of one webhook that may wait; of more it is told as failed."""
_PENDING = DeliveryState.PENDING.value


class WebhookReading:
    """Queries of webhooks in one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def webhooks(self) -> Sequence[WebhookRecord]:
        query = select(webhooks).order_by(webhooks.c.id)
        return [_webhook(row) for row in await self._connection.execute(query)]

    async def deliveries(self, webhook_id: int, *, limit: int) -> Sequence[DeliveryRecord]:
        table = webhook_deliveries
        query = select(table).where(table.c.webhook_id == webhook_id).order_by(table.c.id.desc()).limit(limit)
        return [_delivery(row) for row in await self._connection.execute(query)]

    async def due_deliveries(self, now: datetime, *, limit: int) -> Sequence[DeliveryRecord]:
        table = webhook_deliveries
        query = select(table).where(table.c.state == _PENDING, table.c.due_at <= now)
        rows = await self._connection.execute(query.order_by(table.c.due_at, table.c.id).limit(limit))
        return [_delivery(row) for row in rows]


class WebhookWriting(WebhookReading):
    """Changes of webhooks in one transaction."""

    async def add_webhook(self, new: NewWebhook) -> WebhookRecord:
        values = vars(new) | {"events": list(new.events), "created_at": datetime.now(UTC)}
        added = await self._connection.execute(insert(webhooks).values(**values).returning(webhooks))
        return _webhook(added.one())

    async def delete_webhook(self, webhook_id: int) -> None:
        table = webhook_deliveries
        await self._connection.execute(delete(table).where(table.c.webhook_id == webhook_id))
        await self._connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))

    async def enqueue(self, events: Sequence[Event]) -> None:
        """Put events into the outbox, for every webhook that wants them."""
        if not events:
            return
        now = datetime.now(UTC)
        rows = [
            await self._outgoing(webhook, event, now)
            for webhook in await self.webhooks()
            for event in events
            if not webhook.events or event.name in webhook.events
        ]
        if rows:
            await self._connection.execute(insert(webhook_deliveries), rows)

    async def set_delivery(self, record: DeliveryRecord) -> None:
        table = webhook_deliveries
        values = {
            "state": record.state.value,
            "attempts": record.attempts,
            "due_at": record.due_at,
            "status": record.status,
            "error": record.error,
            "finished_at": record.finished_at,
        }
        await self._connection.execute(update(table).where(table.c.id == record.id).values(**values))

    async def postpone_deliveries(self, webhook_id: int, until: datetime) -> None:
        table = webhook_deliveries
        waiting = update(table).where(table.c.webhook_id == webhook_id, table.c.state == _PENDING)
        await self._connection.execute(waiting.where(table.c.due_at < until).values(due_at=until))

    async def prune_deliveries(self, *, keep: int) -> None:
        """Delete finished deliveries but for the newest of each webhook."""
        table = webhook_deliveries
        for webhook in await self.webhooks():
            finished = select(table.c.id).where(table.c.webhook_id == webhook.id, table.c.state != _PENDING)
            oldest = await self._connection.execute(finished.order_by(table.c.id.desc()).offset(keep).limit(1))
            last = oldest.scalar()
            if last is not None:
                old = delete(table).where(table.c.webhook_id == webhook.id, table.c.state != _PENDING)
                await self._connection.execute(old.where(table.c.id <= last))

    async def _outgoing(self, webhook: WebhookRecord, event: Event, now: datetime) -> dict[str, Any]:
        table = webhook_deliveries
        waiting = select(func.count()).where(table.c.webhook_id == webhook.id, table.c.state == _PENDING)
        is_full = ((await self._connection.execute(waiting)).scalar() or 0) >= MAX_PENDING
        return {
            "webhook_id": webhook.id,
            "delivery_id": str(uuid.uuid4()),
            "event": event.name,
            "body": event.body(now),
            "state": DeliveryState.FAILED.value if is_full else _PENDING,
            "attempts": 0,
            "due_at": now,
            "status": None,
            "error": f"{MAX_PENDING} deliveries wait already." if is_full else "",
            "created_at": now,
            "finished_at": now if is_full else None,
        }


def _webhook(row: Row[Any]) -> WebhookRecord:
    return WebhookRecord(
        url=row.url,
        events=tuple(row.events),
        secret=row.secret,
        description=row.description,
        actor=row.actor,
        id=row.id,
        created_at=_utc(row.created_at),
    )


def _delivery(row: Row[Any]) -> DeliveryRecord:
    return DeliveryRecord(
        id=row.id,
        webhook_id=row.webhook_id,
        delivery_id=row.delivery_id,
        event=row.event,
        body=row.body,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        due_at=_utc(row.due_at),
        status=row.status,
        error=row.error,
        created_at=_utc(row.created_at),
        finished_at=None if row.finished_at is None else _utc(row.finished_at),
    )


def _utc(at: datetime) -> datetime:
    """SQLite forgets the time zone; everything is written in UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
