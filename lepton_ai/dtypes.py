"""The element types of tensors, by their names in the Open Inference Protocol; without numpy, which takes 15 MB."""

from __future__ import annotations

ELEMENT_BYTES: dict[str, int] = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip
"""Width of one element in bytes. BYTES has none: its elements carry their own length."""
DTYPES: tuple[str, ...] = (*ELEMENT_BYTES, "BYTES")
