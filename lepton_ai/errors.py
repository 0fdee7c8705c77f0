"""The errors of Lepton: what was wrong, in which field, and what to do.

    LeptonError
    ├── InvalidInput          the caller sent something that can never work        INVALID_ARGUMENT
    ├── NotFound              no such model, version, alias, file                  NOT_FOUND
    ├── AlreadyExists         the name is taken by something else                  ALREADY_EXISTS
    ├── FailedPrecondition    right request, wrong state of the platform           FAILED_PRECONDITION
    ├── PermissionDenied      not allowed to this caller                           PERMISSION_DENIED
    ├── Unauthenticated       no valid identity was shown                          UNAUTHENTICATED
    ├── ResourceExhausted     over a limit, or shed under load                     RESOURCE_EXHAUSTED
    ├── Unavailable           cannot be served now, may work soon                  UNAVAILABLE
    ├── DeadlineExceeded      the caller's time ran out                            DEADLINE_EXCEEDED
    ├── Unsupported           valid, but not something this server does            UNIMPLEMENTED
    ├── Cancelled             the caller gave up                                   CANCELLED
    ├── DataLoss              stored bytes are not what they should be             DATA_LOSS
    └── InternalError         a fault of ours                                      INTERNAL

Services raise these; `lepton_ai.mesh.errors` carries them over gRPC and back, so that a client catches the same class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import grpc


@dataclass(frozen=True)
class FieldViolation:
    """One wrong field of a request or document: its path ("items[3].inputs.photo") and what is wrong with it."""

    field: str
    description: str


class LeptonError(Exception):
    """Base of all errors that Lepton raises on purpose."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        fix: str = "",
        fields: tuple[FieldViolation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        """`message` says what is wrong, `fix` what to do; neither may hold payloads, secrets or file-system paths.

        `reason` is a stable UPPER_SNAKE_CASE word for machines; by default it is the name of the gRPC code.
        """
        super().__init__(message)
        self.message = message
        self.reason = reason or self.code.name
        self.fix = fix
        self.fields = fields
        self.retry_after_s = retry_after_s
        self.trace_id = ""
        """Of the call that failed, when it was traced: `lepton trace ID` shows it."""
        self.retried = False
        """Whether somebody nearer to the failure has tried again already, as far as the retry budget allowed: nobody
        else should, or retries multiply from hop to hop."""

    def __str__(self) -> str:
        if not self.fix:
            return self.message
        stop = "" if self.message.endswith((".", "!", "?", ":", "。")) else "."
        return f"{self.message}{stop} {self.fix}"


class InvalidInput(LeptonError):
    """The request, file or document can never work as it is."""

    code = grpc.StatusCode.INVALID_ARGUMENT

    @classmethod
    def of_field(cls, field: str, description: str, *, fix: str = "", reason: str | None = None) -> InvalidInput:
        """An error about a single field, which most are."""
        violation = FieldViolation(field, description)
        return cls(f"{field}: {description}", fix=fix, reason=reason, fields=(violation,))


class NotFound(LeptonError):
    """The model, version, alias or file that was named does not exist."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(LeptonError):
    """The name is taken by something different."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(LeptonError):
    """The request is right but the platform is in a state in which it cannot be done."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class PermissionDenied(LeptonError):
    """The caller is known and not allowed to do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class Unauthenticated(LeptonError):
    """The caller showed no valid identity."""

    code = grpc.StatusCode.UNAUTHENTICATED


class ResourceExhausted(LeptonError):
    """Over a limit, or refused because there is too much to do."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(LeptonError):
    """Cannot be served right now; the same call may work later."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(LeptonError):
    """The time that the caller gave ran out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unsupported(LeptonError):
    """A valid request for something that this server does not do."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Cancelled(LeptonError):
    """The caller gave up before the answer was ready."""

    code = grpc.StatusCode.CANCELLED


class DataLoss(LeptonError):
    """Stored bytes are missing or differ from their hash."""

    code = grpc.StatusCode.DATA_LOSS


class InternalError(LeptonError):
    """A fault of Lepton or of a part it runs; the details are in the server's log under the trace id."""

    code = grpc.StatusCode.INTERNAL


ERROR_BY_CODE: dict[grpc.StatusCode, type[LeptonError]] = {
    error.code: error
    for error in (
        InvalidInput, NotFound, AlreadyExists, FailedPrecondition, PermissionDenied, Unauthenticated,
        ResourceExhausted, Unavailable, DeadlineExceeded, Unsupported, Cancelled, DataLoss, InternalError,
    )
}  # fmt: skip
