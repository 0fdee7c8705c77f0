"""What happened on the platform, and log records of all its processes, as a client reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import grpc

from lepton_ai.client.connections import BlockingClient, ConnectedClient
from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.v1 import events_pb2, events_pb2_grpc

T = TypeVar("T")
Level = Literal["WARNING", "ERROR", "CRITICAL"]


class LogFilter(TypedDict, total=False):
    """Which log records are wanted; what is left out leaves all."""

    service: str
    instance: str
    level: Level
    """This level and those above it."""
    template_id: int
    trace_id: str
    since: datetime
    text: str
    """Part of the message."""
    limit: int
    """At most so many, by default 100."""


class Events:
    """The part of `AsyncClient` for events and log records."""

    async def events(
        self: ConnectedClient,
        model: str = "",
        *,
        since: datetime | None = None,
        labels: Mapping[str, str] | None = None,
        kinds: Collection[str] = (),
        limit: int = 100,
    ) -> Sequence[events_pb2.TimelineEvent]:
        """What happened, the newest first: to a model, of some kinds ("deploy", "restart"…), with some labels."""
        request = events_pb2.ListEventsRequest(labels=_labels(model, labels), kinds=kinds, limit=limit)
        if since is not None:
            request.since.FromDatetime(since)
        found = await _call(self, lambda stub, left_s: stub.ListEvents(request, timeout=left_s, metadata=self._proof))
        return list(found.events)

    async def watch_events(
        self: ConnectedClient, model: str = "", *, labels: Mapping[str, str] | None = None, kinds: Collection[str] = ()
    ) -> AsyncIterator[events_pb2.TimelineEvent]:
        """What happens from now on, until health stops; the same `id` comes again when more is known of an event.

        Raises LeptonError.
        """
        request = events_pb2.WatchEventsRequest(labels=_labels(model, labels), kinds=kinds)
        pool = await self._connections.open("health")
        with pool.pick() as pick:
            stub: Any = events_pb2_grpc.EventServiceStub(pick.channel)
            try:
                async for event in stub.WatchEvents(request, metadata=self._proof):
                    yield event
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error

    async def log_templates(
        self: ConnectedClient,
        service: str = "",
        *,
        level: Level = "WARNING",
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[events_pb2.LogTemplate]:
        """Kinds of log records of WARNING and up, those with most records first. Needs the token."""
        request = events_pb2.ListTemplatesRequest(service=service, level=_level(level), limit=limit)
        if since is not None:
            request.since.FromDatetime(since)
        found = await _call(
            self, lambda stub, left_s: stub.ListTemplates(request, timeout=left_s, metadata=self._proof)
        )
        return list(found.templates)

    async def logs(self: ConnectedClient, **wanted: Unpack[LogFilter]) -> Sequence[events_pb2.LogRecord]:
        """Log records of WARNING and up of all processes, the newest first. Needs the token."""
        options: dict[str, Any] = {**wanted}
        since, level = options.pop("since", None), options.pop("level", "WARNING")
        request = events_pb2.ListLogsRequest(level=_level(level), **options)
        if since is not None:
            request.since.FromDatetime(since)
        found = await _call(self, lambda stub, left_s: stub.ListLogs(request, timeout=left_s, metadata=self._proof))
        return list(found.records)


class BlockingEvents:
    """The part of `Client` for events and log records."""

    def events(
        self: BlockingClient,
        model: str = "",
        *,
        since: datetime | None = None,
        labels: Mapping[str, str] | None = None,
        kinds: Collection[str] = (),
        limit: int = 100,
    ) -> Sequence[events_pb2.TimelineEvent]:
        """See AsyncClient.events."""
        options: dict[str, Any] = {"since": since, "labels": labels, "kinds": kinds, "limit": limit}
        found: Sequence[events_pb2.TimelineEvent] = self._run("events", model, **options)
        return found

    def log_templates(
        self: BlockingClient,
        service: str = "",
        *,
        level: Level = "WARNING",
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[events_pb2.LogTemplate]:
        """See AsyncClient.log_templates."""
        options: dict[str, Any] = {"level": level, "since": since, "limit": limit}
        found: Sequence[events_pb2.LogTemplate] = self._run("log_templates", service, **options)
        return found

    def logs(self: BlockingClient, **wanted: Unpack[LogFilter]) -> Sequence[events_pb2.LogRecord]:
        """See AsyncClient.logs."""
        found: Sequence[events_pb2.LogRecord] = self._run("logs", **wanted)
        return found


def _labels(model: str, labels: Mapping[str, str] | None) -> dict[str, str]:
    return {**(labels or {}), **({"model": model} if model else {})}


def _level(level: str) -> events_pb2.LogLevel.ValueType:
    try:
        return events_pb2.LogLevel.Value(f"LOG_LEVEL_{level}")
    except ValueError as error:
        raise InvalidInput.of_field("level", f"is {level!r}", fix="Use WARNING, ERROR or CRITICAL.") from error


async def _call(client: ConnectedClient, invoke: Callable[[Any, float], Awaitable[T]]) -> T:
    return await client._connections.call(
        "health",
        lambda channel, left_s: invoke(events_pb2_grpc.EventServiceStub(channel), left_s),
        client._timeout_s,
    )
