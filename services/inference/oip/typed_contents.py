"""Typed tensor contents of the Open Inference Protocol ↔ raw bytes."""

from __future__ import annotations

import sys
from array import array
from typing import Any

from tritonclient.grpc import service_pb2

from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import decode_bytes, element_count, encode_bytes
from services.inference.rows import NamedTensor

# dtype → (field of InferTensorContents, array typecode). FP16 and BF16 have no typed form: the protocol says raw.
_FORMS: dict[str, tuple[str, str]] = {
    "BOOL": ("bool_contents", "B"),
    "INT8": ("int_contents", "b"),
    "INT16": ("int_contents", "h"),
    "INT32": ("int_contents", "i"),
    "INT64": ("int64_contents", "q"),
    "UINT8": ("uint_contents", "B"),
    "UINT16": ("uint_contents", "H"),
    "UINT32": ("uint_contents", "I"),
    "UINT64": ("uint64_contents", "Q"),
    "FP32": ("fp32_contents", "f"),
    "FP64": ("fp64_contents", "d"),
}
_BYTES_FIELD = "bytes_contents"

Contents = Any
"""service_pb2.InferTensorContents, for which there are no types."""


def has_typed_form(dtype: str) -> bool:
    """Whether tensors of this dtype can be sent as typed contents."""
    return dtype in _FORMS or dtype == "BYTES"


def raw_from_typed(dtype: str, contents: Contents, *, field: str) -> bytes:
    """The raw form of typed contents. Raises InvalidInput when they are of another dtype or out of its range."""
    if not has_typed_form(dtype):
        raise InvalidInput.of_field(
            field, f"{dtype[:32]} has no typed contents", fix="Send it in raw_input_contents.", reason="RAW_ONLY"
        )
    wanted, code = _FORMS.get(dtype, (_BYTES_FIELD, ""))
    strays = [descriptor.name for descriptor, _ in contents.ListFields() if descriptor.name != wanted]
    if strays:
        raise InvalidInput.of_field(
            field, f"{dtype} content is in {strays[0]}", fix=f"Put it into {wanted}.", reason="WRONG_CONTENTS"
        )
    values = getattr(contents, wanted)
    if dtype == "BYTES":
        return encode_bytes(values)
    try:
        return _little_endian(array(code, values)).tobytes()
    except OverflowError:
        raise InvalidInput.of_field(field, f"a value does not fit {dtype}", reason="OUT_OF_RANGE") from None


def typed_from_raw(tensor: NamedTensor) -> Contents:
    """The typed contents of a tensor whose dtype has them."""
    contents = service_pb2.InferTensorContents()
    if tensor.dtype == "BYTES":
        contents.bytes_contents.extend(decode_bytes(tensor.data, expected=element_count(tensor.shape)))
        return contents
    field, code = _FORMS[tensor.dtype]
    values: Any = _little_endian(array(code, tensor.data)).tolist()
    getattr(contents, field).extend(map(bool, values) if tensor.dtype == "BOOL" else values)
    return contents


def _little_endian(values: array[Any]) -> array[Any]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
