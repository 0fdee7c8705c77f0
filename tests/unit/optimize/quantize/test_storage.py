"""Weights in fewer bits: smaller files, answers as near as the bits allow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.candidate import Value
from lepton_ai.optimize.measure.cpu import Cpu
from lepton_ai.optimize.measure.engines import open_onnx
from lepton_ai.optimize.methods import FileMethod, Workpiece
from lepton_ai.optimize.quantize import blocks, halves, storage
from lepton_ai.optimize.rows import Rows
from tests.sample_packages import onnx_bytes

WIDTH = 64
ROWS = Rows({"x": np.random.default_rng(0).normal(size=(50, WIDTH)).astype(np.float32)})
PIECE = Workpiece(ROWS, Cpu("some", ("avx2", "avx512_vnni"), 2), 0.005)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    """Two dense layers with a bend between them."""
    generator = np.random.default_rng(1)
    weights = [generator.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 8 for _ in range(2)]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w0"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "w1"], ["y"]),
        ],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])],
        [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "dense.onnx"))
    return tmp_path / "dense.onnx"


@pytest.mark.parametrize(
    ("method", "parameters", "size", "error"),
    [
        (storage.store_halves, {"type": "fp16"}, 0.55, 1e-3),
        (storage.store_halves, {"type": "bf16"}, 0.55, 1e-2),
        (storage.store_bytes, {}, 0.32, 2e-2),
        (halves.compute_in_halves, {}, 0.6, 1e-2),
        (blocks.quantize, {}, 0.25, 0.2),
    ],
    ids=["fp16", "bf16", "int8", "fp16 arithmetic", "int4"],
)
def test_fewer_bits_make_a_smaller_file_with_near_answers(
    dense: Path, tmp_path: Path, method: FileMethod, parameters: Mapping[str, Value], size: float, error: float
) -> None:
    target = tmp_path / "stored.onnx"
    method(dense, target, PIECE, parameters)
    assert target.stat().st_size < size * dense.stat().st_size
    before, after = (open_onnx(path, threads=1)(ROWS.inputs)[0] for path in (dense, target))
    if method is not blocks.quantize:  # whose operator is ONNX Runtime's own
        onnx.checker.check_model(str(target))
    assert after.dtype == np.float32
    assert 0 < np.abs(before - after).max() < error * np.abs(before).max()


@pytest.mark.parametrize("is_turned", [True, False])
def test_dense_layers_with_a_sum_and_turned_weights_are_stored_in_4_bits_too(tmp_path: Path, is_turned: bool) -> None:
    generator = np.random.default_rng(2)
    weight, bias = generator.normal(size=(WIDTH, 32)).astype(np.float32), np.arange(32, dtype=np.float32)
    stored = weight.T.copy() if is_turned else weight
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=int(is_turned))],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 32])],
        [numpy_helper.from_array(stored, "w"), numpy_helper.from_array(bias, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(tmp_path / "a"))
    blocks.quantize(tmp_path / "a", tmp_path / "b", PIECE, {})
    answer = open_onnx(tmp_path / "b", threads=1)(ROWS.inputs)[0]
    wanted = ROWS.inputs["x"].astype(np.float32) @ weight + bias
    assert 0 < np.abs(answer - wanted).max() < 0.2 * np.abs(wanted).max()
    assert (tmp_path / "b").stat().st_size < 0.35 * (tmp_path / "a").stat().st_size


@pytest.mark.parametrize("method", [storage.store_halves, storage.store_bytes, blocks.quantize])
def test_a_model_without_large_weights_is_refused(method: FileMethod, tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(onnx_bytes())
    with pytest.raises(InvalidInput, match="has no"):
        method(tmp_path / "small.onnx", tmp_path / "out.onnx", PIECE, {})


def test_bfloat16_is_rounded_to_the_nearest_even() -> None:
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -2.5], dtype=np.float32)
    upper = storage._bfloat16(values).astype(np.uint32) << 16
    assert upper.view(np.float32).tolist() == [1.0, 1.0, 1 + 2**-6, -2.5]
