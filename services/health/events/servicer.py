"""lepton.v1.EventService: messages to and from the time line and the book of log records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.serving.draining import until_set
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.v1 import events_pb2 as pb
from lepton_ai.v1 import events_pb2_grpc
from services.health.events.event import Event
from services.health.events.logs.checks import check_report
from services.health.events.logs.log_book import LogBook, seconds_of
from services.health.events.timeline import Timeline

SERVICE = "lepton.v1.EventService"
OPEN_METHODS = ("ListEvents", "WatchEvents")
_MAX_LISTED = 10_000
_MAX_LABELS = 20
Context = grpc.aio.ServicerContext[Any, Any]


class EventServicer(events_pb2_grpc.EventServiceServicer):
    """One method per RPC; the contract is documented in protos/lepton_ai/v1/events.proto."""

    def __init__(self, timeline: Timeline, logs: LogBook, *, tokens: Tokens, draining: asyncio.Event) -> None:
        """`tokens`: who shows one is told who did what. `draining` is set when streams must end."""
        self._timeline = timeline
        self._logs = logs
        self._tokens = tokens
        self._draining = draining

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:  # noqa: N802
        found = await self._timeline.find(
            start_s=seconds_of(request.since),
            end_s=seconds_of(request.until) if request.HasField("until") else float("inf"),
            labels=_labels(request),
            kinds=request.kinds,
            limit=_limit(request.limit),
        )
        tells_who = self._tells_who(context)
        return pb.ListEventsResponse(events=[_message(event, tells_who=tells_who) for event in found])

    async def WatchEvents(  # noqa: N802
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.TimelineEvent]:
        tells_who = self._tells_who(context)
        changes = self._timeline.changes(labels=_labels(request), kinds=request.kinds)
        async for event in until_set(changes, self._draining):
            yield _message(event, tells_who=tells_who)

    async def ListTemplates(  # noqa: N802
        self, request: pb.ListTemplatesRequest, context: Context
    ) -> pb.ListTemplatesResponse:
        since_s, limit = seconds_of(request.since), _limit(request.limit)
        found = await self._logs.templates(service=request.service, level=request.level, since_s=since_s, limit=limit)
        return pb.ListTemplatesResponse(templates=found)

    async def ListLogs(self, request: pb.ListLogsRequest, context: Context) -> pb.ListLogsResponse:  # noqa: N802
        return pb.ListLogsResponse(records=await self._logs.records(request, limit=_limit(request.limit)))

    async def ReportLogs(self, request: pb.ReportLogsRequest, context: Context) -> pb.ReportLogsResponse:  # noqa: N802
        await self._logs.take(check_report(request))
        return pb.ReportLogsResponse()

    def _tells_who(self, context: Context) -> bool:
        return not self._tokens or self._tokens.identify(context.invocation_metadata()) is not None


def _limit(wanted: int) -> int:
    return min(wanted or 100, _MAX_LISTED)


def _labels(request: pb.ListEventsRequest | pb.WatchEventsRequest) -> dict[str, str]:
    for field in ("labels", "kinds"):
        if len(getattr(request, field)) > _MAX_LABELS:
            raise InvalidInput.of_field(field, f"are more than {_MAX_LABELS}")
    return dict(request.labels)


def _message(event: Event, *, tells_who: bool) -> pb.TimelineEvent:
    message = pb.TimelineEvent(
        id=event.identity,
        kind=event.kind,
        title=event.title,
        labels=dict(event.labels),
        actor=event.actor if tells_who else "",
        details=dict(event.details),
    )
    message.at.FromNanoseconds(round(event.time_s * 1e9))
    return message
