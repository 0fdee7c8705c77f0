"""One platform for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.signing.keys import SigningKey, TrustedKeys, create_keys
from lepton_ai.testing import MemoryStore
from lepton_ai.testing.fake_triton import FakeTriton
from tests.integration.registry.served import serving
from tests.integration.signing.platform import Platform, Pool


@asynccontextmanager
async def platform_in(directory: Path, **changes: Any) -> AsyncIterator[Platform]:
    private, public = create_keys(directory / "release.key")
    state = MemoryStore()
    async with serving(directory / "data", state, republish_interval_s=3600.0, **changes) as served:
        yield Platform(
            directory, state, served, Pool(served.channel), SigningKey(private), TrustedKeys((public,)), FakeTriton()
        )


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """Its registry verifies nothing: what a replica requires, it verifies by itself."""
    async with platform_in(tmp_path) as running_platform:
        yield running_platform


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Platform]:
    """Its registry requires signatures."""
    keys = {"signatures": "require", "signature_keys": str(tmp_path / "release.key.pub")}
    async with platform_in(tmp_path, **keys) as running_platform:
        yield running_platform
