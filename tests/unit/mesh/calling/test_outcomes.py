"""What a failed call says: shed is told from gone, and a limit of the caller's from both."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from lepton_ai.errors import DeadlineExceeded, InternalError, InvalidInput, LeptonError, ResourceExhausted, Unavailable
from lepton_ai.mesh.calling.balancer import Outcome
from lepton_ai.mesh.calling.outcomes import given_up, may_retry, outcome_of

SHED = ResourceExhausted("Too much to do.", retry_after_s=0.1)
TOO_LARGE = ResourceExhausted("At most 64 rows.")
LOADING = Unavailable("Not ready yet.", retry_after_s=1.0)
GONE = Unavailable("Gone.")
NOT_CONNECTED = grpc.aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE,
    grpc.aio.Metadata(),
    grpc.aio.Metadata(),
    details="failed to connect to all addresses; last error: refused",
)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (SHED, Outcome.REFUSED),
        (LOADING, Outcome.REFUSED),
        (GONE, Outcome.FAILED),
        (InternalError("A bug."), Outcome.FAILED),
        (TOO_LARGE, Outcome.ANSWERED),
        (InvalidInput("No."), Outcome.ANSWERED),
        (DeadlineExceeded("Late."), Outcome.TIMED_OUT),
        (asyncio.CancelledError(), Outcome.ABANDONED),
    ],
)
def test_what_an_error_says_about_the_replica(error: BaseException, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


@pytest.mark.parametrize(
    ("error", "if_idempotent", "otherwise"),
    [(SHED, True, True), (LOADING, True, True), (GONE, True, False), (TOO_LARGE, False, False)],
)
def test_what_may_be_tried_again(error: LeptonError, if_idempotent: bool, otherwise: bool) -> None:
    assert may_retry(error, error, idempotent=True) is if_idempotent
    assert may_retry(error, error, idempotent=False) is otherwise


def test_what_was_given_up_is_not_tried_again_by_anybody() -> None:
    error = given_up(Unavailable("Gone."))
    assert error.retried
    assert not may_retry(error, error, idempotent=True)


@pytest.mark.parametrize("error", [TOO_LARGE, InvalidInput("No."), NOT_CONNECTED])
def test_what_no_server_failed_at_is_not_called_retried(error: grpc.aio.AioRpcError | LeptonError) -> None:
    assert not given_up(error).retried
