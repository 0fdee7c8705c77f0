"""Triton's errors, in the words that the real one uses, as errors of Lepton."""

from __future__ import annotations

import grpc
import pytest

from lepton_ai.errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    LeptonError,
    ResourceExhausted,
    Unavailable,
)
from services.inference.triton.errors import error_from, load_error_from, smells_dead

CODE = grpc.StatusCode


def rpc_error(code: grpc.StatusCode, text: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=text)


@pytest.mark.parametrize(
    ("code", "text", "kind", "reason"),
    [
        (CODE.INTERNAL, "Stub process 'm--v1_0_0' is not healthy.", Unavailable, "STUB_DEAD"),
        (CODE.NOT_FOUND, "Request for unknown model: 'm--v1' is not found", Unavailable, "MODEL_NOT_LOADED"),
        (
            CODE.NOT_FOUND,
            "Request for unknown model: 'm--v1' has no available versions",
            Unavailable,
            "MODEL_NOT_LOADED",
        ),
        (CODE.UNAVAILABLE, "failed to connect to all addresses", Unavailable, "TRITON_AWAY"),
        (CODE.UNAVAILABLE, "Stream removed (recvmsg:Connection reset by peer)", Unavailable, "TRITON_AWAY"),
        (CODE.DEADLINE_EXCEEDED, "Deadline Exceeded", DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (CODE.CANCELLED, "", Cancelled, "CANCELLED"),
        (CODE.RESOURCE_EXHAUSTED, "Sent message larger than max", ResourceExhausted, "RESOURCE_EXHAUSTED"),
        (CODE.INVALID_ARGUMENT, "[request id: 7] unexpected shape for input 'x'", InvalidInput, "TRITON_REJECTED"),
        (CODE.INTERNAL, "The model failed on this input: Fail.", InternalError, "MODEL_FAILED"),
        (CODE.UNKNOWN, "", InternalError, "MODEL_FAILED"),
    ],
)
def test_each_kind_is_told_apart(code: grpc.StatusCode, text: str, kind: type[LeptonError], reason: str) -> None:
    error = error_from(rpc_error(code, text))
    assert (type(error), error.reason) == (kind, reason)
    assert smells_dead(error) == (reason in ("STUB_DEAD", "MODEL_NOT_LOADED"))
    assert error.message and "request id" not in error.message


@pytest.mark.parametrize(
    "text",
    [
        "failed to open /srv/models/m--v1/1/model.onnx: no such file",
        "cannot read '/srv/models/m--v1'",
        "TritonModelException: bad\n\nAt:\n  /srv/models/m--v1/1/model.py(39): initialize\n",
    ],
)
def test_paths_and_traces_stay_inside(text: str) -> None:
    for error in (error_from(rpc_error(CODE.INTERNAL, text)), load_error_from(rpc_error(CODE.INVALID_ARGUMENT, text))):
        assert "/srv" not in str(error)
        assert "initialize" not in str(error)


def test_a_failed_load_says_only_what_the_runner_said() -> None:
    text = (
        "load failed for model 'm--v1': version 1 is at UNAVAILABLE state: Internal: TritonModelException: "
        "The onnx model cannot be opened: InvalidProtobuf.\n\nAt:\n  /srv/model.py(39): initialize\n;\n"
    )
    error = load_error_from(rpc_error(CODE.INVALID_ARGUMENT, text))
    assert (error.message, error.reason) == ("The onnx model cannot be opened: InvalidProtobuf.", "LOAD_FAILED")


@pytest.mark.parametrize(
    "said",
    [
        "Internal: TritonModelException: The onnx model cannot be opened: Fail: [ONNXRuntimeError] : 1 : FAIL : ",
        "Internal: onnx runtime error 1: ",
    ],
    ids=["the runner", "Triton's own back end"],
)
def test_a_failed_load_says_what_the_runtime_does_not_take(said: str) -> None:
    reason = "Load model from /srv/m--v1/1/model.onnx failed:/src/model.cc:256 Model::Model(int) Unsupported model IR "
    versions = "version: 14, max supported IR version: 13\n"
    text = f"load failed for model 'm--v1': version 1 is at UNAVAILABLE state: {said}{reason}{versions}"
    error = load_error_from(rpc_error(CODE.INVALID_ARGUMENT, text))
    assert error.message.endswith("it has IR version 14, the serving runtime takes 13 at most")
    assert "/srv" not in error.message


def test_a_load_that_does_not_reach_triton_is_no_fault_of_the_model() -> None:
    assert load_error_from(rpc_error(CODE.UNAVAILABLE, "connection refused")).reason == "TRITON_AWAY"
