"""The store on SQLite: what every store does, what survives, and what a full or broken disk does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lepton_ai.errors import ResourceExhausted, Unavailable
from services.registry.database import sqlite
from services.registry.database.sql_store import SqlStore, open_sqlite
from services.registry.database.store import AuditEntry
from tests.unit.registry.database.contract import StoreContract
from tests.unit.registry.records import add_versions, new_version


class TestSqlite(StoreContract):
    pass


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "again.sqlite"
    first = await open_sqlite(path)
    await add_versions(first, "cat", 2)
    await first.close()
    second = await open_sqlite(path)
    async with second.reading() as reading:
        assert len(await reading.versions("cat")) == 2
    await second.close()


async def test_commits_are_synced_and_logged_ahead(store: SqlStore, tmp_path: Path) -> None:
    async with store.writing() as writing:
        pragmas = [
            (await writing._connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
async def test_the_audit_trail_only_grows(store: SqlStore, tmp_path: Path, statement: str) -> None:
    async with store.writing() as writing:
        await writing.record(AuditEntry("me", "deploy", "cat", before=None, after={"标签": 1}))
    with sqlite3.connect(tmp_path / "registry.sqlite") as direct, pytest.raises(sqlite3.DatabaseError, match="append"):
        direct.execute(statement)
    direct.close()


async def test_without_room_a_change_is_refused_before_it_begins(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(sqlite, "free_bytes", lambda _: 1 << 20)
        with pytest.raises(ResourceExhausted, match="disk is full; nothing was changed") as caught:
            async with store.writing():
                raise AssertionError("begun")
        assert caught.value.reason == "DISK_FULL"
        async with store.reading() as reading:
            assert list(await reading.models()) == []
    async with store.writing() as writing:
        await writing.add_version(new_version())


async def test_a_database_that_may_not_grow_says_that_the_disk_is_full(store: SqlStore) -> None:
    with pytest.raises(ResourceExhausted, match="disk is full"):
        async with store.writing() as writing:
            await writing._connection.exec_driver_sql("PRAGMA max_page_count = 1")
            for number in range(200):
                await writing.record(
                    AuditEntry("me", "deploy", "cat", before=None, after={"text": "x" * 4000 + str(number)})
                )
    async with store.reading() as reading:
        assert list(await reading.models()) == []


async def test_a_database_that_fails_is_unavailable_and_says_what_to_do(store: SqlStore, tmp_path: Path) -> None:
    direct = sqlite3.connect(tmp_path / "registry.sqlite")
    direct.execute("ALTER TABLE aliases RENAME TO elsewhere")
    direct.commit()
    direct.close()
    with pytest.raises(Unavailable) as caught:
        async with store.reading() as reading:
            await reading.aliases("cat")
    assert caught.value.fix
    assert "aliases" not in str(caught.value)
