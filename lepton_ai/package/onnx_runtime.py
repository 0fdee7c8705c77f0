"""What ONNX Runtime says when it cannot open a model, in words that tell what to do about it.

The registry says it when a package is pushed, the inference service when Triton has tried to load one.
"""

from __future__ import annotations

import re

_OPSET = re.compile(r"Opset (\d+) is under development.*domain (\S+) is till opset (\d+)", re.DOTALL)
_IR_VERSION = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")
_NOT_IMPLEMENTED = re.compile(r"Could not find an implementation for (\S+?)\((\d+)\) node with name '([^']*)'")
_NO_SUCH_OPERATOR = re.compile(r"Fatal error: (\S+?)\(-?\d+\) is not a registered function/op")
# "[ONNXRuntimeError] : 1 : FAIL : Load model from /a/model.onnx failed:/src/file.h:46 void Function(arguments) Text"
_PREFIX = re.compile(r"^.*?\[ONNXRuntimeError\] : \d+ : \w+ : ", re.DOTALL)
_FILE = re.compile(r"Load model from .*? failed:")
_SOURCE = re.compile(r"^\s*/\S+:\d+ .*?\) (?=[A-Z])", re.DOTALL)


def explain_onnx_runtime(text: str) -> str:
    """Why ONNX Runtime refuses a model, as the end of a sentence about the model; other texts as they are."""
    if found := _OPSET.search(text):
        opset, domain, most = found.groups()
        return f"it has opset {opset} of {domain}, the serving runtime takes {most} at most"
    if found := _IR_VERSION.search(text):
        return f"it has IR version {found[1]}, the serving runtime takes {found[2]} at most"
    if found := _NOT_IMPLEMENTED.search(text):
        node = f" (node {found[3]!r})" if found[3] else ""
        return f"the serving runtime does not implement operator {found[1]} for the type of its inputs{node}"
    if found := _NO_SUCH_OPERATOR.search(text):
        return f"the serving runtime has no operator {found[1]}"
    return _SOURCE.sub("", _FILE.sub("", _PREFIX.sub("", text)))


def advice_for(text: str) -> str:
    """What to do about such a refusal."""
    if _OPSET.search(text) or _IR_VERSION.search(text):
        return "Export it again with a version that is not larger."
    if _NOT_IMPLEMENTED.search(text):
        return "Cast to FP32, or to another type that the operator is implemented for, and back."
    return "Export it in another way."
