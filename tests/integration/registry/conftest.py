"""A PostgreSQL for the tests of a run, and a database of it for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgresql import LocalPostgresql, running_postgresql


@pytest.fixture(scope="session")
def shared_postgresql() -> Iterator[LocalPostgresql]:
    """For tests that leave it as it is; others start one of their own."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
async def database_url(shared_postgresql: LocalPostgresql) -> str:
    """A fresh database."""
    return shared_postgresql.url(await shared_postgresql.new_database())
