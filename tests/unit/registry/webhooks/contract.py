"""What webhooks do on every database: each event arrives at least once, signed, or is given up and said to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.testing import eventually
from lepton_ai.v1 import registry_pb2 as pb
from services.registry.completion import Completion
from services.registry.database import webhooks as outbox
from services.registry.database.sql_store import SqlStore
from services.registry.database.store import AuditEntry
from services.registry.webhooks.addresses import Reach
from services.registry.webhooks.record import DeliveryRecord, DeliveryState, WebhookRecord
from services.registry.webhooks.sender import Patience, WebhookSender
from services.registry.webhooks.sending import WebhookClient
from services.registry.webhooks.webhooks import Webhooks
from tests.receiver import Receiver, receiving

LOCAL = Reach(loopback=True)
SECRET = "a secret of the receiver"
QUICK = Patience(attempts=4, base_s=0.01, max_s=0.05, interval_s=0.01)


def webhooks_of(store: SqlStore, client: WebhookClient) -> Webhooks:
    return Webhooks(store, client, Completion())


async def create(store: SqlStore, url: str, *events: str) -> WebhookRecord:
    client = WebhookClient(LOCAL)
    request = pb.CreateWebhookRequest(url=url, events=events, secret=SECRET)
    created = await webhooks_of(store, client).create(request, actor="alice")
    await client.close()
    return created


async def push(store: SqlStore, *versions: int) -> None:
    for version in versions:
        async with store.writing() as writing:
            after = {"version": version, "digest": "d"}
            await writing.record(AuditEntry("alice", "push", "猫", before=None, after=after))


async def log(store: SqlStore, webhook: WebhookRecord) -> Sequence[DeliveryRecord]:
    async with store.reading() as reading:
        return await reading.deliveries(webhook.id, limit=1000)


async def finished(store: SqlStore, webhook: WebhookRecord) -> Sequence[DeliveryRecord]:
    """The log when nothing waits any more."""

    async def are_done() -> bool:
        return all(each.state is not DeliveryState.PENDING for each in await log(store, webhook))

    await eventually(are_done, description="all deliveries are finished", timeout_s=30)
    return await log(store, webhook)


@asynccontextmanager
async def sending(store: SqlStore, patience: Patience = QUICK) -> AsyncIterator[WebhookSender]:
    client = WebhookClient(LOCAL, timeout_s=0.5)
    sender = WebhookSender(store, client, patience)
    sender.start()
    try:
        yield sender
    finally:
        await sender.close()
        await client.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


class WebhookContract:
    """Tests for the fixtures `store` and `receiver`; a subclass whose name begins with Test runs them."""

    async def test_an_event_arrives_signed_as_mlflow_signs(self, store: SqlStore, receiver: Receiver) -> None:
        webhook = await create(store, receiver.url, "model_version.created")
        async with sending(store):
            await push(store, 1)
            (received,) = await receiver.until(1)
            (delivery,) = await finished(store, webhook)
        assert received.is_signed_with(SECRET)
        assert not received.is_signed_with("another secret of theirs")
        assert received.headers["x-mlflow-delivery-id"] == delivery.delivery_id
        assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert received.target == "/hook?to=%E6%88%91"
        assert received.document["data"]["name"] == "猫"
        assert (delivery.state, delivery.attempts, delivery.status) == (DeliveryState.DELIVERED, 1, 200)

    async def test_only_events_that_are_wanted_are_told(self, store: SqlStore, receiver: Receiver) -> None:
        one = await create(store, receiver.url, "registered_model.created")
        every = await create(store, receiver.url)
        await push(store, 1, 2)
        assert [each.event for each in await log(store, one)] == ["registered_model.created"]
        assert len(await log(store, every)) == 3

    async def test_what_was_taken_back_is_not_told(self, store: SqlStore, receiver: Receiver) -> None:
        webhook = await create(store, receiver.url)
        with pytest.raises(LookupError):
            async with store.writing() as writing:
                await writing.record(AuditEntry("alice", "push", "cat", before=None, after={"version": 1}))
                raise LookupError
        assert await log(store, webhook) == []

    async def test_a_failing_receiver_is_tried_again_with_the_same_id(
        self, store: SqlStore, receiver: Receiver
    ) -> None:
        receiver.answers = [503, 0, 200]
        webhook = await create(store, receiver.url)
        async with sending(store):
            await push(store, 2)
            await receiver.until(3)
            (delivery,) = await finished(store, webhook)
        assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 3)
        assert len({each.headers["x-mlflow-delivery-id"] for each in receiver.received}) == 1
        assert all(each.is_signed_with(SECRET) for each in receiver.received)

    async def test_what_a_receiver_refuses_is_not_tried_again(self, store: SqlStore, receiver: Receiver) -> None:
        receiver.answers = [400]
        webhook = await create(store, receiver.url)
        async with sending(store):
            await push(store, 2)
            (delivery,) = await finished(store, webhook)
        assert (delivery.state, delivery.attempts, delivery.status) == (DeliveryState.FAILED, 1, 400)
        assert delivery.error == "The receiver answered 400."

    async def test_redirects_are_not_followed(self, store: SqlStore, receiver: Receiver) -> None:
        receiver.answers, receiver.headers = [302], "Location: http://169.254.169.254/\r\n"
        webhook = await create(store, receiver.url)
        async with sending(store):
            await push(store, 2)
            (delivery,) = await finished(store, webhook)
        assert "redirect" in delivery.error
        assert len(receiver.received) == 1

    async def test_after_some_attempts_it_is_given_up(self, store: SqlStore, receiver: Receiver) -> None:
        receiver.answers = [500]
        webhook = await create(store, receiver.url)
        async with sending(store):
            await push(store, 2)
            (delivery,) = await finished(store, webhook)
        assert (delivery.state, delivery.attempts) == (DeliveryState.FAILED, QUICK.attempts)

    async def test_a_receiver_says_when_to_come_back(self, store: SqlStore, receiver: Receiver) -> None:
        receiver.answers, receiver.headers = [429], "Retry-After: 3600\r\n"
        webhook = await create(store, receiver.url)
        await push(store, 2)
        async with sending(store):
            await receiver.until(1)
            await eventually(lambda: self._waits(store, webhook), description="it is put off")
        assert len(receiver.received) == 1

    async def _waits(self, store: SqlStore, webhook: WebhookRecord) -> bool:
        (delivery,) = await log(store, webhook)
        return delivery.due_at > datetime.now(UTC) + timedelta(minutes=50)

    async def test_a_receiver_that_is_away_is_in_nobodys_way(self, store: SqlStore, receiver: Receiver) -> None:
        async with receiving() as gone:
            url = gone.url
        away = await create(store, url)
        webhook = await create(store, receiver.url)
        await push(store, *range(2, 42))
        async with sending(store, Patience(attempts=50, base_s=600, max_s=600, interval_s=0.01)):
            await receiver.until(40, timeout_s=30)
            assert len({each.document["data"]["version"] for each in receiver.received}) == 40
            assert all(each.state is DeliveryState.DELIVERED for each in await finished(store, webhook))
        assert sum(each.attempts for each in await log(store, away)) == 1

    async def test_what_a_dead_sender_had_begun_is_sent_by_the_next(self, store: SqlStore, receiver: Receiver) -> None:
        receiver.answers = [0, 200]
        webhook = await create(store, receiver.url)
        await push(store, 2)
        client = WebhookClient(LOCAL)
        dying = asyncio.create_task(WebhookSender(store, client, QUICK).send_due())
        await receiver.until(1)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        await client.close()
        async with sending(store):
            (delivery,) = await finished(store, webhook)
        assert delivery.state is DeliveryState.DELIVERED

    async def test_a_deleted_webhook_is_told_nothing_more(self, store: SqlStore, receiver: Receiver) -> None:
        webhook = await create(store, receiver.url)
        await push(store, 2)
        client = WebhookClient(LOCAL)
        await webhooks_of(store, client).delete(webhook.id, actor="alice")
        assert await WebhookSender(store, client, QUICK).send_due() == 0
        with pytest.raises(NotFound, match="no webhook"):
            await webhooks_of(store, client).deliveries(webhook.id, limit=1)
        with pytest.raises(NotFound):
            await webhooks_of(store, client).delete(webhook.id, actor="alice")
        await client.close()

    async def test_a_test_arrives_at_once_and_leaves_nothing(self, store: SqlStore, receiver: Receiver) -> None:
        webhook = await create(store, receiver.url, "rollout.updated")
        client = WebhookClient(LOCAL)
        outcome = await webhooks_of(store, client).test(webhook.id, "")
        assert (outcome.status, outcome.is_delivered) == (200, True)
        assert receiver.events() == ["rollout.updated"]
        assert receiver.received[0].is_signed_with(SECRET)
        assert await log(store, webhook) == []
        with pytest.raises(InvalidInput, match="is no event"):
            await webhooks_of(store, client).test(webhook.id, "model.created")
        await client.close()

    async def test_a_full_outbox_says_what_was_left_out(
        self, store: SqlStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outbox, "MAX_PENDING", 2)
        webhook = await create(store, receiver.url)
        await push(store, 2, 3, 4)
        newest, *waiting = await log(store, webhook)
        assert (newest.state, newest.error) == (DeliveryState.FAILED, "2 deliveries wait already.")
        assert {each.state for each in waiting} == {DeliveryState.PENDING}

    async def test_the_log_keeps_the_newest(self, store: SqlStore, receiver: Receiver) -> None:
        webhook = await create(store, receiver.url)
        await push(store, *range(2, 12))
        async with sending(store):
            await finished(store, webhook)
        await push(store, 12)
        async with store.writing() as writing:
            await writing.prune_deliveries(keep=3)
        assert [each.state.value for each in await log(store, webhook)] == ["pending", *["delivered"] * 3]

    async def test_no_secret_is_shown_again(self, store: SqlStore, receiver: Receiver) -> None:
        webhook = await create(store, receiver.url)
        async with store.reading() as reading:
            (entry,) = await reading.audit_chain(after=0, limit=10)
        assert SECRET not in repr(webhook)
        assert SECRET not in str(entry)
        assert "to=" not in str(entry)
