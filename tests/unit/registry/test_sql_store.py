"""The database: numbers, immutability, isolation and what survives."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from lepton_ai.errors import FailedPrecondition, ResourceExhausted, Unavailable
from services.registry import sql_store
from services.registry.sql_store import SqlStore, open_sqlite
from services.registry.store import AuditEntry, RouteTarget
from tests.unit.registry.records import add_versions, new_version


async def test_versions_are_numbered_from_one_for_each_model(store: SqlStore) -> None:
    cats, dogs = await add_versions(store, "cat", 3), await add_versions(store, "dog", 1)
    assert [version.version for version in (*cats, *dogs)] == [1, 2, 3, 1]


async def test_what_was_recorded_is_read_back(store: SqlStore) -> None:
    async with store.writing() as writing:
        added = await writing.add_version(new_version())
    async with store.reading() as reading:
        assert await reading.version("cat", 1) == added
        assert await reading.version("cat", 0) == added
        assert await reading.version_of_digest("cat", added.digest) == added
        assert list(await reading.versions("cat")) == [added]
        assert list(await reading.models()) == ["cat"]
        assert await reading.known_files([added.digest, "f" * 64]) == {added.digest}
        assert await reading.all_files() == {added.digest, "0" * 64}
    assert added.size_bytes == 5
    assert abs(added.created_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_unknown_things_are_none_or_empty(store: SqlStore) -> None:
    async with store.reading() as reading:
        assert await reading.version("cat", 0) is None
        assert await reading.version_of_digest("cat", "0" * 64) is None
        assert await reading.deployment("cat") is None
        assert (await reading.aliases("cat"), await reading.generation("cat")) == ({}, 0)
        assert await reading.known_files([]) == frozenset()


async def test_very_many_hashes_are_looked_up(store: SqlStore) -> None:
    (version,) = await add_versions(store, "cat", 1)
    wanted = [version.digest, *(f"{number:064d}" for number in range(1, 5000))]
    async with store.reading() as reading:
        assert await reading.known_files(wanted) == {version.digest}


async def test_nothing_of_a_failed_transaction_stays(store: SqlStore) -> None:
    with pytest.raises(LookupError):
        async with store.writing() as writing:
            await writing.add_version(new_version())
            raise LookupError
    async with store.reading() as reading:
        assert list(await reading.models()) == []


async def test_equal_content_cannot_be_two_versions(store: SqlStore) -> None:
    await add_versions(store, "cat", 1)
    with pytest.raises(IntegrityError):
        await add_versions(store, "cat", 1)


async def test_an_alias_moves_and_goes(store: SqlStore) -> None:
    await add_versions(store, "cat", 2)
    for version, expected in ((1, {"best": 1}), (2, {"best": 2}), (None, {})):
        async with store.writing() as writing:
            await writing.set_alias("cat", "best", version)
        async with store.reading() as reading:
            assert await reading.aliases("cat") == expected


async def test_several_versions_and_weighted_routes_can_be_deployed(store: SqlStore) -> None:
    await add_versions(store, "cat", 2)
    routes = (RouteTarget("production", 1, 90), RouteTarget("production", 2, 10))
    async with store.writing() as writing:
        await writing.set_deployment("cat", {1, 2}, routes)
        await writing.set_generation("cat", 7)
    async with store.reading() as reading:
        deployment = await reading.deployment("cat")
        assert list(await reading.deployed_models()) == ["cat"]
    assert deployment is not None
    assert (deployment.generation, deployment.versions, deployment.routes) == (7, (1, 2), routes)


async def test_only_what_exists_can_be_deployed(store: SqlStore) -> None:
    with pytest.raises(IntegrityError):
        async with store.writing() as writing:
            await writing.set_deployment("cat", {1}, ())


async def test_concurrent_writers_get_different_numbers(store: SqlStore) -> None:
    async def add(content: str) -> int:
        async with store.writing() as writing:
            return (await writing.add_version(new_version("cat", content))).version

    numbers = await asyncio.gather(*(add(str(number)) for number in range(20)))
    assert sorted(numbers) == list(range(1, 21))


async def test_readers_see_a_whole_transaction_or_nothing_of_it(store: SqlStore) -> None:
    async with store.writing() as writing, store.reading() as before:
        await writing.add_version(new_version())
        assert list(await before.models()) == []
    async with store.reading() as after:
        assert list(await after.models()) == ["cat"]


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


async def test_a_database_of_a_later_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.sqlite"
    await (await open_sqlite(path)).close()
    with sqlite3.connect(path) as direct:
        direct.execute("UPDATE schema_version SET version = 99")
    direct.close()
    with pytest.raises(FailedPrecondition, match="schema 99"):
        await open_sqlite(path)


async def test_without_room_a_change_is_refused_before_it_begins(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(sql_store, "free_bytes", lambda _: 1 << 20)
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


async def test_a_database_of_the_release_before_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    store = await open_sqlite(path)
    await add_versions(store, "cat", 2)
    await store.close()
    with sqlite3.connect(path) as database:  # what schema 1 was: the same without rollouts
        database.executescript("DROP TABLE rollouts; UPDATE schema_version SET version = 1")
    migrated = await open_sqlite(path)
    async with migrated.reading() as reading:
        assert [version.version for version in await reading.versions("cat")] == [2, 1]
        assert await reading.rollouts() == []
    await migrated.close()
