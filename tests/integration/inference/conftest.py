"""A real Triton for each test, so that a test may break it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lepton_ai.local.running_triton import LocalTriton, running_triton
from services.inference.triton import Triton


@pytest.fixture
async def local_triton(tmp_path: Path) -> AsyncIterator[LocalTriton]:
    async with running_triton(tmp_path / "triton") as local_triton:
        yield local_triton


@pytest.fixture
async def triton(local_triton: LocalTriton) -> AsyncIterator[Triton]:
    triton = Triton(local_triton.address)
    yield triton
    await triton.close()
