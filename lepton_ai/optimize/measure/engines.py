"""Opens a model file in the runtime that serves it, with a number of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lepton_ai.tensors import Array

Run = Callable[[Mapping[str, Array]], Sequence[Any]]
"""From arrays by the name of their input to arrays in the order of the model's outputs."""


def open_onnx(path: Path, *, threads: int, outputs: Sequence[str] = ()) -> Run:
    """ONNX Runtime with the settings of the inference service; without `outputs` it answers all, in its order.

    Raises whatever it raises.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = list(outputs) or [output.name for output in session.get_outputs()]
    return lambda feeds: session.run(names, dict(feeds))


def serving_engine() -> str:
    """The runtime that serves ONNX, with its version."""
    return f"onnxruntime {version('onnxruntime')}"
