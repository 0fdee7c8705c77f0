"""A PostgreSQL for the tests of a run and a database of it for each; inspections that are closed behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from lepton_ai.package import PackageLimits
from services.registry.inspection.inspection import Inspection, InspectionLimits
from tests.postgresql import LocalPostgresql, running_postgresql

Inspecting = Callable[..., Inspection]


@pytest.fixture
async def inspecting() -> AsyncIterator[Inspecting]:
    """Makes inspections of what Inspection and InspectionLimits take."""
    async with AsyncExitStack() as stack:

        def make(*, triton_backend: Any = "python", dry_run: Any = "when_possible", **limits: Any) -> Inspection:
            bounds = InspectionLimits(**limits)
            inspection = Inspection(PackageLimits(), bounds, triton_backend=triton_backend, dry_run=dry_run)
            stack.push_async_callback(inspection.close)
            return inspection

        yield make


@pytest.fixture(scope="session")
def shared_postgresql() -> Iterator[LocalPostgresql]:
    """For tests that leave it as it is; others start one of their own."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
async def database_url(shared_postgresql: LocalPostgresql) -> str:
    """A fresh database."""
    return shared_postgresql.url(await shared_postgresql.new_database())
