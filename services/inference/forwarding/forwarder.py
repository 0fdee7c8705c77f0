"""Hands a call on to a replica that serves what it names, with its deadline, trace and tenant; never a second time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace

from lepton_ai.errors import LeptonError, Unavailable
from lepton_ai.mesh.calling.pool import Pick, ServicePool
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.mesh.retry import REPEAT_KEY, RETRY, is_repeat
from lepton_ai.mesh.serving.tenant import TENANT
from services.inference.call import Call
from services.inference.forwarding.placement import Placement
from services.inference.routing.refusals import Refusals
from services.inference.routing.routes import NOT_SERVED_HERE, ModelReference

T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]
Send = Callable[[grpc.aio.Channel, float, Metadata], Awaitable["T"]]
"""(channel, timeout_s, metadata) → the answer."""

FORWARDED_KEY = "lepton-forwarded"
"""Of a request: a replica has handed it on, so nobody does so again. Of the trailing metadata: which replica answered.
"""
_RETRY_AFTER_S = 1.0


class Forwarder:
    """Costs a call nothing that this replica can answer: it is asked only about those that failed."""

    def __init__(
        self, replicas: ServicePool | None, placement: Placement, refusals: Refusals, *, own_address: Callable[[], str]
    ) -> None:
        """`replicas` are those of this service, itself included; it is started with the first call that is handed on,
        as most replicas never need it. None: no call is handed on. `refusals` counts what nobody answers."""
        self._replicas = replicas
        self._placement = placement
        self._refusals = refusals
        self._own_address = own_address
        self._started = False

    async def forward(
        self,
        error: LeptonError,
        send: Send[T],
        *,
        reference: ModelReference,
        call: Call,
        context: grpc.aio.ServicerContext[Any, Any],
        is_prediction: bool = True,
    ) -> T:
        """The answer of a replica that serves `reference` to a call that failed here with `error`.

        `context` is that of the call, or of the stream that it came in. Raises `error` itself when it is not about the
        version, when the call was handed on already, and when no other replica is known to serve it; else what the
        other replica raises, and Unavailable with a retry delay when that cannot be reached.
        """
        if not is_prediction:
            return await self._forward(error, send, reference, call, context)
        with self._refusals.counted(reference, error):
            return await self._forward(error, send, reference, call, context)

    async def _forward(
        self,
        error: LeptonError,
        send: Send[T],
        reference: ModelReference,
        call: Call,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> T:
        if error.reason not in NOT_SERVED_HERE or _is_forwarded(context):
            raise error
        pick = await self._pick(reference)
        if pick is None:
            raise error
        trace.get_current_span(call.context).set_attribute("lepton.forwarded", pick.address)
        answer = await _send(pick, send, call)
        if not call.from_stream:
            told = context.trailing_metadata() or ()
            context.set_trailing_metadata((*told, (FORWARDED_KEY, pick.address)))
        return answer

    async def _pick(self, reference: ModelReference) -> Pick | None:
        able = self._placement.replicas_with(reference) - {self._own_address()}
        if not able or self._replicas is None:
            return None
        if not self._started:
            self._started = True  # before the first await, so that calls made at the same time share it
            await self._replicas.start()
        others = self._replicas.addresses - able
        return None if others == self._replicas.addresses else self._replicas.pick(others)


async def _send(pick: Pick, send: Send[T], call: Call) -> T:
    token = otel_context.attach(call.context)
    try:
        with pick:
            async with pick.turn(call.deadline):
                return await send(pick.channel, call.deadline - time.monotonic(), _notes(call))
    except grpc.aio.AioRpcError as failure:
        known = from_rpc_error(failure)
        if known.code is grpc.StatusCode.UNAVAILABLE and known.retry_after_s is None:
            raise _out_of_reach() from failure  # as it is, it would say that this replica is gone
        raise known from failure
    finally:
        otel_context.detach(token)


def _notes(call: Call) -> Metadata:
    notes: Metadata = ((FORWARDED_KEY, "1"),)
    if call.tenant:
        notes += ((TENANT, call.tenant),)
    if is_repeat():
        notes += ((REPEAT_KEY, RETRY),)
    return notes


def _is_forwarded(context: grpc.aio.ServicerContext[Any, Any]) -> bool:
    return any(key == FORWARDED_KEY for key, _ in context.invocation_metadata() or ())


def _out_of_reach() -> Unavailable:
    return Unavailable(
        "The model is served by another replica, which cannot be reached.",
        reason="FORWARD_FAILED",
        fix="Try again in a moment; `lepton health` shows what each replica serves.",
        retry_after_s=_RETRY_AFTER_S,
    )
