"""What goes wrong in a database, as errors that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lepton_ai.errors import InvalidInput, Unavailable
from services.registry.storage.room import disk_full

_FULL = frozenset(
    {
        sqlite3.SQLITE_FULL,
        # Errors of the journal, and of the memory that connections share, on a full disk.
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    }
)
_POSTGRESQL_DISK_FULL = "53100"
_POSTGRESQL_BAD_DATA = "22"
"""The class of errors about values: too long, or not to be written in the database's encoding."""


@asynccontextmanager
async def database_errors() -> AsyncIterator[None]:
    """Turns what the database says in the block into ResourceExhausted, InvalidInput or Unavailable.

    Broken constraints pass: whoever writes knows what they mean.
    """
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeout, TimeoutError, ConnectionError) as error:
        raise _explain(error) from error


def _explain(error: Exception) -> Exception:
    said = error.orig if isinstance(error, DBAPIError) else None
    state = str(getattr(said, "sqlstate", ""))
    if getattr(said, "sqlite_errorcode", 0) in _FULL or state == _POSTGRESQL_DISK_FULL:
        return disk_full()
    if isinstance(error, DataError) or state.startswith(_POSTGRESQL_BAD_DATA):
        return InvalidInput(
            "A text is too long for the registry's database, or has characters that it cannot keep.",
            reason="TEXT",
            fix="Shorten it, and leave out control characters.",
        )
    return unavailable()


def unavailable() -> Unavailable:
    """The refusal of a call while the database does not work."""
    return Unavailable(
        "The registry's database cannot do this now; nothing was changed.",
        reason="DATABASE_UNAVAILABLE",
        fix="Try again; if it goes on, look for a full or read-only disk or a PostgreSQL that is down, in its log and "
        "in the registry's.",
        retry_after_s=1.0,
    )
