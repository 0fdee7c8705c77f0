"""A console with answers of a test's choice behind it, and contracts filled in."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.types import ASGIApp

from lepton_ai.errors import LeptonError, NotFound
from lepton_ai.mesh.latest import Latest
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.v1 import alerts_pb2, drift_pb2, events_pb2, feedback_pb2, health_pb2, metrics_pb2, registry_pb2
from services.health.console.app import STATIC, Questions, make_app
from services.health.console.gateway import to_json
from services.health.console.live import LiveFeed
from services.health.console.topics import topics

TOKEN = "a-token-of-the-platform"
Json = dict[str, Any]

EMPTY: Mapping[str, Message] = {
    "ListModels": registry_pb2.ListModelsResponse(),
    "ListRollouts": registry_pb2.ListRolloutsResponse(),
    "ListKpis": metrics_pb2.ListKpisResponse(),
    "ListTargets": metrics_pb2.ListTargetsResponse(),
    "Query": metrics_pb2.QueryResponse(),
    "QueryRange": metrics_pb2.QueryRangeResponse(),
    "ListExemplars": metrics_pb2.ListExemplarsResponse(),
    "ListAlerts": alerts_pb2.ListAlertsResponse(),
    "ListSlos": alerts_pb2.ListSlosResponse(),
    "ListSilences": alerts_pb2.ListSilencesResponse(),
    "ListNotifications": alerts_pb2.ListNotificationsResponse(),
    "ListEvents": events_pb2.ListEventsResponse(),
    "ListTemplates": events_pb2.ListTemplatesResponse(),
    "ListLogs": events_pb2.ListLogsResponse(),
    "ListFeedback": feedback_pb2.ListFeedbackResponse(),
    "GetQuality": feedback_pb2.GetQualityResponse(),
    "GroupComplaints": feedback_pb2.GroupComplaintsResponse(),
    "GetDrift": drift_pb2.GetDriftResponse(),
}
"""What a platform answers that has nothing yet."""


class ScriptedGateway:
    """Answers every question with the message that is set for its method; notes what is done."""

    def __init__(self) -> None:
        self.answers: dict[str, Message | LeptonError] = dict(EMPTY)
        self.done: list[tuple[str, Json, str]] = []
        """(method, request, token) of every action."""

    async def read(self, service: str, method: str, request: Json, *, token: str = "") -> Json:
        answer = self.answers.get(method, NotFound("There is no such question."))
        if isinstance(answer, LeptonError):
            raise answer
        return to_json(answer)

    async def act(self, service: str, method: str, request: Json, *, token: str) -> Json:
        self.done.append((method, request, token))
        return {"outcomes": [{"state": "FEEDBACK_STATE_JOINED"}]}


class ScriptedTraces:
    """Traces of a test's choice."""

    def __init__(self) -> None:
        self.found: list[Json] = []
        self.rows: Json = {}
        self.calls: Json = {"known": [["client", "inference"]], "traces": 0, "from_us": 0, "to_us": 0, "edges": []}

    async def search(self, wanted: Mapping[str, str]) -> list[Json]:
        return self.found

    async def services(self) -> list[str]:
        return ["inference"]

    async def waterfall(self, trace_id: str) -> Json:
        if not self.rows:
            raise NotFound(f"There is no trace {trace_id}.")
        return self.rows

    async def edges(self) -> Json:
        return self.calls


class ScriptedConsole:
    """The whole application without what is behind it."""

    def __init__(self, *, tokens: Tokens | None = None) -> None:
        self.gateway = ScriptedGateway()
        self.traces = ScriptedTraces()
        self.status: Latest[health_pb2.PlatformStatus] = Latest(health_pb2.PlatformStatus())
        self.draining = asyncio.Event()
        self.feed = LiveFeed(topics(self.status, self.gateway), draining=self.draining)
        questions = Questions(self.gateway, self.traces, self.feed, Tokens(TOKEN) if tokens is None else tokens)
        self.app: ASGIApp = make_app(questions, Starlette(), loopback_only=True)


def chinese_sentences() -> dict[str, str]:
    """The sentences of services that the page says in Chinese: English → 中文."""
    text = (STATIC / "core" / "sentences_zh.js").read_text("utf-8")
    quoted = r'("(?:[^"\\]|\\.)*")'
    found = re.findall(rf"^  {quoted}: {quoted},$", text, re.MULTILINE)
    entries = {json.loads(english): json.loads(chinese) for english, chinese in found}
    assert len(entries) == len(found), "a sentence stands there twice"
    return entries


def status_of(document: Json) -> health_pb2.PlatformStatus:
    """A status from its JSON."""
    return json_format.ParseDict(document, health_pb2.PlatformStatus())
