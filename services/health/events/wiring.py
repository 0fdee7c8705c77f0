"""Adds the time line and the log records of all processes to the health service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lepton_ai.credentials import token_metadata
from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.state import Watch
from lepton_ai.mesh.serving.server import Server
from lepton_ai.v1 import events_pb2_grpc
from services.health.events import servicer
from services.health.events.changes.audit import AuditReader
from services.health.events.changes.follower import ChangeFollower
from services.health.events.database import EventsDatabase
from services.health.events.logs.files import LogFiles
from services.health.events.logs.judge import LogJudge
from services.health.events.logs.log_book import LogBook
from services.health.events.servicer import EventServicer
from services.health.events.timeline import Timeline
from services.health.settings import HealthSettings


@dataclass(frozen=True)
class Events:
    """What other parts of the health service use."""

    timeline: Timeline
    judge: LogJudge


async def add_events(
    server: Server, settings: HealthSettings, watches: Mapping[str, Watch], registry: ServicePool
) -> Events:
    """Everything about events wired together and started; it ends when the server has drained."""
    database = EventsDatabase(settings.data_dir / "events.sqlite")
    server.on_close(database.close)
    timeline = Timeline(database, max_events=settings.max_events)
    logs = LogBook(database, max_records=settings.max_log_records, max_templates=settings.max_log_templates)
    await timeline.start()
    await logs.start()
    files = LogFiles(settings.log_files, logs)
    files.start()
    server.on_close(files.close)
    tokens = settings.tokens()
    follower = ChangeFollower(watches, AuditReader(registry, token_metadata(tokens.own)), timeline, database)
    await follower.start()

    async def close() -> None:
        await follower.close()
        timeline.close()

    server.on_close(close)
    answering = EventServicer(timeline, logs, tokens=tokens, draining=server.draining)
    server.add(events_pb2_grpc.add_EventServiceServicer_to_server, answering, servicer.SERVICE)
    if tokens:
        server.require_token(tokens, servicer.SERVICE, open_methods=servicer.OPEN_METHODS)
    return Events(timeline, LogJudge(database))
