"""Publishing goes on whatever fails in one comparison, and over whatever stands in etcd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.records import deployment_key
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1.common_pb2 import ModelRef
from services.registry.completion import Completion
from services.registry.deployments import Deployments
from services.registry.publisher import Publisher
from services.registry.settlement import Settlement
from services.registry.sql_store import SqlStore
from tests.unit.registry.records import add_versions

KEY = deployment_key("cat")


class FailingState(MemoryStore):
    """Whose lists fail in these ways first."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)

    async def list(self, prefix: str) -> Mapping[str, bytes]:
        if self.failures:
            raise self.failures.pop(0)
        return await super().list(prefix)


async def deployed(store: SqlStore, state: MemoryStore) -> bytes:
    """What is published of a deployed cat."""
    await add_versions(store, "cat", 1)
    settlement = Settlement(state, state_address="")
    deployments = Deployments(store=store, settlement=settlement, completion=Completion())
    await deployments.deploy(ModelRef(name="cat"), actor="tester")
    return await state.get(KEY) or b""


@pytest.mark.parametrize(
    "failure", [Unavailable("away"), OperationalError("SELECT", {}, Exception("disk I/O error")), ValueError("poison")]
)
async def test_a_comparison_that_fails_is_not_the_last(store: SqlStore, failure: Exception) -> None:
    state = FailingState(failure, failure)
    right = await deployed(store, state)
    await state.delete(KEY)
    publisher = Publisher(store=store, state=state, interval_s=0.01)
    publisher.start()
    await eventually(lambda: _is(state, right), description="it is published again")
    await publisher.close()


@pytest.mark.parametrize("junk", [b"{not json", b"\xff", b"[" * 100_000, b"{}", b'{"model": "dog"}'])
async def test_junk_is_replaced_by_what_is_deployed_or_removed(store: SqlStore, junk: bytes) -> None:
    state = MemoryStore()
    right = await deployed(store, state)
    publisher = Publisher(store=store, state=state, interval_s=0.01)
    publisher.start()
    for key in (KEY, deployment_key("x"), deployment_key("a/b/c"), deployment_key("")):
        await state.put(key, junk)
    await eventually(lambda: _is(state, right), description="the cat is itself again, and nothing else is there")
    await publisher.close()


async def _is(state: MemoryStore, right: bytes) -> Any:
    return dict(await MemoryStore.list(state, deployment_key(""))) == {KEY: right}
