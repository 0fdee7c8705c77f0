"""numpy arrays ↔ lepton.v1.Tensor, and the checks that every tensor from outside must pass. Pure functions, no I/O."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from lepton_ai.dtypes import DTYPES, ELEMENT_BYTES
from lepton_ai.errors import InvalidInput
from lepton_ai.v1 import common_pb2 as pb

Array = npt.NDArray[np.generic]

_NUMPY: dict[str, npt.DTypeLike] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_,
}  # fmt: skip
_NAME_BY_NUMPY = {np.dtype(dtype): name for name, dtype in _NUMPY.items()}
NUMBER_OF_DTYPE = {name.removeprefix("DATA_TYPE_"): number for name, number in pb.DataType.items() if number}
"""Of lepton.v1.DataType. Looked up for every tensor, for which protobuf's own names take microseconds."""
_DTYPE_OF_NUMBER = {number: name for name, number in NUMBER_OF_DTYPE.items()}
_MAX_DIMENSIONS = 16


def dtype_name(dtype: npt.DTypeLike) -> str:
    """The Open Inference Protocol name of a numpy dtype. Raises InvalidInput for one that has none."""
    dtype = np.dtype(dtype)
    if dtype.kind in "SUT":
        return "BYTES"
    if dtype not in _NAME_BY_NUMPY:
        raise InvalidInput(f"dtype {dtype} cannot be sent.", fix=f"Use one of {', '.join(DTYPES)}.")
    return _NAME_BY_NUMPY[dtype]


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """The numpy dtype of "FP32" and its like. Raises InvalidInput for unknown names and for BF16, which numpy lacks."""
    if name not in _NUMPY:
        fix = "Send the raw bytes." if name == "BF16" else f"Use one of {', '.join(DTYPES)}."
        raise InvalidInput(f"dtype {name} has no numpy equivalent.", fix=fix)
    return np.dtype(_NUMPY[name])


def checked_text(text: str, field: str) -> str:
    """Return `text` if it can be sent as UTF-8. Raises InvalidInput naming `field` for half a surrogate pair."""
    if not text.isascii():
        _utf8(text, field)
    return text


def encode_bytes(elements: Iterable[object], *, field: str = "tensor") -> bytes:
    """BYTES elements in wire form: a 4-byte little-endian length before each. str is encoded as UTF-8.

    Raises InvalidInput naming `field` for an element that is neither bytes nor a text.
    """
    parts: list[bytes] = []
    for element in elements:
        data = _element_bytes(element, field)
        parts += (struct.pack("<I", len(data)), data)
    return b"".join(parts)


def _element_bytes(element: object, field: str) -> bytes:
    if isinstance(element, str):
        return _utf8(element, field)
    if isinstance(element, bytes | bytearray | memoryview):
        return bytes(element)
    raise InvalidInput.of_field(
        field,
        f"holds {type(element).__name__} among what is neither all numbers nor all texts",
        fix="Give texts or bytes, or an array of numbers of one type.",
    )


