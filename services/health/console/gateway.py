"""RPCs as JSON over HTTP: what the page shows comes from the same calls as what the CLI and the SDK show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from lepton_ai.credentials import token_metadata
from lepton_ai.errors import InvalidInput, NotFound, Unavailable
from lepton_ai.mesh.calling.pool import ServicePool, channel_options
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.v1 import alerts_pb2, drift_pb2, events_pb2, feedback_pb2, health_pb2, metrics_pb2, registry_pb2

Json = dict[str, Any]
_CONTRACTS = (registry_pb2, health_pb2, feedback_pb2, metrics_pb2, events_pb2, alerts_pb2, drift_pb2)
"""Imported so that their services are in the descriptor pool."""
_PACKAGE = "lepton.v1"

READS: Mapping[str, tuple[str, ...]] = {
    "RegistryService": ("ListModels", "GetVersion", "ListDeployments", "ListRollouts", "ListPushes", "SearchVersions"),
    "HealthService": ("GetStatus",),
    "FeedbackService": ("ListFeedback", "GetQuality", "GroupComplaints"),
    "DriftService": ("GetDrift",),
    "MetricsService": ("Query", "QueryRange", "ListKpis", "ListTargets", "ListMetrics", "ListExemplars"),
    "EventService": ("ListEvents", "ListTemplates", "ListLogs"),
    "AlertService": ("ListAlerts", "GetAlert", "ListSilences", "ListSlos", "ListNotifications"),
}
"""What the page may ask; the services themselves refuse some of it to those who show no token."""
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "RegistryService": ("ControlRollout", "Rollback"),
    "FeedbackService": ("SubmitFeedback",),
    "AlertService": ("AcknowledgeAlert", "CreateSilence", "EndSilence"),
}
"""What needs the token."""
_ELSEWHERE = {"RegistryService": "registry"}
"""Services that another process serves; this one serves the others."""


class Caller(Protocol):
    """Makes calls to one service's replicas: a ServicePool, or this process itself."""

    async def call(
        self, invoke: Callable[[grpc.aio.Channel, float], Any], *, timeout_s: float, idempotent: bool = True
    ) -> Any:
        """The answer of `invoke(channel, timeout_s)`. Raises LeptonError."""


class OwnPort:
    """Calls to the process's own port, so that tokens and limits count for the page as for everybody."""

    def __init__(self, address: Callable[[], str], *, max_message_bytes: int) -> None:
        """`address` is asked at the first call: the port is not known before the server has started."""
        self._address = address
        self._options = channel_options(max_message_bytes)
        self._channel: grpc.aio.Channel | None = None

    async def call(
        self, invoke: Callable[[grpc.aio.Channel, float], Any], *, timeout_s: float, idempotent: bool = True
    ) -> Any:
        """See Caller."""
        if self._channel is None:
            address = self._address()
            if not address:
                raise Unavailable("The health service is starting.", fix="Try again in a moment.", retry_after_s=0.5)
            self._channel = grpc.aio.insecure_channel(address, options=self._options)
        try:
            return await invoke(self._channel, timeout_s)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close()


@dataclass(frozen=True)
class _Method:
    path: str
    request: type[Message]
    response: type[Message]
    is_action: bool


class Gateway:
    """Makes the calls that stand in READS and ACTIONS."""

    def __init__(self, own: Caller, registry: Caller | ServicePool, *, timeout_s: float) -> None:
        self._callers: Mapping[str, Caller | ServicePool] = {"registry": registry, "": own}
        self._timeout_s = timeout_s
        self._methods = {
            (service, name): _method(service, name, is_action=table is ACTIONS)
            for table in (READS, ACTIONS)
            for service, names in table.items()
            for name in names
        }

    async def read(self, service: str, method: str, request: Json, *, token: str = "") -> Json:
        """Ask for something. Raises NotFound for what is no such method, InvalidInput, and what the call raises.

        `token`: some questions are answered only to those who show it.
        """
        return await self._call(service, method, request, is_action=False, token=token)

    async def act(self, service: str, method: str, request: Json, *, token: str) -> Json:
        """Change something in the name of whoever has shown the token. Raises as `read` does."""
        return await self._call(service, method, request, is_action=True, token=token)

    async def _call(self, service: str, name: str, request: Json, *, is_action: bool, token: str) -> Json:
        method = self._methods.get((service, name))
        if method is None or method.is_action is not is_action:
            raise NotFound("There is no such question." if not is_action else "There is no such action.")
        try:
            message = json_format.ParseDict(request, method.request())
        except json_format.ParseError as error:
            raise InvalidInput.of_field("request", f"is no {method.request.DESCRIPTOR.name}") from error
        caller = self._callers[_ELSEWHERE.get(service, "")]
        # Shielded: a browser that leaves must not cancel a change half-way.
        calling = asyncio.ensure_future(
            caller.call(_invoke(method, message, token), timeout_s=self._timeout_s, idempotent=not is_action)
        )
        answer = await (asyncio.shield(calling) if is_action else calling)
        return to_json(answer)


def to_json(message: Message) -> Json:
    """A message as the page reads it: every field, by its name in the contract; 64-bit numbers are texts."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _invoke(method: _Method, message: Message, token: str) -> Callable[[grpc.aio.Channel, float], Any]:
    def invoke(channel: grpc.aio.Channel, timeout_s: float) -> Any:
        call = channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return call(message, timeout=timeout_s, metadata=token_metadata(token))

    return invoke


def _method(service: str, name: str, *, is_action: bool) -> _Method:
    found = descriptor_pool.Default().FindServiceByName(f"{_PACKAGE}.{service}").methods_by_name[name]
    return _Method(
        path=f"/{_PACKAGE}.{service}/{name}",
        request=message_factory.GetMessageClass(found.input_type),
        response=message_factory.GetMessageClass(found.output_type),
        is_action=is_action,
    )
