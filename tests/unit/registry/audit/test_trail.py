"""The audit trail on SQLite."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.registry.audit.chain import hash_of
from services.registry.database.sql_store import SqlStore, open_sqlite
from tests.unit.registry.audit.contract import AuditContract, Tamper, check, record
from tests.unit.registry.database.test_migration import database_of


@pytest.fixture
def tamper(store: SqlStore, tmp_path: Path) -> Tamper:
    async def run(statement: str) -> None:
        database = sqlite3.connect(tmp_path / "registry.sqlite")
        with database:
            for verb in ("update", "delete"):
                database.execute(f"DROP TRIGGER IF EXISTS audit_no_{verb}")
            database.execute(statement)
        database.close()

    return run


class TestSqlite(AuditContract):
    pass


@pytest.mark.parametrize("schema_number", [1, 2])
async def test_the_trail_of_an_earlier_release_is_chained(tmp_path: Path, schema_number: int) -> None:
    store = await open_sqlite(database_of(schema_number, tmp_path / "registry.sqlite"))
    before = await check(store)
    assert before.entries > 0
    assert before.broken is None
    await record(store, 2)
    after = await check(store, before.newest)
    assert (after.entries, after.broken, after.is_anchored) == (before.entries + 2, None, True)
    await store.close()


async def test_the_form_that_is_hashed_stays_what_it_is(store: SqlStore) -> None:
    """Else the trails that there are would all be broken."""
    await record(store, 1)
    async with store.reading() as reading:
        (entry,) = await reading.audit_chain(after=0, limit=1)
    fixed = replace(entry, at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
    canonical = (
        '["' + "0" * 64 + '",1,"2026-01-02T03:04:05.000006+00:00","me","deploy","\\u732b",null,'
        '{"nested":{"a":null,"b":[1,2]},"share":0.1,"\\u6807\\u7b7e":0}]'
    )
    assert hash_of(fixed, "0" * 64) == hashlib.sha256(canonical.encode()).hexdigest()
