"""The audit trail on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.registry.database.sql_store import SqlStore, open_postgresql
from tests.unit.registry.audit.contract import AuditContract, Tamper


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    opened, _ = await open_postgresql(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def tamper(store: SqlStore, database_url: str) -> Tamper:
    async def run(statement: str) -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute("DROP TRIGGER IF EXISTS audit_append_only ON audit")
            await connection.execute(statement)
        finally:
            await connection.close()

    return run


class TestPostgresql(AuditContract):
    pass
