"""Protobuf's wire format, as far as large fields are read, or written, without a message around them that copies them.

https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BITS = 64


class Malformed(ValueError):
    """Bytes that are no message, or one with groups, which proto3 does not have."""


def tag(number: int) -> int:
    """What a field with this number begins with, whose content has a length: bytes, texts, messages, maps."""
    return number << 3 | _LENGTH


def head(number: int, size_bytes: int) -> bytes:
    """What stands before the content of such a field."""
    return _varint(tag(number)) + _varint(size_bytes)


def fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Each field of a message: its tag, where the field begins, where its content begins, and where both end.

    Raises Malformed.
    """
    at, size = 0, len(data)
    while at < size:
        begin = at
        found, at = _read_varint(data, at)
        kind = found & 7
        if kind == _LENGTH:
            length, at = _read_varint(data, at)
            end = at + length
        elif kind == _VARINT:
            end = _read_varint(data, at)[1]
        elif kind in (_FIXED64, _FIXED32):
            end = at + (8 if kind == _FIXED64 else 4)
        else:
            raise Malformed(f"wire type {kind}")
        if end > size:
            raise Malformed("a field ends behind its message")
        yield found, begin, at, end
        at = end


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    try:
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift >= _MAX_VARINT_BITS:
                raise Malformed("a number of more than 64 bits")
    except IndexError:
        raise Malformed("a number ends behind its message") from None


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
