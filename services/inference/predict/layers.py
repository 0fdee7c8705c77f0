"""Layers around a call that has found its version, outermost first: the one place for code that wraps all calls."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lepton_ai.mesh.tracing.context import sampled_trace_id
from services.inference.call import Call
from services.inference.predict.arms import code_of, count_answer, count_failure
from services.inference.predict.request import InferenceRequest
from services.inference.predict.result import InferenceResult
from services.inference.predict.runtime import ModelRuntime
from services.inference.routing.routes import Resolved


@dataclass(frozen=True, slots=True)
class RoutedCall:
    """A request together with the version that answers it."""

    request: InferenceRequest
    resolved: Resolved
    runtime: ModelRuntime
    call: Call


Proceed = Callable[[RoutedCall], Awaitable[InferenceResult]]
"""Runs the inner layers and then the call itself."""
Layer = Callable[[Proceed, RoutedCall], Awaitable[InferenceResult]]


async def hold_version(proceed: Proceed, routed: RoutedCall) -> InferenceResult:
    """Keep the version loaded until the call has its answer."""
    with routed.resolved.loaded.in_use():
        return await proceed(routed)


async def bound_time(proceed: Proceed, routed: RoutedCall) -> InferenceResult:
    """End the call at its deadline. Raises DeadlineExceeded then."""
    async with routed.call.bounded():
        return await proceed(routed)


async def counted(proceed: Proceed, routed: RoutedCall) -> InferenceResult:
    """Count the request and the time that it takes. Around all layers, for requests but not for probes."""
    statistics, begun_ns = routed.resolved.loaded.statistics, time.monotonic_ns()
    arm = routed.resolved.arm
    try:
        result = await proceed(routed)
    except BaseException as error:
        statistics.failed(time.monotonic_ns() - begun_ns, code_of(error, routed.call))
        if arm is not None:
            count_failure(arm, error, routed.call)
        raise
    if arm is not None:
        count_answer(arm, result, (time.monotonic_ns() - begun_ns) / 1e9)
    slowest = result.slowest
    statistics.succeeded(
        time.monotonic_ns() - begun_ns,
        preprocess_us=slowest.preprocess_us,
        queue_us=slowest.queue_us,
        infer_us=slowest.compute_us,
        postprocess_us=result.postprocess_us,
        trace_id=sampled_trace_id(),
    )
    return result


LAYERS: Sequence[Layer] = (hold_version, bound_time)


def wrap(innermost: Proceed, layers: Sequence[Layer] = LAYERS) -> Proceed:
    """`innermost` inside all layers."""
    for layer in reversed(layers):
        innermost = partial(layer, innermost)
    return innermost
