"""A client that says on whose behalf it calls: over calls and over streams, from asyncio, threads and the shell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lepton_ai import Addresses, AsyncClient, Client
from lepton_ai.errors import InvalidInput
from lepton_ai.package import Caching
from tests.integration.inference.served_colours import ServedColours, served_colours
from tests.unit.inference.colours import BLUE, GREEN, RED, colours_version


@pytest.fixture
async def served() -> AsyncIterator[ServedColours]:
    """Answers are kept for each tenant apart, and for nobody else."""
    async with served_colours(colours_version(caching=Caching(answers=True, isolate=True))) as served:
        yield served


def computed(served: ServedColours) -> int:
    return len(served.plane.triton.requests)


async def test_calls_and_streams_are_made_on_behalf_of_the_tenant(served: ServedColours) -> None:
    addresses = Addresses(inference=served.address)
    async with AsyncClient(addresses, tenant="a") as client, AsyncClient(addresses, tenant="b") as other:
        assert [(await client.predict_batch("colours", [RED])).cached_rows for _ in range(2)] == [0, 1]
        before = computed(served)
        _ = [each async for each in client.predict_many("colours", [RED] * 5)]
        assert computed(served) == before, "the stream is the same tenant's"
        assert (await other.predict_batch("colours", [RED])).cached_rows == 0
    async with AsyncClient(addresses) as nobody:
        assert [(await nobody.predict_batch("colours", [GREEN])).cached_rows for _ in range(2)] == [0, 0]


async def test_the_blocking_client_has_a_tenant_too(served: ServedColours) -> None:
    def ask() -> list[int]:
        with Client(Addresses(inference=served.address), tenant="a") as client:
            return [client.predict_batch("colours", [BLUE]).cached_rows for _ in range(2)]

    assert await asyncio.to_thread(ask) == [0, 1]


@pytest.mark.parametrize("tenant", ["a" * 129, "Müller", "a\nb"])
def test_a_name_that_cannot_be_sent_is_refused(tenant: str) -> None:
    with pytest.raises(InvalidInput, match="tenant"):
        Client(Addresses(inference="127.0.0.1:1"), tenant=tenant)
