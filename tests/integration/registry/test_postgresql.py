"""The store on a real PostgreSQL: what every store does, writers in two registries, and a server that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from lepton_ai.errors import FailedPrecondition, InvalidInput, ResourceExhausted, Unavailable
from lepton_ai.testing import eventually
from services.registry.database import schema
from services.registry.database.postgresql import Postgresql, connect
from services.registry.database.sql_store import SqlStore, open_postgresql
from services.registry.database.store import AuditEntry
from tests.postgresql import LocalPostgresql, running_postgresql
from tests.unit.registry.database.contract import StoreContract
from tests.unit.registry.records import add_versions, new_version


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    opened, _ = await open_postgresql(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def server() -> Iterator[LocalPostgresql]:
    """One that the test may kill."""
    with running_postgresql() as running:
        yield running


class TestPostgresql(StoreContract):
    pass


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_writers_in_different_registries_exclude_one_another(database_url: str) -> None:
    stores = [(await open_postgresql(database_url))[0] for _ in range(3)]

    async def add(number: int) -> int:
        async with stores[number % 3].writing() as writing:
            return (await writing.add_version(new_version("cat", str(number)))).version

    numbers = await asyncio.gather(*(add(number) for number in range(30)))
    assert sorted(numbers) == list(range(1, 31))
    for each in stores:
        async with each.reading() as reading:
            assert len(await reading.versions("cat")) == 30
        await each.close()


async def test_registries_that_start_together_make_the_tables_once(database_url: str) -> None:
    databases = await asyncio.gather(*(Postgresql.open(database_url) for _ in range(4)))
    async with SqlStore(databases[0]).writing() as writing:
        await writing.add_version(new_version())
    await asyncio.gather(*(database.close() for database in databases))


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"])
async def test_the_audit_trail_only_grows(store: SqlStore, database_url: str, statement: str) -> None:
    async with store.writing() as writing:
        await writing.record(AuditEntry("me", "deploy", "cat", before=None, after={"标签": 1}))
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await execute(database_url, statement)


async def test_the_tables_are_what_the_schema_says(store: SqlStore, database_url: str) -> None:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(database_url))

    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_a_database_of_a_later_release_is_refused(store: SqlStore, database_url: str) -> None:
    await execute(database_url, "UPDATE alembic_version SET version_num = 'of the future'")
    with pytest.raises(FailedPrecondition, match="later one"):
        await open_postgresql(database_url)


@pytest.mark.parametrize(("state", "expected"), [("53100", ResourceExhausted), ("57P03", Unavailable)])
async def test_what_the_server_says_becomes_what_to_do(
    store: SqlStore, database_url: str, state: str, expected: type[Exception]
) -> None:
    """A trigger says it in the server's place."""
    await execute(
        database_url,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END$$; "
        "CREATE TRIGGER fail BEFORE INSERT ON models FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    with pytest.raises(expected, match="nothing was changed"):
        await add_versions(store, "cat", 1)
    async with store.reading() as reading:
        assert list(await reading.models()) == []


@pytest.mark.parametrize("text", ["x" * 256, "\0"])
async def test_a_text_that_the_database_cannot_keep_is_the_callers_mistake(store: SqlStore, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        async with store.writing() as writing:
            await writing.record(AuditEntry(text, "deploy", "cat", before=None, after=None))
    assert caught.value.fix


async def test_a_killed_server_is_unavailable_and_comes_back_without_a_restart_of_ours(server: LocalPostgresql) -> None:
    store, _ = await open_postgresql(server.url(await server.new_database()))
    await add_versions(store, "cat", 1)
    with pytest.raises(Unavailable) as caught:
        async with store.writing() as writing:
            await writing.add_version(new_version("cat", "another"))
            server.kill()
    assert caught.value.fix
    assert server.password not in repr(caught.value.__cause__)
    with pytest.raises(Unavailable):
        async with store.reading() as reading:
            await reading.models()
    server.start()
    async with store.reading() as reading:
        assert [version.version for version in await reading.versions("cat")] == [1]
    await add_versions(store, "dog", 1)
    await store.close()


async def test_connections_that_died_while_idle_are_replaced_unseen(server: LocalPostgresql) -> None:
    store, _ = await open_postgresql(server.url(await server.new_database()))
    await add_versions(store, "cat", 1)
    server.stop()
    server.start()
    await add_versions(store, "dog", 1)
    await store.close()


async def test_a_wrong_password_is_told_without_it(shared_postgresql: LocalPostgresql) -> None:
    url = shared_postgresql.url().replace(shared_postgresql.password, "guessed-password")
    with pytest.raises(FailedPrecondition, match="LEPTON_DATABASE_URL") as caught:
        await open_postgresql(url)
    assert "guessed-password" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("url", ["postgresql://lepton:guessed@host:port/x", "postgresql://a:guessed@[::1/x"])
async def test_a_wrong_url_is_told_without_it(url: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await open_postgresql(url)
    assert "guessed" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_one_registry_leads_and_another_takes_over(database_url: str, store: SqlStore) -> None:
    databases = [await Postgresql.open(database_url), await Postgresql.open(database_url)]
    one, other = (database.leadership() for database in databases)
    assert (await one.take(), await other.take()) == (True, False)
    await one.keep()
    async with store.checked(one.check).writing() as writing:
        await writing.add_version(new_version())
    with pytest.raises(Unavailable, match="leads no longer"):
        async with store.checked(other.check).writing():
            raise AssertionError("begun")
    one.give_up()
    await eventually(other.take, timeout_s=5, interval_s=0.05, description="the lead is free")
    with pytest.raises(Unavailable, match="leads no longer"):
        async with store.checked(one.check).writing():
            raise AssertionError("begun")
    other.give_up()
    for database in databases:
        await database.close()


async def test_a_leader_whose_connection_is_ended_cannot_act_any_more(database_url: str, store: SqlStore) -> None:
    database = await Postgresql.open(database_url)
    leadership = database.leadership()
    assert await leadership.take()
    await execute(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 2 AND objsubid = 2 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    with pytest.raises(Unavailable, match="leads no longer"):
        async with store.checked(leadership.check).writing():
            raise AssertionError("begun")
    with pytest.raises(Unavailable):
        await leadership.keep()
    await database.close()


async def test_the_lead_of_a_stopped_registry_is_taken_away(database_url: str) -> None:
    databases = [await Postgresql.open(database_url), await Postgresql.open(database_url)]
    stopped, other = (database.leadership() for database in databases)
    assert await stopped.take()
    await eventually(other.take, timeout_s=15, interval_s=0.2, description="the server has taken the lead away")
    other.give_up()
    with pytest.raises(Unavailable):
        await stopped.keep()
    for database in databases:
        await database.close()
