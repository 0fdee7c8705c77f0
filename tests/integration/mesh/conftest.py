"""A real etcd on a free port, and state stores on it and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[LocalEtcd]:
    async with running_etcd(tmp_path / "etcd") as running:
        yield running
