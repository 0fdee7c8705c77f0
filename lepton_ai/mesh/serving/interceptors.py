"""What happens around every RPC of a server: tracing, metrics, error mapping, admission and a default deadline.

The order is [tracing, metrics, errors, notes, guards, admission, deadline]: errors turns exceptions into status codes,
so whatever lies outside of it sees the code that the client gets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from lepton_ai.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from lepton_ai.mesh.calling.callers import caller_of
from lepton_ai.mesh.errors import abort, as_lepton_error
from lepton_ai.mesh.limits import BUSY_RETRY_AFTER_S
from lepton_ai.mesh.load import LOAD_KEY, Load, limit_of
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.retry import HEDGE, REPEAT_KEY, RETRY, answering_repeat
from lepton_ai.mesh.serving.deadline import given_deadline, is_out_of_time
from lepton_ai.mesh.serving.handlers import Behavior, Layer, Rpc, ServicerContext
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.mesh.tracing.context import (
    EMPTY,
    PER_MESSAGE_STREAMS,
    TRACE_ID_TRAILER,
    context_of,
    enter_sampled_trace,
    is_infrastructure,
    is_traced,
    leave_sampled_trace,
    remote_parent,
    sampled_trace_id,
)
from lepton_ai.mesh.tracing.marks import mark_code

logger = logging.getLogger(__name__)

_OUR_FAULT = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS})


def server_layers(
    tracing: Tracing,
    metrics: Metrics,
    *,
    max_concurrent_rpcs: int,
    default_timeout_s: float,
    fullness: Callable[[], float] = lambda: 0.0,
    guards: Sequence[Layer] = (),
) -> Sequence[Layer]:
    """The layers of a Lepton server, the outermost first, whatever the transport.

    `fullness`: the part that is taken of what the service itself lets in. `guards` refuse callers that they do not
    know before any work is done for the call.
    """
    return (
        tracing_layer(tracing),
        metrics_layer(metrics),
        map_errors,
        notes_layer(metrics, limit=max_concurrent_rpcs, fullness=fullness),
        *guards,
        admission_layer(max_concurrent_rpcs),
        deadline_layer(default_timeout_s),
    )


def tracing_layer(tracing: Tracing) -> Layer:
    """A SERVER span for every sampled call, below the caller's; the trace's identity for all others."""

    def wrap(rpc: Rpc, behavior: Behavior) -> Behavior:
        if not is_traced(rpc.method):
            return _without_trace(behavior)
        attributes = {"rpc.system.name": "grpc", "rpc.method": rpc.method}

        async def call(request: Any, context: ServicerContext) -> Any:
            parent = context_of(remote_parent(context.invocation_metadata()))
            span = tracing.begin(rpc.method, parent=parent, kind=SpanKind.SERVER, attributes=attributes)
            token = otel_context.attach(trace.set_span_in_context(span, EMPTY))
            try:
                if span.is_recording():
                    return await _recorded(span, behavior, request, context)
                return await behavior(request, context)
            finally:
                otel_context.detach(token)

        return call

    return wrap


def metrics_layer(metrics: Metrics) -> Layer:
    """Counts and times calls. Streams that live for ever, or until their caller leaves, are counted while they run but
    not timed: their length says nothing."""

    def wrap(rpc: Rpc, behavior: Behavior) -> Behavior:
        if is_infrastructure(rpc.method):
            return behavior
        timed = rpc.method not in PER_MESSAGE_STREAMS

        async def call(request: Any, context: ServicerContext) -> Any:
            start_s = time.perf_counter()
            metrics.rpc_started()
            failure: BaseException | None = None
            try:
                return await behavior(request, context)
            except BaseException as error:
                failure = error
                raise
            finally:
                passed_s = time.perf_counter() - start_s
                code = final_code(context, failure, passed_s)
                left = rpc.response_streaming and code is grpc.StatusCode.CANCELLED
                seconds = passed_s if timed and not left else None
                caller = caller_of(context.invocation_metadata())
                metrics.rpc_ended(rpc.method, code, seconds, sampled_trace_id(), caller=caller)

        return call

    return wrap


def map_errors(rpc: Rpc, behavior: Behavior) -> Behavior:
    """Turns what handlers raise into a status with details; faults of ours are logged here, once, with traceback."""

    async def call(request: Any, context: ServicerContext) -> Any:
        try:
            return await behavior(request, context)
        except grpc.aio.AbortError:
            raise  # the handler has ended the call itself
        except asyncio.CancelledError as error:
            if _being_cancelled():
                raise  # cancelled by the client, its deadline or our shutdown
            # Something the handler waited for was cancelled. grpc would send nothing, and the client would wait.
            logger.warning("work for %s was cancelled from within", rpc.method, exc_info=error)
            await abort(context, Unavailable("The work was given up by the server.", fix="Try again."))
        except Exception as error:
            if context.cancelled() or _being_cancelled():
                raise asyncio.CancelledError from error  # nobody is there to be told
            _log_fault(rpc.method, error)
            await abort(context, error)

    return call


def notes_layer(metrics: Metrics, *, limit: int, fullness: Callable[[], float] = lambda: 0.0) -> Layer:
    """Heeds what callers note in a call's metadata: that it is a repeat, and that they ask for this process's load.

    The load is told in the trailing metadata, also of refused calls. Calls without notes pay for a look at theirs. The
    process takes at most `limit` calls at once, fewer where that is what the service's own `fullness` comes to.
    """

    def wrap(rpc: Rpc, behavior: Behavior) -> Behavior:
        if not is_traced(rpc.method):
            return behavior

        async def call(request: Any, context: ServicerContext) -> Any:
            repeat, asked = "", False
            for key, value in context.invocation_metadata() or ():
                if key == REPEAT_KEY and value in {RETRY, HEDGE}:
                    repeat = str(value)
                elif key == LOAD_KEY:
                    asked = True
            if not (repeat or asked):
                return await behavior(request, context)
            if repeat:
                metrics.rpc_repeated(repeat)
                trace.get_current_span().set_attribute("lepton.repeat", repeat)
            try:
                with answering_repeat(is_repeat=bool(repeat)):
                    return await behavior(request, context)
            finally:
                if asked:
                    most = limit_of(metrics.in_flight, limit, fullness())
                    load = Load(metrics.in_flight, metrics.recent_s, most)
                    context.set_trailing_metadata((*(context.trailing_metadata() or ()), (LOAD_KEY, str(load))))

        return call

    return wrap


def admission_layer(max_concurrent_rpcs: int) -> Layer:
    """Refuses calls over the limit at once. Health checks always pass: an overloaded replica is not a dead one."""
    in_flight = 0

    def wrap(rpc: Rpc, behavior: Behavior) -> Behavior:
        if is_infrastructure(rpc.method):
            return behavior

        async def call(request: Any, context: ServicerContext) -> Any:
            nonlocal in_flight
            if in_flight >= max_concurrent_rpcs:
                raise ResourceExhausted(
                    f"This replica is already working on {max_concurrent_rpcs} calls.",
                    reason="TOO_MANY_CALLS",
                    fix="Try again shortly, with fewer calls at once, or add replicas.",
                    retry_after_s=BUSY_RETRY_AFTER_S,
                )
            in_flight += 1
            try:
                return await behavior(request, context)
            finally:
                in_flight -= 1

        return call

    return wrap


def deadline_layer(default_timeout_s: float) -> Layer:
    """Gives unary calls that come without a deadline one. Streams may be long uploads or live for ever."""

    def wrap(rpc: Rpc, behavior: Behavior) -> Behavior:
        if rpc.request_streaming or rpc.response_streaming:
            return behavior

        async def call(request: Any, context: ServicerContext) -> Any:
            remaining_s: float | None = context.time_remaining()
            if remaining_s is not None:
                if remaining_s <= 0:  # it arrived too late to be worth any work, as calls do under overload
                    raise DeadlineExceeded("The deadline passed before the call was looked at.", fix="Allow more time.")
                return await behavior(request, context)  # grpc itself cancels the handler in time
            async with given_deadline(default_timeout_s):
                return await behavior(request, context)

        return call

    return wrap


def final_code(context: ServicerContext, failure: BaseException | None, passed_s: float) -> grpc.StatusCode:
    """The status code that the client of a call gets, or would get if it were still there, after so long."""
    if isinstance(failure, asyncio.CancelledError):
        left_s = context.time_remaining()
        late = left_s is not None and is_out_of_time(passed_s, left_s)
        return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
    code: grpc.StatusCode | None = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return grpc.StatusCode.OK if failure is None else grpc.StatusCode.UNKNOWN


def _without_trace(behavior: Behavior) -> Behavior:
    """A call that belongs to no trace: work for its messages continues their traces, not an accidental one."""

    async def call(request: Any, context: ServicerContext) -> Any:
        token = otel_context.attach(EMPTY)
        try:
            return await behavior(request, context)
        finally:
            otel_context.detach(token)

    return call


async def _recorded(span: Span, behavior: Behavior, request: Any, context: ServicerContext) -> Any:
    trailer = (TRACE_ID_TRAILER, f"{span.get_span_context().trace_id:032x}")
    context.set_trailing_metadata((trailer,))
    token = enter_sampled_trace(trailer[1])
    start_s = time.perf_counter()
    failure: BaseException | None = None
    try:
        response = await behavior(request, context)
        if trailer not in (context.trailing_metadata() or ()):  # the handler has set its own
            context.set_trailing_metadata((*(context.trailing_metadata() or ()), trailer))
        return response
    except BaseException as error:
        failure = error
        raise
    finally:
        leave_sampled_trace(token)
        mark_code(span, final_code(context, failure, time.perf_counter() - start_s), _text(context.details()))
        span.end()


def _text(details: str | bytes | None) -> str | None:
    return details.decode("utf-8", "replace") if isinstance(details, bytes) else details


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _log_fault(method: str, error: Exception) -> None:
    """Log only faults of ours: callers see their own errors, so those cost no log line."""
    known = as_lepton_error(error)
    if known.code in _OUR_FAULT:
        logger.error("%s failed: %s", method, known.message, exc_info=error, extra={"reason": known.reason})
