"""Opens an ONNX model as the serving replicas will: what they could not load is refused when it is pushed."""

from __future__ import annotations

from importlib import util

from lepton_ai.errors import InvalidInput
from lepton_ai.package import Package
from lepton_ai.package.onnx_runtime import advice_for, explain_onnx_runtime

# Opening takes a few times a model's size in memory; larger ones are opened by the replicas first.
_MAX_OPENED_BYTES = 1 << 30
_MAX_SHOWN = 300


def check_opens(package: Package) -> None:
    """Open the model with ONNX Runtime where that is installed, with the options that Lepton's runner uses.

    Raises InvalidInput for what it refuses: versions that are too new, operators that it lacks. Nothing but constants
    is computed.
    """
    model = package.description.model
    size_bytes = sum(package.files[name].size_bytes for name in (model.file, *model.weights))
    if size_bytes > _MAX_OPENED_BYTES or util.find_spec("onnxruntime") is None:
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(str(package.path(model.file)), options, providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as error:  # its classes have no common base but this
        text = str(error)
        if "bad_alloc" in text or "bad allocation" in text or "Failed to allocate" in text:
            raise MemoryError from error
        reason = explain_onnx_runtime(text).replace(str(package.directory), "").strip().split("\n", 1)[0]
        raise InvalidInput.of_field(
            "model.file",
            f"cannot be opened by the serving runtime: {reason[:_MAX_SHOWN]}",
            reason="RUNTIME_REFUSES",
            fix=advice_for(text),
        ) from error
