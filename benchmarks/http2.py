"""Frames of HTTP/2 for load that costs next to nothing: ready-made calls of gRPC out, what matters of answers in."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import hpack

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK, PADDED, PRIORITY = 1, 4, 1, 8, 32
HEAD_BYTES = 9

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LARGEST_WINDOW = 2**31 - 1
_FIRST_WINDOW = 65_535


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def greeting() -> bytes:
    """What a client says first: that it takes anything at any time, in headers that refer to no earlier ones; and that
    it has seen the server's settings, which follow."""
    settings = struct.pack(">HIHI", 1, 0, 4, _LARGEST_WINDOW)
    grow = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW))
    return _PREFACE + frame(SETTINGS, 0, 0, settings) + grow + frame(SETTINGS, ACK, 0)


def call_headers(path: str, *, timeout: str = "") -> bytes:
    """Encoded headers of a gRPC call, the same for every call. `timeout` as in grpc-timeout."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "bench"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    if timeout:
        fields.append(("grpc-timeout", timeout))
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    encoded: bytes = encoder.encode(fields)
    return encoded


def message(payload: bytes) -> bytes:
    """A message as gRPC frames it, not compressed."""
    return b"\0" + struct.pack(">I", len(payload)) + payload


def frames(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """(type, flags, stream, begin, end) of each whole frame in `data`, where begin and end are those of its payload."""
    position = 0
    while len(data) - position >= HEAD_BYTES:
        begin = position + HEAD_BYTES
        end = begin + int.from_bytes(data[position : position + 3], "big")
        if end > len(data):
            return
        stream = int.from_bytes(data[position + 5 : begin], "big") & _LARGEST_WINDOW
        yield data[position + 3], data[position + 4], stream, begin, end
        position = end
