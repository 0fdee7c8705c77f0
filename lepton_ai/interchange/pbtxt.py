"""Protobuf's text form, as Triton's configurations have it."""

from __future__ import annotations

_PRINTABLE = frozenset(range(0x20, 0x7F)) - frozenset(b"\"\\'")
# Triton calls Open Inference's BYTES a string; all the others keep their name.
_TRITON_TYPES = {"BYTES": "TYPE_STRING"}


def quoted(text: str) -> str:
    """A string; everything unusual as octal, so that no name can end the string."""
    return '"' + "".join(chr(byte) if byte in _PRINTABLE else f"\\{byte:03o}" for byte in text.encode()) + '"'


def triton_type(dtype: str) -> str:
    """Triton's name of an Open Inference dtype."""
    return _TRITON_TYPES.get(dtype, f"TYPE_{dtype}")


def parameter(key: str, value: str) -> str:
    """One of a model's parameters."""
    return f"parameters {{ key: {quoted(key)} value {{ string_value: {quoted(value)} }} }}"
