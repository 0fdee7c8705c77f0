"""Counts what becomes of calls, by arm of a rollout."""

from __future__ import annotations

import asyncio

from lepton_ai.counts import ArmCounts
from lepton_ai.errors import LeptonError
from services.inference.call import Call
from services.inference.predict.result import InferenceResult


def count_answer(arm: ArmCounts, result: InferenceResult, seconds: float) -> None:
    """A call that was answered. Of several items in a call, the first error makes it a failed one."""
    error = next((outcome.error for outcome in result.outcomes if outcome.error is not None), None)
    if error is not None:
        count_failure(arm, error)
        return
    arm.answers += 1
    arm.latency_s.add(seconds)
    for answered in result.answers:
        if labels := answered.labels:
            arm.labels.add(labels[0].name)
            arm.scores.add(labels[0].score)


def count_failure(arm: ArmCounts, error: BaseException, call: Call | None = None) -> None:
    """A call that failed, or whose caller left."""
    arm.answers += 1
    arm.errors[code_of(error, call)] += 1


def code_of(error: BaseException, call: Call | None = None) -> str:
    """The name of the gRPC code that callers see; what nobody foresaw is an internal error."""
    if isinstance(error, LeptonError):
        return error.code.name
    if not isinstance(error, asyncio.CancelledError):
        return "INTERNAL"
    return "DEADLINE_EXCEEDED" if call is not None and call.is_out_of_time else "CANCELLED"
