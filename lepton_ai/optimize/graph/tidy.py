"""An ONNX file as packages may hold it: one file, and no operator sets but those that it uses."""

from __future__ import annotations

from pathlib import Path

import onnx

from lepton_ai.errors import InvalidInput

_MOST_BYTES = 2_000_000_000
"""More a protobuf message cannot hold."""


def tidy(source: Path, target: Path) -> Path:
    """Write `source`, with what it keeps in other files, as one file. Raises InvalidInput for one that is too large.

    Tools declare all operator sets that they know; registries refuse models of unknown ones.
    """
    model = onnx.load(str(source))
    if model.ByteSize() > _MOST_BYTES:
        raise InvalidInput.of_field("model", "is larger than 2 GB, which one ONNX file cannot hold", reason="TOO_LARGE")
    used = {node.domain for graph in graphs_of(model) for node in graph.node} | {"", "ai.onnx"}
    declared = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(declared)
    onnx.save(model, str(target))
    return target


def graphs_of(model: onnx.ModelProto) -> list[onnx.GraphProto | onnx.FunctionProto]:
    """The graph, those inside its nodes, and functions."""
    pending: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    found = []
    while pending:
        graph = pending.pop()
        found.append(graph)
        pending += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return found
