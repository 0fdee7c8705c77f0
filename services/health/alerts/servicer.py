"""lepton.v1.AlertService: messages to and from the desk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import grpc

from lepton_ai.credentials import said_actor
from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.serving.draining import until_set
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.v1 import alerts_pb2 as pb
from lepton_ai.v1 import alerts_pb2_grpc
from services.health.alerts import messages
from services.health.alerts.desk import AlertDesk
from services.health.alerts.memory.records import AlertState, Slo
from services.health.alerts.receivers import parse_matcher
from services.health.alerts.runbooks import runbook
from services.health.alerts.slo.judge import SloJudge

SERVICE = "lepton.v1.AlertService"
OPEN_METHODS = ("ListAlerts", "WatchAlerts", "GetAlert", "ListSilences", "ListSlos", "ListNotifications")
_MAX_LISTED, _MAX_ACTOR, _MAX_MATCHERS = 1000, 100, 20
Context = grpc.aio.ServicerContext[Any, Any]


class AlertServicer(alerts_pb2_grpc.AlertServiceServicer):
    """One method per RPC; the contract is documented in protos/lepton_ai/v1/alerts.proto."""

    def __init__(self, desk: AlertDesk, slo: SloJudge | None, *, tokens: Tokens, draining: asyncio.Event) -> None:
        self._desk = desk
        self._slo = slo
        self._tokens = tokens
        self._draining = draining

    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:  # noqa: N802
        return self._listed(request.states, request.matchers, min(request.limit or _MAX_LISTED, _MAX_LISTED))

    async def WatchAlerts(  # noqa: N802
        self, request: pb.WatchAlertsRequest, context: Context
    ) -> AsyncIterator[pb.ListAlertsResponse]:
        before: pb.ListAlertsResponse | None = None
        async for _ in until_set(self._desk.ledger.version.changes(), self._draining):
            listed = self._listed(request.states, request.matchers, _MAX_LISTED)
            if listed != before:
                before = listed
                yield listed

    async def GetAlert(self, request: pb.GetAlertRequest, context: Context) -> pb.GetAlertResponse:  # noqa: N802
        seen = self._desk.get(request.fingerprint)
        happened = await self._desk.history(seen.alert)
        told = self._desk.deliveries(alert=seen.alert.id, limit=100)
        return pb.GetAlertResponse(
            alert=messages.alert(seen),
            history=map(messages.happening, happened),
            notifications=map(messages.notification, told),
            runbook=runbook(seen.alert.annotations.get("runbook", ""), request.language),
        )

    async def AcknowledgeAlert(self, request: pb.AcknowledgeAlertRequest, context: Context) -> pb.Alert:  # noqa: N802
        who = self._actor(context)
        return messages.alert(await self._desk.acknowledge(request.fingerprint, who=who, comment=request.comment))

    async def CreateSilence(self, request: pb.CreateSilenceRequest, context: Context) -> pb.Silence:  # noqa: N802
        duration_s = request.duration.ToMilliseconds() / 1000
        made, alerts = await self._desk.silence(
            request.matchers, duration_s=duration_s, author=self._actor(context), comment=request.comment
        )
        return messages.silence(made, alerts)

    async def ListSilences(  # noqa: N802
        self, request: pb.ListSilencesRequest, context: Context
    ) -> pb.ListSilencesResponse:
        found = self._desk.silences()
        return pb.ListSilencesResponse(silences=[messages.silence(each, self._desk.silenced(each)) for each in found])

    async def EndSilence(self, request: pb.EndSilenceRequest, context: Context) -> pb.Silence:  # noqa: N802
        return messages.silence(await self._desk.end_silence(request.id), 0)

    async def ListSlos(self, request: pb.ListSlosRequest, context: Context) -> pb.ListSlosResponse:  # noqa: N802
        found = self._desk.slos(request.model)
        return pb.ListSlosResponse(slos=[await self._standing(each) for each in found])

    async def SetSlo(self, request: pb.SetSloRequest, context: Context) -> pb.Slo:  # noqa: N802
        made = await self._desk.set_slo(messages.slo_record(request.slo, author=self._actor(context)))
        return messages.slo(made)

    async def RemoveSlo(self, request: pb.RemoveSloRequest, context: Context) -> pb.RemoveSloResponse:  # noqa: N802
        await self._desk.remove_slo(request.model, who=self._actor(context))
        return pb.RemoveSloResponse()

    async def ListNotifications(  # noqa: N802
        self, request: pb.ListNotificationsRequest, context: Context
    ) -> pb.ListNotificationsResponse:
        limit = min(request.limit or 100, _MAX_LISTED)
        found = self._desk.deliveries(receiver=request.receiver, alert=request.alert, limit=limit)
        receivers = [messages.receiver(each, self._desk) for each in self._desk.receivers.values()]
        return pb.ListNotificationsResponse(notifications=map(messages.notification, found), receivers=receivers)

    async def TestReceiver(  # noqa: N802
        self, request: pb.TestReceiverRequest, context: Context
    ) -> pb.TestReceiverResponse:
        outcome = await self._desk.test(request.receiver)
        return pb.TestReceiverResponse(error=outcome.error, status=outcome.status or 0)

    def _listed(
        self, states: Sequence[pb.AlertState.ValueType], matchers: Iterable[str], limit: int
    ) -> pb.ListAlertsResponse:
        wanted = {AlertState(pb.AlertState.Name(each).removeprefix("ALERT_STATE_").lower()) for each in states if each}
        parsed = [parse_matcher(each) for each in matchers]
        if len(parsed) > _MAX_MATCHERS:
            raise InvalidInput.of_field("matchers", f"are more than {_MAX_MATCHERS}")
        found = self._desk.find(wanted, parsed)[:limit]
        return pb.ListAlertsResponse(alerts=map(messages.alert, found), leads=self._desk.leads())

    async def _standing(self, slo: Slo) -> pb.Slo:
        message = messages.slo(slo)
        if self._slo is not None:
            message.status.extend(map(messages.standing, await self._slo.report(slo, time.time())))
        return message

    def _actor(self, context: Context) -> str:
        """Who asks: the name of the token, which nobody else can say, before what the call says of itself."""
        metadata = context.invocation_metadata()
        name = self._tokens.identify(metadata)
        return name or said_actor(metadata)[:_MAX_ACTOR] or "somebody"
