"""A pool goes on following its endpoints, whatever following meets."""

from __future__ import annotations

from collections.abc import AsyncIterator

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import EndpointWatch, fixed_endpoints
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.testing import eventually


async def test_following_the_endpoints_is_begun_again_when_it_fails() -> None:
    watch, followed = fixed_endpoints("preprocess", ()), 0

    async def changes() -> AsyncIterator[frozenset[Endpoint]]:
        nonlocal followed
        followed += 1
        if followed < 3:
            raise ValueError("poison")
        yield frozenset()

    watch.changes = changes  # type: ignore[method-assign]
    pool = ServicePool("preprocess", watch)
    await pool.start()
    await eventually(lambda: followed == 3, description="they are followed for the third time")
    await pool.close()
    assert isinstance(watch, EndpointWatch)
