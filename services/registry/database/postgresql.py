"""The database of several registries: PostgreSQL 14 or later, reached directly and not through a transaction pooler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Self

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from lepton_ai.errors import FailedPrecondition, LeptonError, Unavailable
from services.registry.database.errors import unavailable
from services.registry.database.migration import migrate

_LOCKS = 0x1E97
"""The first half of the keys of our advisory locks, so that they are nobody else's."""
_WRITERS, _LEADER = 1, 2
_CONNECT_S = 5.0
_COMMAND_S = 15.0
_MIGRATION_S = 600.0
_CONNECTIONS = 20
_SERVER_SETTINGS = {
    "application_name": "lepton-registry",
    "lock_timeout": "5s",
    # Of a registry that is stopped, or whose machine is gone, the server takes the locks away.
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_LEADER_IDLE_S = 5
"""How long a leader may say nothing before the server takes the lead away from it."""
_HELD_LEAD = text(
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
    "WHERE locktype = 'advisory' AND granted AND pid = :process AND datname = current_database() "
    "AND classid = :locks AND objid = :leader AND objsubid = 2"
)


class Postgresql:
    """Transactions of one registry. Writers of all registries exclude one another."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        """Use `open`."""
        self._engine = engine
        self._readers = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._url = url
        self._writers = asyncio.Lock()  # in turn, and with one connection for all that wait

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open a database, making its tables or migrating them.

        Raises FailedPrecondition for one of a later release or a wrong login, Unavailable when it does not answer.
        """
        await _migrate(url)
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=partial(connect, url),
            pool_pre_ping=True,  # a server that was restarted is connected to again
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=_CONNECT_S,
            hide_parameters=True,
        )
        return cls(engine, url)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction with a consistent view."""
        async with self._readers.begin() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that excludes every other writer, in any registry."""
        async with self._writers, self._engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCKS}, {_WRITERS})"))
            yield connection

    def leadership(self) -> PostgresqlLeadership:
        """The lead among the registries on this database."""
        return PostgresqlLeadership(self._url)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


class PostgresqlLeadership:
    """The lead: a lock that a connection of its own holds, and that the server takes away when it falls silent."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: asyncpg.Connection | None = None
        self._process = 0

    async def take(self) -> bool:
        """Take the lead if nobody has it. Raises Unavailable."""
        connection = await connect(self._url, idle_session_timeout=f"{_LEADER_IDLE_S}s")
        try:
            if not await _ask(connection, f"SELECT pg_try_advisory_lock({_LOCKS}, {_LEADER})"):
                await connection.close(timeout=_CONNECT_S)
                return False
        except BaseException:
            connection.terminate()
            raise
        self._connection, self._process = connection, connection.get_server_pid()
        return True

    async def keep(self) -> None:
        """Show the server that this leader lives, more often than every 5 s. Raises Unavailable: it is lost."""
        if self._connection is None:
            raise _lost()
        try:
            await _ask(self._connection, "SELECT true")
        except LeptonError:
            self.give_up()
            raise

    async def check(self, transaction: AsyncConnection) -> None:
        """Make sure, in a writer's transaction, that this registry leads. Raises Unavailable when it does not.

        The next leader's first transaction begins after this one has ended, as writers exclude one another.
        """
        values = {"process": self._process, "locks": _LOCKS, "leader": _LEADER}
        held = await transaction.execute(_HELD_LEAD, values)
        if self._connection is None or not held.scalar():
            raise _lost()

    def give_up(self) -> None:
        """Give the lead away; nothing happens without it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def connect(url: str, *, command_timeout_s: float = _COMMAND_S, **settings: str) -> asyncpg.Connection:
    """A connection with bounds on everything. Raises Unavailable, or FailedPrecondition for a wrong URL or login."""
    try:
        return await asyncpg.connect(
            url, timeout=_CONNECT_S, command_timeout=command_timeout_s, server_settings=_SERVER_SETTINGS | settings
        )
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise FailedPrecondition(
            f"PostgreSQL does not let the registry in: {error}.",
            reason="DATABASE_LOGIN",
            fix="Correct user, password and database in LEPTON_DATABASE_URL, or create them.",
        ) from error
    except (asyncpg.ClientConfigurationError, ValueError):
        # Without its cause, whose text may have the password in it.
        raise FailedPrecondition(
            "LEPTON_DATABASE_URL cannot be read.",
            reason="DATABASE_URL",
            fix="It is postgresql://USER:PASSWORD@HOST:PORT/DATABASE; special characters are written as %XX.",
        ) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise unavailable() from error


async def _ask(connection: asyncpg.Connection, query: str) -> object:
    try:
        return await connection.fetchval(query, timeout=_LEADER_IDLE_S / 2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise unavailable() from error


async def _migrate(url: str) -> None:
    """Bring the database to this release's schema, in one transaction, one registry after the other."""
    creator = partial(connect, url, command_timeout_s=_MIGRATION_S, lock_timeout=f"{_MIGRATION_S:.0f}s")
    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCKS}, {_WRITERS})"))
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


def _lost() -> Unavailable:
    return Unavailable(
        "This registry leads no longer; nothing was changed.", reason="NOT_LEADER", fix="Another one goes on with it."
    )
