"""What a failed call says: about the replica it was made to, and about making it again.

RESOURCE_EXHAUSTED with a retry delay: shed, the replica is well but has too much to do. UNAVAILABLE with one: it lives,
but is not ready. UNAVAILABLE without: it is gone or broken.
"""

from __future__ import annotations

import grpc

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.calling.balancer import Outcome
from lepton_ai.mesh.errors import as_lepton_error

_OUTCOMES: dict[grpc.StatusCode, Outcome] = {
    grpc.StatusCode.UNAVAILABLE: Outcome.FAILED,
    grpc.StatusCode.INTERNAL: Outcome.FAILED,
    grpc.StatusCode.UNKNOWN: Outcome.FAILED,
    grpc.StatusCode.DATA_LOSS: Outcome.FAILED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Outcome.REFUSED,
    grpc.StatusCode.DEADLINE_EXCEEDED: Outcome.TIMED_OUT,
    grpc.StatusCode.CANCELLED: Outcome.ABANDONED,
}


def outcome_of(error: BaseException) -> Outcome:
    """What a failed call says about the replica that it was made to."""
    if isinstance(error, (grpc.aio.AioRpcError, LeptonError)):
        known = as_lepton_error(error)
        code = error.code() if isinstance(error, grpc.aio.AioRpcError) else known.code
        if code is grpc.StatusCode.UNAVAILABLE and known.retry_after_s is not None:
            return Outcome.REFUSED  # it says itself when to come back, so it lives
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and known.retry_after_s is None:
            return Outcome.ANSWERED  # a limit that this call will meet everywhere, such as that on its size
        return _OUTCOMES.get(code, Outcome.ANSWERED)
    return Outcome.ABANDONED


def may_retry(error: grpc.aio.AioRpcError | LeptonError, known: LeptonError, *, idempotent: bool) -> bool:
    """Whether a call that ended like this may be made again; `known` is what the error is translated."""
    if known.retried:
        return False
    if known.code is grpc.StatusCode.UNAVAILABLE:
        return idempotent or known.retry_after_s is not None or _never_sent(error)
    # Without a retry delay it is a limit that the call will meet everywhere, such as that on its size.
    return known.code is grpc.StatusCode.RESOURCE_EXHAUSTED and known.retry_after_s is not None


def given_up(error: grpc.aio.AioRpcError | LeptonError) -> LeptonError:
    """The error to raise, marked so that callers further up do not retry what has been retried here."""
    known = as_lepton_error(error)
    known.retried = known.retried or (may_retry(error, known, idempotent=True) and not _never_sent(error))
    return known


def _never_sent(error: grpc.aio.AioRpcError | LeptonError) -> bool:
    """Whether there was no connection to begin with, so that the server cannot have seen the call."""
    # The text that gRPC core's pick_first gives when it can connect to no address. The code alone does not tell: it is
    # the same when a connection breaks while the server works.
    return isinstance(error, grpc.aio.AioRpcError) and (error.details() or "").startswith("failed to connect to all")
