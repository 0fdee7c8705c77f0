"""Webhooks as callers make, list, test and delete them."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from lepton_ai.errors import InvalidInput, NotFound, ResourceExhausted
from lepton_ai.v1 import registry_pb2
from services.registry.completion import Completion
from services.registry.database.store import AuditEntry, Store
from services.registry.webhooks.events import EXAMPLES, Event, check_events
from services.registry.webhooks.record import DeliveryRecord, NewWebhook, WebhookRecord
from services.registry.webhooks.sending import Outcome, WebhookClient

_MAX_WEBHOOKS = 100
_MAX_SECRET, _MIN_SECRET, _MAX_DESCRIPTION = 200, 16, 500
_MAX_DELIVERIES = 1000


@dataclass(frozen=True)
class Webhooks:
    """All webhooks of the registry."""

    store: Store
    client: WebhookClient
    completion: Completion

    async def create(self, request: registry_pb2.CreateWebhookRequest, *, actor: str) -> WebhookRecord:
        """Tell events to a URL from now on; without a secret one is made. Raises InvalidInput, ResourceExhausted."""
        self.client.reach.check_url(request.url)
        if request.secret and not _MIN_SECRET <= len(request.secret) <= _MAX_SECRET:
            raise InvalidInput.of_field("secret", f"must have {_MIN_SECRET} to {_MAX_SECRET} characters")
        if len(request.description) > _MAX_DESCRIPTION:
            raise InvalidInput.of_field("description", f"has more than {_MAX_DESCRIPTION} characters")
        new = NewWebhook(
            url=request.url,
            events=check_events(tuple(dict.fromkeys(request.events))),
            secret=request.secret or secrets.token_urlsafe(32),
            description=request.description,
            actor=actor,
        )
        return await self.completion.finish(self._create(new))

    async def list(self) -> Sequence[WebhookRecord]:
        """All of them, the oldest first."""
        async with self.store.reading() as reading:
            return await reading.webhooks()

    async def delete(self, number: int, *, actor: str) -> None:
        """Tell nothing more, not even what is on its way. Raises NotFound."""
        await self.completion.finish(self._delete(number, actor))

    async def test(self, number: int, event: str) -> Outcome:
        """Send an example at once, past the outbox. Raises NotFound, InvalidInput for an unknown event."""
        webhook = await self._find(number)
        name = event or (webhook.events[0] if webhook.events else "model_version.created")
        (name,) = check_events((name,))
        body = Event(name, EXAMPLES[name]).body(datetime.now(UTC))
        return await self.client.send(webhook.url, webhook.secret, str(uuid.uuid4()), body)

    async def deliveries(self, number: int, *, limit: int) -> Sequence[DeliveryRecord]:
        """Those of a webhook, the newest first. Raises NotFound."""
        await self._find(number)
        async with self.store.reading() as reading:
            return await reading.deliveries(number, limit=min(limit or 100, _MAX_DELIVERIES))

    async def _find(self, number: int) -> WebhookRecord:
        for webhook in await self.list():
            if webhook.id == number:
                return webhook
        raise _not_found(number)

    async def _create(self, new: NewWebhook) -> WebhookRecord:
        async with self.store.writing() as writing:
            if len(await writing.webhooks()) >= _MAX_WEBHOOKS:
                raise ResourceExhausted(
                    f"There are {_MAX_WEBHOOKS} webhooks, which is the limit.",
                    reason="TOO_MANY_WEBHOOKS",
                    fix="Delete one: `lepton webhooks list` shows them.",
                )
            webhook = await writing.add_webhook(new)
            await writing.record(AuditEntry(new.actor, "create_webhook", "", before=None, after=_summary(webhook)))
        return webhook

    async def _delete(self, number: int, actor: str) -> None:
        async with self.store.writing() as writing:
            webhook = next((each for each in await writing.webhooks() if each.id == number), None)
            if webhook is None:
                raise _not_found(number)
            await writing.delete_webhook(number)
            await writing.record(AuditEntry(actor, "delete_webhook", "", before=_summary(webhook), after=None))


def webhook_message(record: WebhookRecord) -> registry_pb2.Webhook:
    """A webhook as callers see it, without its secret."""
    message = registry_pb2.Webhook(
        id=record.id, url=record.url, events=record.events, description=record.description, actor=record.actor
    )
    message.created_at.FromDatetime(record.created_at)
    return message


def delivery_message(record: DeliveryRecord) -> registry_pb2.WebhookDelivery:
    """A delivery as callers see it."""
    message = registry_pb2.WebhookDelivery(
        delivery_id=record.delivery_id,
        event=record.event,
        state=registry_pb2.DeliveryState.Value(f"DELIVERY_STATE_{record.state.name}"),
        attempts=record.attempts,
        status=record.status or 0,
        error=record.error,
    )
    message.created_at.FromDatetime(record.created_at)
    message.due_at.FromDatetime(record.due_at)
    if record.finished_at is not None:
        message.finished_at.FromDatetime(record.finished_at)
    return message


def _summary(webhook: WebhookRecord) -> dict[str, object]:
    """For the audit trail: of the URL only where it goes, as the rest is often a secret of the receiver."""
    parts = urlsplit(webhook.url)
    return {"id": webhook.id, "to": f"{parts.scheme}://{parts.netloc}", "events": [*webhook.events]}


def _not_found(number: int) -> NotFound:
    return NotFound(
        f"There is no webhook {number}.", reason="WEBHOOK_NOT_FOUND", fix="`lepton webhooks list` shows them."
    )
