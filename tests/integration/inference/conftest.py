"""Real Tritons: one for a module that only uses it, one for each test that may break it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lepton_ai.errors import Unavailable
from lepton_ai.testing.running_triton import LocalTriton, running_triton


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalTriton]:
    """For tests marked asyncio(loop_scope="module") that leave it as it is, but for models of their own."""
    async with running_triton(tmp_path_factory.mktemp("triton")) as local_triton:
        yield local_triton


@pytest.fixture
async def local_triton(tmp_path: Path) -> AsyncIterator[LocalTriton]:
    async with running_triton(tmp_path / "triton") as local_triton:
        yield local_triton
        # Asked politely it waits for seconds for the stubs that the test has killed.
        with contextlib.suppress(Unavailable):
            await local_triton.kill()
