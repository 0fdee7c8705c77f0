"""One request: by TLS to the host that the URL names, and to no address that it must not go to."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.registry.webhooks.addresses import Reach
from services.registry.webhooks.sending import WebhookClient
from tests.certificates import certificate
from tests.receiver import receiving

LOCAL = Reach(loopback=True)


@pytest.mark.parametrize(("host", "arrives"), [("localhost", True), ("example.org", False)])
async def test_the_certificate_must_be_the_hosts_though_the_address_is_connected_to(
    tmp_path: Path, host: str, arrives: bool
) -> None:
    server, trusting = certificate(tmp_path / "server.pem", host)
    client = WebhookClient(LOCAL, tls=trusting)
    async with receiving(tls=server) as receiver:
        outcome = await client.send(f"https://localhost:{receiver.port}/hook", "s" * 16, "id", "{}")
        assert (outcome.is_delivered, len(receiver.received)) == (arrives, int(arrives))
        if arrives:
            assert receiver.received[0].headers["host"] == f"localhost:{receiver.port}"
    await client.close()


async def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path / "server.pem", "localhost")
    client = WebhookClient(LOCAL)
    async with receiving(tls=server) as receiver:
        outcome = await client.send(f"https://localhost:{receiver.port}/hook", "s" * 16, "id", "{}")
        assert (outcome.is_delivered, outcome.may_pass, receiver.received) == (False, True, [])
    await client.close()


async def test_nothing_is_sent_to_a_private_address_that_a_setting_no_longer_allows() -> None:
    client = WebhookClient(Reach())
    async with receiving() as receiver:
        outcome = await client.send(f"https://localhost:{receiver.port}/hook", "s" * 16, "id", "{}")
        assert "private network" in outcome.error
        assert not outcome.may_pass
        assert receiver.received == []
    await client.close()


async def test_a_receiver_that_never_answers_is_not_waited_for() -> None:
    client = WebhookClient(LOCAL, timeout_s=0.2)
    async with receiving() as receiver:
        receiver.answers = [-1]
        outcome = await client.send(receiver.url, "s" * 16, "id", "{}")
        assert (outcome.error, outcome.may_pass) == ("No answer within 0.2 s.", True)
    await client.close()
