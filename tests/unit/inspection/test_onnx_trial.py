"""Models that are valid, and that the ONNX Runtime which serves them cannot open."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection import onnx_trial
from lepton_ai.inspection.onnx_trial import check_opens
from lepton_ai.inspection.signature import check_dtypes
from tests.sample_packages import onnx_bytes, onnx_model, onnx_package

pytest.importorskip("onnxruntime")


def changed(**changes: Any) -> bytes:
    model = onnx_model()
    if "opset" in changes:
        model.opset_import[0].version = changes["opset"]
    model.ir_version = changes.get("ir_version", model.ir_version)
    return model.SerializeToString()


def rectified(elem_type: int) -> bytes:
    values = [helper.make_tensor_value_info(name, elem_type, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", values[:1], values[1:])
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()


def test_what_the_runtime_opens_is_accepted(tmp_path: Path) -> None:
    check_opens(onnx_package(tmp_path / "p"))
    check_opens(onnx_package(tmp_path / "relu", model=rectified(TensorProto.FLOAT)))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (changed(opset=onnx.defs.onnx_opset_version() + 40), r"it has opset \d+ of ai.onnx, .* takes \d+ at most"),
        (changed(ir_version=99), r"it has IR version 99, .* takes \d+ at most"),
        (rectified(TensorProto.INT16), "does not implement operator Relu for the type of its inputs"),
    ],
    ids=["opset", "IR version", "operator for a type"],
)
def test_what_the_runtime_refuses_is_refused_with_its_reason(tmp_path: Path, model: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        check_opens(onnx_package(tmp_path / "p", model=model))
    assert (caught.value.fields[0].field, caught.value.reason) == ("model.file", "RUNTIME_REFUSES")
    assert caught.value.fix
    assert str(tmp_path) not in str(caught.value)


def test_without_the_runtime_and_for_very_large_models_the_replicas_find_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = onnx_package(tmp_path / "p", model=changed(ir_version=99))
    with monkeypatch.context() as patch:
        patch.setattr(onnx_trial, "_MAX_OPENED_BYTES", 10)
        check_opens(package)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_opens(package)


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_tensors_that_the_replicas_cannot_hand_over_are_refused(tmp_path: Path, kind: str) -> None:
    tensors = [{"name": "x" if kind == "inputs" else "y", "dtype": "BF16", "shape": [-1, 4]}]
    changes: dict[str, Any] = {kind: tensors}
    described = onnx_package(tmp_path / "p", model=onnx_bytes(), **changes).description
    torch = described.model_copy(update={"model": described.model.model_copy(update={"format": "torch_export"})})
    for description, backend in ((described, "python"), (torch, "python"), (torch, "native")):
        with pytest.raises(InvalidInput, match=rf"{kind}\[0\]\.dtype: .* is BF16.*FP32 or FP16") as caught:
            check_dtypes(description, triton_backend=backend)  # type: ignore[arg-type]
        assert caught.value.reason == "UNSUPPORTED_DTYPE"
    check_dtypes(described, triton_backend="native")