def _utf8(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise InvalidInput.of_field(
            field,
            f"holds half a surrogate pair (U+{code:04X} at character {error.start}), which no UTF-8 text can",
            reason="INVALID_TEXT",
            fix=r'Decode it rightly, or replace such characters: text.encode("utf-8", "replace").decode().',
        ) from None


def decode_bytes(data: bytes | memoryview, *, expected: int, field: str = "tensor") -> list[bytes]:
    """Elements of a BYTES tensor in wire form. Raises InvalidInput unless exactly `expected` elements fill it."""
    elements: list[bytes] = []
    offset, view = 0, memoryview(data)
    while offset < len(view) and len(elements) < expected:
        end = offset + 4
        if end > len(view):
            break
        (length,) = struct.unpack_from("<I", view, offset)
        if end + length > len(view):
            break
        elements.append(bytes(view[end : end + length]))
        offset = end + length
    if offset != len(view) or len(elements) != expected:
        raise InvalidInput.of_field(
            field,
            f"BYTES content of {len(view)} bytes does not hold exactly {expected} elements",
            fix="Precede every element by its length as a 4-byte little-endian integer.",
        )
    return elements


def element_count(shape: Sequence[int], *, field: str = "tensor") -> int:
    """Number of elements of a shape. Raises InvalidInput for negative, too many or absurdly large dimensions."""
    if len(shape) > _MAX_DIMENSIONS:
        raise InvalidInput.of_field(field, f"{len(shape)} dimensions; at most {_MAX_DIMENSIONS} are allowed")
    if any(dimension < 0 for dimension in shape):
        raise InvalidInput.of_field(field, f"shape {list(shape)} has a negative dimension")
    count = math.prod(shape)  # Python integers: cannot overflow
    if count > 1 << 40:
        raise InvalidInput.of_field(field, f"shape {list(shape)} has more than 2^40 elements")
    return count


def check_content(dtype: str, shape: Sequence[int], data: bytes | memoryview, *, field: str = "tensor") -> None:
    """Check that `data` is exactly a tensor of this dtype and shape. Raises InvalidInput naming `field`."""
    if dtype not in DTYPES:
        raise InvalidInput.of_field(field, f"unknown dtype {dtype[:32]!r}", fix=f"Use one of {', '.join(DTYPES)}.")
    count = element_count(shape, field=field)
    if dtype == "BYTES":
        decode_bytes(data, expected=count, field=field)
        return
    expected = count * ELEMENT_BYTES[dtype]
    if len(data) != expected:
        raise InvalidInput.of_field(
            field, f"{dtype} {list(shape)} needs {expected} bytes of content, got {len(data)}", reason="CONTENT_LENGTH"
        )


def to_wire(array: npt.ArrayLike, *, field: str = "tensor") -> tuple[str, tuple[int, ...], bytes]:
    """(dtype name, shape, row-major bytes) of an array, or of nested lists.

    Texts and bytes keep what they hold. Raises InvalidInput naming `field` for what makes no tensor.
    """
    values = _as_array(array, field)
    name = dtype_name(values.dtype)
    if name == "BYTES":
        return name, values.shape, encode_bytes(values.ravel().tolist(), field=field)
    return name, values.shape, values.tobytes()


def _as_array(array: npt.ArrayLike, field: str) -> Array:
    """As numpy takes it, but texts and bytes as objects: its own types for them lose zeros at the end."""
    if isinstance(array, np.ndarray):
        return array
    try:
        values = np.asarray(array)
        if values.dtype.kind not in "SU":
            return values
    except UnicodeDecodeError:
        pass  # texts beside bytes that are none
    except ValueError as error:
        raise InvalidInput.of_field(field, "is uneven: its lists differ in length", reason="UNEVEN") from error
    return np.asarray(array, dtype=np.object_)


def from_wire(dtype: str, shape: Sequence[int], data: bytes | memoryview, *, field: str = "tensor") -> Array:
    """A read-only numpy view of wire content (a copy for BYTES). Raises InvalidInput when they do not fit together."""
    check_content(dtype, shape, data, field=field)
    if dtype == "BYTES":
        elements = np.empty(element_count(shape), dtype=np.object_)
        elements[:] = decode_bytes(data, expected=elements.size, field=field)
        return elements.reshape(shape)
    return np.frombuffer(data, dtype=numpy_dtype(dtype)).reshape(shape)


def to_proto(name: str, array: npt.ArrayLike) -> pb.Tensor:
    """An array as a Tensor message with inline data. Raises InvalidInput for what cannot be sent."""
    dtype, shape, data = to_wire(array, field=name or "tensor")
    return pb.Tensor(name=name, dtype=NUMBER_OF_DTYPE[dtype], shape=shape, data=data)


def add_to(tensors: pb.TensorList, name: str, array: npt.ArrayLike) -> None:
    """Add an array to a list of tensors: in place, which spares a large tensor a copy of itself."""
    dtype, shape, data = to_wire(array)
    tensors.tensors.add(name=name, dtype=NUMBER_OF_DTYPE[dtype], shape=shape, data=data)


def add_shared_to(tensors: pb.TensorList, name: str, array: Array, region: pb.SharedMemoryRegion) -> None:
    """Add an array of numbers to a list of tensors of which the content lies in memory already."""
    number = NUMBER_OF_DTYPE[dtype_name(array.dtype)]
    tensors.tensors.add(name=name, dtype=number, shape=array.shape, shared_memory=region)


def proto_dtype(tensor: pb.Tensor) -> str:
    """The dtype's Open Inference Protocol name. Raises InvalidInput when it is unset or unknown."""
    dtype = _DTYPE_OF_NUMBER.get(tensor.dtype)
    if dtype is None:
        raise InvalidInput.of_field(tensor.name or "tensor", "dtype is not set")
    return dtype


def from_proto(tensor: pb.Tensor) -> Array:
    """The array in a Tensor message. Raises InvalidInput when content, dtype and shape do not fit together."""
    if tensor.WhichOneof("content") == "shared_memory":
        raise InvalidInput.of_field(
            tensor.name or "tensor", "is in shared memory", reason="SHARED_MEMORY_UNAVAILABLE", fix="Send `data`."
        )
    return from_wire(proto_dtype(tensor), tensor.shape, tensor.data, field=tensor.name or "tensor")
