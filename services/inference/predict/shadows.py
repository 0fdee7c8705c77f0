"""Copies of calls to a version that answers nobody yet: made when the caller has its answer, compared, and dropped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from lepton_ai.counts import ArmCounts
from lepton_ai.errors import LeptonError, ResourceExhausted
from lepton_ai.mesh.tracing.context import context_of, undecided
from services.inference.call import Call, Priority
from services.inference.predict.arms import count_answer, count_failure
from services.inference.predict.distances import row_distances
from services.inference.predict.layers import Proceed, RoutedCall
from services.inference.predict.request import Inputs
from services.inference.predict.result import InferenceResult
from services.inference.predict.runtime import Runtimes
from services.inference.routing.routes import Resolved, Shadow

_TIMEOUT_S = 10.0
_MOST_COPIES = 64
_MOST_BYTES = 64 << 20
_BUSY = 0.5
"""Part of what may be on its way at once from which on callers need the machine for themselves."""
_INLINE_BYTES = 1 << 18
"""Outputs up to this size are compared where the loop runs."""
_log = logging.getLogger(__name__)


Disagreed = Callable[[Call, Mapping[int, str]], None]
"""Is told of a call the rows that the shadow answered otherwise, and how it labelled them."""


class Shadows:
    """Bounded in number and bytes, with the lowest priority; where there is no room, a call is not copied."""

    def __init__(self, answer: Proceed, runtimes: Runtimes, disagreed: Disagreed | None = None) -> None:
        """`disagreed` hears of answers with another label."""
        self._answer = answer
        self._disagreed = disagreed
        self._runtimes = runtimes
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._untraced = context_of(undecided())

    def copy(self, routed: RoutedCall, shadow: Shadow, returned: InferenceResult) -> None:
        """Have the shadow answer a call, too, that was answered just now. Returns at once."""
        if len(self._tasks) >= _MOST_COPIES or self._runtimes.fullness > _BUSY:
            return
        seconds = time.monotonic() - routed.call.arrived_at
        task = asyncio.get_running_loop().create_task(self._follow(routed, shadow, returned, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, routed: RoutedCall, shadow: Shadow, returned: InferenceResult, seconds: float) -> None:
        arm = shadow.trial.candidate
        begun_s = time.monotonic()
        try:
            result = await self._ask(routed, shadow)
        except ResourceExhausted:
            return  # there was no room for it: nothing that the version is to blame for
        except LeptonError as error:
            count_failure(arm, error)
        except Exception as error:  # noqa: BLE001 - counted like any other of its failures, as a caller would see it
            _log.error("a copy of a call failed", exc_info=error, extra={"model": shadow.loaded.model})
            count_failure(arm, error)
        else:
            count_answer(arm, result, time.monotonic() - begun_s)
            await _compare(arm, returned, result)
            others = _other_labels(returned, result)
            if self._disagreed is not None and others:
                self._disagreed(routed.call, others)
        count_answer(shadow.trial.baseline, returned, seconds)

    async def _ask(self, routed: RoutedCall, shadow: Shadow) -> InferenceResult:
        runtime = self._runtimes.of(shadow.loaded)
        inputs = routed.request.read(runtime)
        size_bytes = _size_bytes(inputs)
        if self._bytes + size_bytes > _MOST_BYTES:
            raise ResourceExhausted("Copies of calls take all the room that they may.", reason="NO_ROOM_FOR_COPIES")
        request = replace(routed.request, read=lambda _: inputs, may_cache=False)
        call = Call.arrive(
            timeout_s=_TIMEOUT_S, context=self._untraced, priority=Priority.BULK, caller=routed.call.caller
        )
        self._bytes += size_bytes
        try:
            return await self._answer(RoutedCall(request, Resolved(shadow.loaded, alias=""), runtime, call))
        finally:
            self._bytes -= size_bytes


def _size_bytes(inputs: Inputs) -> int:
    items = sum(item.ByteSize() for item in inputs.items)
    return items + sum(tensor.size_bytes for tensor in inputs.tensors)


async def _compare(arm: ArmCounts, returned: InferenceResult, other: InferenceResult) -> None:
    """Count how far both answers are from one another, row by row."""
    size_bytes = sum(rows.size_bytes for rows in returned.parts)
    if size_bytes <= _INLINE_BYTES:
        arm.distances.extend(_distances(returned, other))
    else:
        arm.distances.extend(await asyncio.to_thread(lambda: list(_distances(returned, other))))
    for ours, theirs in zip(returned.answers, other.answers, strict=False):
        if ours.labels or theirs.labels:
            names = {labels[0].name if labels else "" for labels in (ours.labels, theirs.labels)}
            arm.compared += 1
            arm.disagreeing += len(names) > 1


def _other_labels(returned: InferenceResult, other: InferenceResult) -> dict[int, str]:
    """Number of a row → the other answer's best label, where it is another one."""
    pairs = zip(returned.answered_rows(), other.answers, strict=False)
    return {
        index: theirs.labels[0].name
        for (index, ours), theirs in pairs
        if ours.labels and theirs.labels and ours.labels[0].name != theirs.labels[0].name
    }


def _distances(returned: InferenceResult, other: InferenceResult) -> Iterator[float]:
    for ours, theirs in zip(returned.outcomes, other.outcomes, strict=False):
        if ours.rows is not None and theirs.rows is not None:
            yield from row_distances(ours.rows, theirs.rows)
