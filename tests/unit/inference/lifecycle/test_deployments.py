"""What should be served is followed on and on, whatever one value or one answer of the registry is like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.records import deployment_key, encode_deployment
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import registry_pb2
from services.inference.lifecycle.deployments import DeploymentView, MemoryFile

CAT = registry_pb2.Deployment(model="cat", versions=[registry_pb2.DeployedVersion(version=1)])
DOG = registry_pb2.Deployment(model="dog", versions=[registry_pb2.DeployedVersion(version=1)])


class Registry:
    """Says that nothing is deployed, after it has failed in these ways."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    async def __call__(self, model: str) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        return False


@asynccontextmanager
async def following(state: MemoryStore, registry: Registry) -> AsyncIterator[DeploymentView]:
    view = DeploymentView(state, registry, lambda: None)
    await view.start(None)
    try:
        yield view
    finally:
        await view.close()


async def knows(view: DeploymentView, *models: str) -> None:
    await eventually(lambda: set(view.deployments or ()) == set(models), description=f"{models} are known")


@pytest.mark.parametrize("junk", [b"{not json", b"\xff", b"[" * 100_000, b'{"model": "dog"}', b"{}"])
async def test_a_value_that_cannot_be_read_leaves_what_was_known_and_hides_nothing(junk: bytes) -> None:
    state = MemoryStore()
    await state.put(deployment_key("cat"), encode_deployment(CAT))
    async with following(state, Registry()) as view:
        await knows(view, "cat")
        await state.put(deployment_key("cat"), junk)
        await state.put(deployment_key("x"), junk)
        await state.put(deployment_key("dog"), encode_deployment(DOG))
        await knows(view, "cat", "dog")
        await state.put(deployment_key("cat"), b'{"model": "cat"}')
        await knows(view, "dog")


@pytest.mark.parametrize("failure", [Unavailable("away"), ValueError("poison")])
async def test_the_registry_is_asked_until_it_answers(failure: Exception) -> None:
    state = MemoryStore()
    await state.put(deployment_key("cat"), encode_deployment(CAT))
    async with following(state, Registry(failure)) as view:
        await knows(view, "cat")
        await state.delete(deployment_key("cat"))
        await knows(view)
        await state.put(deployment_key("cat"), encode_deployment(CAT))
        await knows(view, "cat")


async def test_following_is_begun_again_when_what_hears_of_changes_fails() -> None:
    heard = 0

    def changed() -> None:
        nonlocal heard
        heard += 1
        if heard < 3:
            raise ValueError("poison")

    state = MemoryStore()
    view = DeploymentView(state, Registry(), changed)
    await view.start(None)
    await eventually(lambda: heard == 3, description="it is told for the third time")
    await state.put(deployment_key("cat"), encode_deployment(CAT))
    await knows(view, "cat")
    await view.close()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"wanted": [], "effective": {}}', "[" * 100_000, '{"wanted": {"A": {}}}']
)
def test_a_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deployments.json"
    path.write_text(text, encoding="utf-8")
    assert MemoryFile(path).read() is None
