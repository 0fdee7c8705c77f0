"""What keeps a key and what keeps a view go on, whatever etcd or a fault of ours does to one round of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery import etcd
from lepton_ai.mesh.discovery.view import View
from lepton_ai.testing import eventually

FAULTS = (ValueError("poison"), Unavailable("away"), ValueError("poison"))


class Connection:
    """In place of the connection: every call fails in each of these ways first, then it works."""

    timeout_s = 1.0

    def __init__(self) -> None:
        self.faults = list(FAULTS)
        self.ensured: list[bytes] = []

    def fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    async def grant(self, ttl_s: int) -> int:
        self.fail()
        return 7

    async def ensure(self, key: str, value: bytes, lease: int) -> None:
        self.ensured.append(value)

    async def revoke(self, lease: int) -> None:
        """The lease is gone."""

    async def entries(self, prefix: str) -> tuple[dict[str, bytes], int]:
        self.fail()
        return {"/t/a": b"1"}, 1

    async def events(self, prefix: str, *, after_revision: int) -> AsyncGenerator[Any, None]:
        await asyncio.Event().wait()
        yield None


async def test_a_published_key_is_put_in_the_end_whatever_comes_before() -> None:
    connection = Connection()
    publication = etcd._EtcdPublication(cast(Any, connection), "/t/a", b"1", ttl_s=5)
    await eventually(lambda: connection.ensured == [b"1"], description="it is put")
    await publication.withdraw()


async def test_a_view_is_shown_in_the_end_whatever_comes_before() -> None:
    watch = etcd._EtcdWatch(cast(Any, Connection()), "/t/", View(), relist_interval_s=60, settle_s=60)
    await eventually(lambda: watch.connected, description="it is followed")
    assert dict(watch.entries) == {"/t/a": b"1"}
    await watch.close()


async def test_a_view_that_cannot_be_kept_does_not_say_that_it_is_current() -> None:
    connection = Connection()
    connection.faults = []
    watch = etcd._EtcdWatch(cast(Any, connection), "/t/", View(), relist_interval_s=0.01, settle_s=60)
    await eventually(lambda: watch.connected, description="it is followed")
    connection.faults = [ValueError("poison")] * 1000
    await eventually(lambda: not watch.connected, description="it says so")
    assert dict(watch.entries) == {"/t/a": b"1"}
    await watch.close()
