"""Turns Triton's errors into Lepton's: they say what happened, without Triton's internal names and paths."""

from __future__ import annotations

import re

import grpc

from lepton_ai.errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    LeptonError,
    ResourceExhausted,
    Unavailable,
)
from lepton_ai.package.onnx_runtime import explain_onnx_runtime

TRITON_AWAY = "TRITON_AWAY"
"""Triton does not answer at all."""
MODEL_NOT_LOADED = "MODEL_NOT_LOADED"
"""Triton answers, but does not have this model ready."""
STUB_DEAD = "STUB_DEAD"
"""The process that runs the model is gone though Triton still lists the model as ready."""
MODEL_FAILED = "MODEL_FAILED"
"""The model itself failed on this input."""
LOAD_FAILED = "LOAD_FAILED"
"""Triton could not load the model; the message says why as far as it may be shown."""
TRITON_REJECTED = "TRITON_REJECTED"
"""Triton found the request invalid."""

REGION_LOST = "REGION_LOST"
"""Triton does not know the shared memory that holds the input; it has not begun with the request."""

_RETRY_AFTER_S = 1.0
_DEAD_STUB = re.compile(r"stub process|is not healthy", re.IGNORECASE)
_NOT_LOADED = re.compile(r"unknown model|no available versions|is not ready", re.IGNORECASE)
_REGION_UNKNOWN = re.compile(r"unable to find (system )?shared memory region", re.IGNORECASE)
_REQUEST_ID = re.compile(r"^\[request id: [^\]]*\]\s*")
_ONNX_RUNTIME = re.compile(r"(?:\w+: )?\[ONNXRuntimeError\]|onnx runtime error \d+: ")
_PATH = re.compile(r"(?:^|[\s'\"(=:])/[^\s'\"]+")
_LOAD_PREFIX = re.compile(r"^load failed for model .*? state: \w+: (?:TritonModelException: )?")
_MAX_SHOWN = 500


def error_from(error: grpc.aio.AioRpcError) -> LeptonError:
    """The Lepton error that says the same as an error of Triton's, without its internal names and paths."""
    code, text = error.code(), error.details() or ""
    if _DEAD_STUB.search(text):
        return Unavailable(
            "The process that runs this model has died.",
            reason=STUB_DEAD,
            fix="It is being restarted; try again in a moment.",
            retry_after_s=_RETRY_AFTER_S,
        )
    if _REGION_UNKNOWN.search(text):
        return Unavailable(
            "Triton does not know the shared memory.",
            reason=REGION_LOST,
            fix="Try again.",
            retry_after_s=_RETRY_AFTER_S,
        )
    if _NOT_LOADED.search(text):
        return Unavailable(
            "The model is not loaded.",
            reason=MODEL_NOT_LOADED,
            fix="It is being loaded; try again in a moment.",
            retry_after_s=_RETRY_AFTER_S,
        )
    if code == grpc.StatusCode.UNAVAILABLE:
        return away()
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("The model did not answer in time.", fix="Allow more time or send smaller batches.")
    if code == grpc.StatusCode.CANCELLED:
        return Cancelled("The call was cancelled.")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ResourceExhausted(
            "Triton is over a limit: the message is too large or its queue is full.",
            fix="Send fewer rows in a call, or try again shortly.",
        )
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidInput(_shown(text), reason=TRITON_REJECTED)
    return InternalError(_shown(text), reason=MODEL_FAILED)


def load_error_from(error: grpc.aio.AioRpcError) -> LeptonError:
    """The Lepton error for a load that failed; like `error_from`, but whatever Triton says is about the load."""
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return error_from(error)
    text = _LOAD_PREFIX.sub("", error.details() or "")
    runtime = _ONNX_RUNTIME.search(text)
    if runtime is not None:
        text = f"{text[: runtime.start()]}{explain_onnx_runtime(text[runtime.start() :])}"
    return InternalError(_shown(text), reason=LOAD_FAILED)


def smells_dead(error: BaseException) -> bool:
    """Whether the data plane should report this error to the reconciler, which then probes the model at once."""
    return isinstance(error, LeptonError) and error.reason in (STUB_DEAD, MODEL_NOT_LOADED)


def away() -> Unavailable:
    """What is raised when Triton does not answer at all."""
    return Unavailable(
        "Triton does not answer.",
        reason=TRITON_AWAY,
        fix="It is restarted when it has died; try again in a moment.",
        retry_after_s=_RETRY_AFTER_S,
    )


def _shown(text: str) -> str:
    """What of Triton's text may be shown: its first line, without request ids and file-system paths."""
    line = _REQUEST_ID.sub("", text.strip()).split("\n", 1)[0]
    return _PATH.sub(" …", line)[:_MAX_SHOWN].strip() or "The model failed."
