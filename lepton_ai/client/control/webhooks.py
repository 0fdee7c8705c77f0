"""Webhooks as a client makes them."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_ai.client.control.registry_calls import RegistryClient
from lepton_ai.v1 import registry_pb2


class Webhooks:
    """The part of `AsyncClient` for webhooks."""

    async def create_webhook(
        self: RegistryClient, url: str, events: Sequence[str] = (), *, secret: str = "", description: str = ""
    ) -> registry_pb2.CreateWebhookResponse:
        """Have events told to a URL; without `events` all. Without a `secret` one is made, and told this once.

        Raises InvalidInput for a URL that may not be called.
        """
        request = registry_pb2.CreateWebhookRequest(url=url, events=events, secret=secret, description=description)
        return await self._registry(
            lambda stub, left_s: stub.CreateWebhook(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def webhooks(self: RegistryClient) -> Sequence[registry_pb2.Webhook]:
        """All webhooks, the oldest first."""
        request = registry_pb2.ListWebhooksRequest()
        listed: registry_pb2.ListWebhooksResponse = await self._registry(
            lambda stub, left_s: stub.ListWebhooks(request, timeout=left_s, metadata=self._proof), self._timeout_s
        )
        return list(listed.webhooks)

    async def delete_webhook(self: RegistryClient, number: int) -> None:
        """Have nothing more told to a webhook. Raises NotFound."""
        request = registry_pb2.DeleteWebhookRequest(id=number)
        await self._registry(
            lambda stub, left_s: stub.DeleteWebhook(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def test_webhook(self: RegistryClient, number: int, event: str = "") -> registry_pb2.TestWebhookResponse:
        """Have an example sent at once. Raises NotFound, InvalidInput for an unknown event."""
        request = registry_pb2.TestWebhookRequest(id=number, event=event)
        return await self._registry(
            lambda stub, left_s: stub.TestWebhook(request, timeout=left_s, metadata=self._proof),
            self._timeout_s,
            idempotent=False,
        )

    async def deliveries(
        self: RegistryClient, number: int, *, limit: int = 100
    ) -> Sequence[registry_pb2.WebhookDelivery]:
        """What a webhook was told and is to be told, the newest first. Raises NotFound."""
        request = registry_pb2.ListDeliveriesRequest(webhook=number, limit=limit)
        listed: registry_pb2.ListDeliveriesResponse = await self._registry(
            lambda stub, left_s: stub.ListDeliveries(request, timeout=left_s, metadata=self._proof), self._timeout_s
        )
        return list(listed.deliveries)
