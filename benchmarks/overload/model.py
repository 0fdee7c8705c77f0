"""A model of known cost: one instance, every row takes the same time, batches save nothing."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from benchmarks.bare import open_session
from lepton_ai.package import write_package

NAME = "overload"
ENVIRONMENT = {"LEPTON_WIDE_MODEL_BYTES": "0"}
"""Of the services: otherwise a row would take less while all cores have nothing else to do."""
WIDTH = 16
_ROW_S = 0.008
_ELEMENTS = 32_768
_TRIAL_STEPS = 16
_TRIALS = 15


def write(directory: Path) -> Path:
    """A package whose model takes 8 ms a row on one thread of this machine."""
    trial = directory.with_suffix(".onnx")
    trial.write_bytes(_encode(_TRIAL_STEPS))
    steps = max(1, round(_TRIAL_STEPS * _ROW_S / _row_s(trial)))
    trial.unlink()
    description = {
        "format": 1,
        "name": NAME,
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, WIDTH]}],
        "outputs": [{"name": "y", "dtype": "FP32", "shape": [-1, 1]}],
        "max_batch_size": 8,
        "instances": 1,
    }
    write_package(directory, description, {"model.onnx": _encode(steps)})
    return directory


def _encode(steps: int) -> bytes:
    """[n, 16] → [n, 1] by so many steps over many numbers a row."""
    tile = helper.make_tensor("tile", TensorProto.INT64, [2], [1, _ELEMENTS // WIDTH])
    nodes = [helper.make_node("Tile", ["x", "tile"], ["s0"])]
    nodes += [helper.make_node("Erf", [f"s{step}"], [f"s{step + 1}"]) for step in range(steps)]
    nodes.append(helper.make_node("ReduceMean", [f"s{steps}"], ["y"], axes=[1], keepdims=1))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])
    graph = helper.make_graph(nodes, NAME, [given], [made], initializer=[tile])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    encoded: bytes = model.SerializeToString()
    return encoded


def _row_s(model: Path) -> float:
    """The least of several, as the machine may be busy."""
    session, row = open_session(model), np.ones((1, WIDTH), np.float32)
    times_s = []
    for _ in range(_TRIALS):
        begin_s = time.perf_counter()
        session.run(None, {"x": row})
        times_s.append(time.perf_counter() - begin_s)
    return min(times_s)
