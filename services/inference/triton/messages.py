"""Rows ↔ the messages of Triton's ModelInfer, raw contents only."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tritonclient.grpc import service_pb2

from lepton_ai.errors import InternalError
from services.inference.rows import NamedTensor, Rows

NO_OPTIONS: Mapping[str, str] = {}
WIDE = "lepton_wide"
"""Option of our runner: "1" lets a batch use all cores."""
TIMED = "lepton_timed"
"""Option of our runner: "1" tells when each step of a pipeline worked."""


def new_request(triton_name: str, options: Mapping[str, str] = NO_OPTIONS) -> service_pb2.ModelInferRequest:
    """A request without inputs. `options` are for our runner; Triton's own backends pass over them."""
    request = service_pb2.ModelInferRequest(model_name=triton_name)
    for name, value in options.items():
        request.parameters[name].string_param = value
    return request


def infer_request(
    triton_name: str, rows: Rows, options: Mapping[str, str] = NO_OPTIONS
) -> service_pb2.ModelInferRequest:
    """One batch for Triton. Names no outputs: Triton then answers all of them."""
    request = new_request(triton_name, options)
    for tensor in rows.tensors:
        request.inputs.add(name=tensor.name, datatype=tensor.dtype, shape=tensor.shape)
        request.raw_input_contents.append(tensor.head + tensor.data if tensor.head else tensor.data)
    return request


def answered_rows(
    response: service_pb2.ModelInferResponse, count: int, *, unbatched: Collection[str] = frozenset()
) -> Rows:
    """All outputs of a batch of `count` rows. Raises InternalError when Triton's answer is not in raw form.

    `unbatched` are those that the model gives without the batch dimension, for its only row.
    """
    if len(response.outputs) != len(response.raw_output_contents):
        raise InternalError("Triton answered without raw contents.", reason="NO_RAW_CONTENTS")
    return Rows(
        count,
        tuple(
            NamedTensor(output.name, output.datatype, (1,) * (output.name in unbatched) + tuple(output.shape), data)
            for output, data in zip(response.outputs, response.raw_output_contents, strict=True)
        ),
    )
