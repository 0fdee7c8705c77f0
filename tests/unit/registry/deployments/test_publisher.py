"""Publishing goes on whatever fails in one comparison, and over whatever stands in etcd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.records import decode_deployment, deployment_key
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1.common_pb2 import ModelRef
from services.registry.completion import Completion
from services.registry.database.sql_store import SqlStore
from services.registry.database.store import FileRecord, NewVersion
from services.registry.deployments.deployments import Deployments
from services.registry.deployments.publisher import Publisher
from services.registry.deployments.settlement import Settlement
from tests.unit.registry.records import add_versions

KEY = deployment_key("cat")
ETCD_VALUE_BYTES = 1_572_864


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


async def test_a_deployment_of_very_many_files_fits_into_etcd_and_is_not_published_again_and_again(
    store: SqlStore,
) -> None:
    state = MemoryStore()
    files = tuple(FileRecord(f"weights/layer-{number:06d}.bin", 1, f"{number:064x}") for number in range(20_000))
    async with store.writing() as writing:
        await writing.add_version(NewVersion("cat", "1" * 64, "", files))
    settlement = Settlement(state, state_address="")
    await Deployments(store=store, settlement=settlement, completion=Completion()).deploy(
        ModelRef(name="cat"), actor="tester"
    )
    value = await state.get(KEY) or b""
    assert len(value) < ETCD_VALUE_BYTES
    (version,) = decode_deployment(KEY, value).versions
    assert (version.digest, version.manifest.model, len(version.manifest.files)) == ("1" * 64, "cat", 0)
    assert await Publisher(store=store, state=state, interval_s=60.0).reconcile() == 0
