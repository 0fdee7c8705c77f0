"""The header of safetensors files, read without trusting it: eight bytes of length, JSON, then the tensors' bytes.

The format is described in huggingface/safetensors, README ("Format"): no duplicate keys, tensors that fill the buffer
without holes and do not overlap, a header of at most 100 MB. Here it is 16 MiB.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lepton_ai.errors import InvalidInput

_MAX_HEADER_BYTES = 16 << 20
_WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: a length, and a JSON object."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] <= path.stat().st_size


def read_safetensors_metadata(path: Path) -> dict[str, str]:
    """The texts that a file says of itself. Raises InvalidInput for a header that is not sound."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise _unsound(f"says that it has a header of {length} bytes")
        header = _object(file.read(length))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _unsound("has metadata that are not texts")
    _check_tensors(header, size - 8 - length)
    return metadata


def _object(data: bytes) -> dict[str, Any]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise _unsound("names something twice")
        return members

    try:
        header = json.loads(data, object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:
        raise _unsound("has a header that is not JSON") from error
    if not isinstance(header, dict):
        raise _unsound("has a header that is not an object")
    return header


def _check_tensors(tensors: dict[str, Any], buffer_bytes: int) -> None:
    end = 0
    for begin, stop, needed in sorted(_extent(name, tensor) for name, tensor in tensors.items()):
        if begin != end or stop - begin != needed:
            raise _unsound("has tensors that overlap, leave holes, or are not as long as they say")
        end = stop
    if end != buffer_bytes:
        raise _unsound("has more or fewer bytes than its tensors")


def _extent(name: str, tensor: Any) -> tuple[int, int, int]:
    """(first byte, byte after the last, bytes that dtype and shape take)."""
    try:
        begin, stop = tensor["data_offsets"]
        needed = _WIDTHS[tensor["dtype"]] * _product(tensor["shape"])
        if not all(type(number) is int and 0 <= number < 1 << 62 for number in (begin, stop, needed)):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise _unsound(f"describes tensor {name[:64]!r} in an unknown way") from error
    return begin, stop, needed


def _product(shape: Iterable[Any]) -> int:
    product = 1
    for size in shape:
        if type(size) is not int or not 0 <= size < 1 << 48 or product > 1 << 62:
            raise ValueError
        product *= size
    return product


def _unsound(problem: str) -> InvalidInput:
    return InvalidInput(f"The safetensors file {problem}.", reason="INVALID_MODEL", fix="Save it again.")
