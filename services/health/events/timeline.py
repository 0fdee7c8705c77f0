"""The time line: what happened to the platform, kept within a bound, told to whoever watches."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial

from lepton_ai.mesh.latest import Latest
from services.health.events.database import EventsDatabase, remember
from services.health.events.event import Event

_COLUMNS = "time_s, kind, title, labels, actor, details, key"


class Timeline:
    """Events of all kinds. Adding one again, also after a restart, changes nothing."""

    def __init__(self, database: EventsDatabase, *, max_events: int) -> None:
        """The oldest events go when there are more than `max_events`."""
        self._database = database
        self._max_events = max_events
        self._revision: Latest[int] = Latest(0)

    async def start(self) -> None:
        """Find where the time line ends: watchers hear of what is added from now on."""
        self._revision.set(await self._database.read(_newest_revision))

    def close(self) -> None:
        """End every `changes()`."""
        self._revision.close()

    async def add(self, event: Event) -> None:
        """Add an event; one that is there already gains the actor where it had none. Raises Unavailable."""
        await self.add_all([event])

    async def add_all(
        self,
        events: Sequence[Event],
        *,
        instead: Mapping[str, str] | None = None,
        memory: tuple[str, str] | None = None,
    ) -> None:
        """Add all or none. Raises Unavailable.

        `instead`: identities of events → those that they take the place of. `memory`: name and value to remember in the
        same transaction.
        """
        work = partial(_add, events=events, instead=instead or {}, memory=memory, max_events=self._max_events)
        self._revision.set(await self._database.write(work))

    async def find(
        self,
        *,
        start_s: float = 0.0,
        end_s: float = float("inf"),
        labels: Mapping[str, str] | None = None,
        kinds: Collection[str] = (),
        limit: int = 100,
    ) -> Sequence[Event]:
        """Events from `start_s` to `end_s` that have all the labels, of these kinds or of all, the newest first."""
        where, parameters = _conditions(labels or {}, kinds)
        query = (
            f"SELECT {_COLUMNS} FROM events WHERE time_s BETWEEN ? AND ?{where} ORDER BY time_s DESC, seq DESC LIMIT ?"  # noqa: S608 - no values in it
        )
        return await self._database.read(partial(_select, query=query, parameters=(start_s, end_s, *parameters, limit)))

    async def changes(
        self, *, labels: Mapping[str, str] | None = None, kinds: Collection[str] = ()
    ) -> AsyncIterator[Event]:
        """Events that are added, or of which more becomes known, from now on, until the time line is closed."""
        where, parameters = _conditions(labels or {}, kinds)
        query = f"SELECT {_COLUMNS} FROM events WHERE revision > ? AND revision <= ?{where} ORDER BY revision"  # noqa: S608 - no values in it
        seen = self._revision.value
        async for newest in self._revision.changes():
            found = await self._database.read(partial(_select, query=query, parameters=(seen, newest, *parameters)))
            seen = newest
            for event in found:
                yield event


def _add(
    connection: sqlite3.Connection,
    *,
    events: Sequence[Event],
    instead: Mapping[str, str],
    memory: tuple[str, str] | None,
    max_events: int,
) -> int:
    revision = _newest_revision(connection)
    for event in events:
        key = event.identity
        if key in instead:
            connection.execute("DELETE FROM events WHERE key = ? AND key != ?", (instead[key], key))
        known = connection.execute("SELECT actor FROM events WHERE key = ?", (key,)).fetchone()
        if known is not None and (known[0] or not event.actor):
            continue
        revision += 1
        texts = (event.title, _json(event.labels), event.actor, _json(event.details))
        connection.execute(
            "INSERT INTO events (key, revision, time_s, kind, title, labels, actor, details) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, "
            "title = excluded.title, labels = excluded.labels, actor = excluded.actor, details = excluded.details",
            (key, revision, event.time_s, event.kind, *texts),
        )
    if events:
        connection.execute("DELETE FROM events WHERE seq <= (SELECT MAX(seq) FROM events) - ?", (max_events,))
    if memory is not None:
        remember(connection, *memory)
    return revision


def _newest_revision(connection: sqlite3.Connection) -> int:
    (newest,) = connection.execute("SELECT COALESCE(MAX(revision), 0) FROM events").fetchone()
    return int(newest)


def _conditions(labels: Mapping[str, str], kinds: Collection[str]) -> tuple[str, list[str]]:
    """More of a query's WHERE, and its values."""
    where = " AND EXISTS (SELECT 1 FROM json_each(labels) WHERE json_each.key = ? AND json_each.value = ?)" * len(
        labels
    )
    if kinds:
        where += f" AND kind IN ({', '.join('?' * len(kinds))})"
    return where, [*(text for label in labels.items() for text in label), *kinds]


def _select(connection: sqlite3.Connection, *, query: str, parameters: Sequence[object]) -> list[Event]:
    return [_event(row) for row in connection.execute(query, tuple(parameters))]


def _event(row: Sequence[object]) -> Event:
    time_s, kind, title, labels, actor, details, key = row
    return Event(
        float(str(time_s)),
        str(kind),
        str(title),
        json.loads(str(labels)),
        str(actor),
        json.loads(str(details)),
        str(key),
    )


def _json(texts: Mapping[str, str]) -> str:
    return json.dumps(dict(texts))
