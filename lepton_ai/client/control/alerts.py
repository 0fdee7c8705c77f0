"""Alerts and what is promised of models, as a client asks for them and takes care of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from lepton_ai.client.connections import BlockingClient, ConnectedClient
from lepton_ai.errors import InvalidInput
from lepton_ai.references import check_name
from lepton_ai.v1 import alerts_pb2 as pb
from lepton_ai.v1 import alerts_pb2_grpc

T = TypeVar("T")


class Alerts:
    """The part of `AsyncClient` for alerts."""

    async def alerts(
        self: ConnectedClient, *, states: Sequence[str] = (), matchers: Sequence[str] = ()
    ) -> Sequence[pb.Alert]:
        """Alerts in these states ("pending", "firing", "resolved"; by default the first two), the most urgent first.

        `matchers` as `model="resnet"`; all must hold. Raises InvalidInput.
        """
        request = pb.ListAlertsRequest(states=map(_state, states), matchers=matchers)
        listed = await _call(self, lambda stub, left_s: stub.ListAlerts(request, timeout=left_s))
        return list(listed.alerts)

    async def alert(self: ConnectedClient, fingerprint: str) -> pb.GetAlertResponse:
        """One alert, by the beginning of its fingerprint, with its history and notifications. Raises NotFound."""
        request = pb.GetAlertRequest(fingerprint=fingerprint)
        return await _call(self, lambda stub, left_s: stub.GetAlert(request, timeout=left_s))

    async def acknowledge_alert(self: ConnectedClient, fingerprint: str, comment: str = "") -> pb.Alert:
        """Say that somebody looks after it. Raises NotFound, FailedPrecondition for one that is over."""
        request = pb.AcknowledgeAlertRequest(fingerprint=fingerprint, comment=comment)
        return await _call(
            self, lambda stub, left_s: stub.AcknowledgeAlert(request, timeout=left_s, metadata=self._proof)
        )

    async def create_silence(
        self: ConnectedClient, matchers: Sequence[str], duration: timedelta, comment: str = ""
    ) -> pb.Silence:
        """Have nobody told of what all matchers mean, for so long. Raises InvalidInput."""
        request = pb.CreateSilenceRequest(matchers=matchers, comment=comment)
        request.duration.FromTimedelta(duration)
        return await _call(
            self, lambda stub, left_s: stub.CreateSilence(request, timeout=left_s, metadata=self._proof), once=True
        )

    async def silences(self: ConnectedClient) -> Sequence[pb.Silence]:
        """Silences in force, the newest first."""
        request = pb.ListSilencesRequest()
        listed = await _call(self, lambda stub, left_s: stub.ListSilences(request, timeout=left_s))
        return list(listed.silences)

    async def end_silence(self: ConnectedClient, identity: str) -> pb.Silence:
        """End a silence before its time. Raises NotFound."""
        request = pb.EndSilenceRequest(id=identity)
        return await _call(self, lambda stub, left_s: stub.EndSilence(request, timeout=left_s, metadata=self._proof))

    async def slos(self: ConnectedClient, model: str = "") -> Sequence[pb.Slo]:
        """What is promised of a model, or of all, and how it stands."""
        request = pb.ListSlosRequest(model=model)
        listed = await _call(self, lambda stub, left_s: stub.ListSlos(request, timeout=left_s))
        return list(listed.slos)

    async def set_slo(
        self: ConnectedClient,
        model: str,
        *,
        availability: float | None = None,
        latency_s: float | None = None,
        latency_share: float = 0.99,
        window: timedelta = timedelta(days=30),
    ) -> pb.Slo:
        """Promise that a share of the requests is answered, or a share of the answers comes in time, or both.

        Raises InvalidInput.
        """
        slo = pb.Slo(model=check_name(model, field="model"), availability=availability)
        slo.window.FromTimedelta(window)
        if latency_s is not None:
            slo.latency.FromTimedelta(timedelta(seconds=latency_s))
            slo.latency_share = latency_share
        request = pb.SetSloRequest(slo=slo)
        return await _call(self, lambda stub, left_s: stub.SetSlo(request, timeout=left_s, metadata=self._proof))

    async def remove_slo(self: ConnectedClient, model: str) -> None:
        """Take back what is promised of a model. Raises NotFound."""
        request = pb.RemoveSloRequest(model=check_name(model, field="model"))
        await _call(self, lambda stub, left_s: stub.RemoveSlo(request, timeout=left_s, metadata=self._proof))

    async def notifications(
        self: ConnectedClient, *, receiver: str = "", alert: str = "", limit: int = 100
    ) -> pb.ListNotificationsResponse:
        """What was told and is to be told, the newest first, and to whom alerts go."""
        request = pb.ListNotificationsRequest(receiver=receiver, alert=alert, limit=limit)
        return await _call(self, lambda stub, left_s: stub.ListNotifications(request, timeout=left_s))

    async def test_receiver(self: ConnectedClient, name: str) -> pb.TestReceiverResponse:
        """Send an example to a receiver, and say what came of it. Raises NotFound."""
        request = pb.TestReceiverRequest(receiver=name)
        return await _call(
            self, lambda stub, left_s: stub.TestReceiver(request, timeout=left_s, metadata=self._proof), once=True
        )


class BlockingAlerts:
    """The part of `Client` for alerts; each method is that of AsyncClient."""

    def alerts(self: BlockingClient, *, states: Sequence[str] = (), matchers: Sequence[str] = ()) -> Sequence[pb.Alert]:
        """See AsyncClient.alerts."""
        found: Sequence[pb.Alert] = self._run("alerts", states=states, matchers=matchers)
        return found

    def alert(self: BlockingClient, fingerprint: str) -> pb.GetAlertResponse:
        """See AsyncClient.alert."""
        found: pb.GetAlertResponse = self._run("alert", fingerprint)
        return found

    def acknowledge_alert(self: BlockingClient, fingerprint: str, comment: str = "") -> pb.Alert:
        """See AsyncClient.acknowledge_alert."""
        alert: pb.Alert = self._run("acknowledge_alert", fingerprint, comment)
        return alert

    def create_silence(
        self: BlockingClient, matchers: Sequence[str], duration: timedelta, comment: str = ""
    ) -> pb.Silence:
        """See AsyncClient.create_silence."""
        silence: pb.Silence = self._run("create_silence", matchers, duration, comment)
        return silence

    def silences(self: BlockingClient) -> Sequence[pb.Silence]:
        """See AsyncClient.silences."""
        found: Sequence[pb.Silence] = self._run("silences")
        return found

    def end_silence(self: BlockingClient, identity: str) -> pb.Silence:
        """See AsyncClient.end_silence."""
        silence: pb.Silence = self._run("end_silence", identity)
        return silence

    def slos(self: BlockingClient, model: str = "") -> Sequence[pb.Slo]:
        """See AsyncClient.slos."""
        found: Sequence[pb.Slo] = self._run("slos", model)
        return found

    def set_slo(
        self: BlockingClient,
        model: str,
        *,
        availability: float | None = None,
        latency_s: float | None = None,
        latency_share: float = 0.99,
        window: timedelta = timedelta(days=30),
    ) -> pb.Slo:
        """See AsyncClient.set_slo."""
        options: dict[str, Any] = {"availability": availability, "latency_s": latency_s, "window": window}
        slo: pb.Slo = self._run("set_slo", model, latency_share=latency_share, **options)
        return slo

    def remove_slo(self: BlockingClient, model: str) -> None:
        """See AsyncClient.remove_slo."""
        self._run("remove_slo", model)

    def notifications(
        self: BlockingClient, *, receiver: str = "", alert: str = "", limit: int = 100
    ) -> pb.ListNotificationsResponse:
        """See AsyncClient.notifications."""
        found: pb.ListNotificationsResponse = self._run("notifications", receiver=receiver, alert=alert, limit=limit)
        return found

    def test_receiver(self: BlockingClient, name: str) -> pb.TestReceiverResponse:
        """See AsyncClient.test_receiver."""
        outcome: pb.TestReceiverResponse = self._run("test_receiver", name)
        return outcome


async def _call(client: ConnectedClient, invoke: Callable[[Any, float], Awaitable[T]], *, once: bool = False) -> T:
    return await client._connections.call(
        "health",
        lambda channel, left_s: invoke(alerts_pb2_grpc.AlertServiceStub(channel), left_s),
        client._timeout_s,
        idempotent=not once,
    )


def _state(name: str) -> pb.AlertState.ValueType:
    known = ("pending", "firing", "resolved")
    if name not in known:
        raise InvalidInput.of_field("states", f"{name[:40]!r} is none", fix=f"There are {', '.join(known)}.")
    return pb.AlertState.Value(f"ALERT_STATE_{name.upper()}")
