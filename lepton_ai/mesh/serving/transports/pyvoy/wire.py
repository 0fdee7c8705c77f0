"""gRPC on HTTP/2: length-prefixed messages, deadlines, metadata and trailers, as bytes and headers.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import grpc

Header = tuple[bytes, bytes]
Metadatum = tuple[str, str | bytes]
Content = bytes | memoryview

CALL_ID = b"x-lepton-call"
"""Header that Envoy adds to each call, to name it when its client leaves."""
PREFIX_BYTES = 5
"""One byte that says whether the message is compressed, and four with its size."""

_LARGE_BYTES = 8 << 10

COMPRESSED = "Compressed messages are not taken. Send them as they are."

_TIMEOUT_UNITS_S = {
    ord("H"): 3600.0,
    ord("M"): 60.0,
    ord("S"): 1.0,
    ord("m"): 1e-3,
    ord("u"): 1e-6,
    ord("n"): 1e-9,
}
_MAX_TIMEOUT_DIGITS = 8
_RESERVED = frozenset(
    {b"host", b"content-type", b"te", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", CALL_ID}
)
"""Headers that are no metadata."""


class Refused(Exception):
    """The bytes of a call break a rule of the transport; no handler sees them."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def read_timeout(value: bytes) -> float:
    """Seconds of a grpc-timeout header. Raises Refused for a value that is none."""
    unit_s = _TIMEOUT_UNITS_S.get(value[-1]) if value else None
    digits = value[:-1]
    if unit_s is None or not digits.isdigit() or len(digits) > _MAX_TIMEOUT_DIGITS:
        raise Refused(grpc.StatusCode.INTERNAL, "The grpc-timeout is not a number of at most 8 digits and a unit.")
    return int(digits) * unit_s


def read_metadata(headers: Iterable[Header]) -> tuple[Metadatum, ...]:
    """The metadata among the headers of a call, binary values decoded. Values that are not base64 are left out."""
    found: list[Metadatum] = []
    for name, value in headers:
        if name in _RESERVED:
            continue
        if name.endswith(b"-bin"):
            key = name.decode()
            found += [(key, raw) for part in value.split(b",") if (raw := _from_base64(part)) is not None]
        else:
            found.append((name.decode(), value.decode("latin-1")))
    return tuple(found)


def write_metadata(metadata: Iterable[Metadatum]) -> list[Header]:
    """Metadata as headers. Raises ValueError for a text value that no header can hold."""
    return [(key.encode(), _header_value(key, value)) for key, value in metadata]


def status_headers(code: int, text: str | bytes, metadata: Sequence[Metadatum]) -> list[Header]:
    """The trailers of a call that ends with this status."""
    headers = [(b"grpc-status", b"%d" % code)]
    if text:
        headers.append((b"grpc-message", quote(text, safe=_MESSAGE_SAFE).encode()))
    if metadata:
        headers += write_metadata(metadata)
    return headers


_MESSAGE_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def frame(message: bytes, max_bytes: int) -> bytes:
    """A message with its prefix. Raises Refused for one that is larger than allowed."""
    size = len(message)
    if size > max_bytes:
        raise Refused(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"The answer of {size} bytes is larger than the limit of {max_bytes}."
        )
    return b"\0" + size.to_bytes(PREFIX_BYTES - 1, "big") + message


def cut(data: bytes, begin: int, end: int) -> Content:
    """A part of what has arrived: a large one is not copied. Whoever decodes it takes both."""
    return data[begin:end] if end - begin < _LARGE_BYTES else memoryview(data)[begin:end]


class MessageReader:
    """Cuts the messages out of a body as it arrives, in chunks of any size. Holds no more than one message too many."""

    __slots__ = ("_data", "_max_bytes", "_more", "_more_bytes", "_need", "_position")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._data = b""
        self._position = 0
        self._more: list[bytes] = []
        self._more_bytes = 0
        self._need = PREFIX_BYTES

    @property
    def empty(self) -> bool:
        """Whether nothing is left over."""
        return self._position == len(self._data) and not self._more

    def feed(self, chunk: bytes) -> None:
        """Add what has arrived."""
        self._more.append(chunk)
        self._more_bytes += len(chunk)

    def take(self) -> Content | None:
        """The next message, None until it is there whole.

        Raises Refused for a compressed or too large one as soon as its prefix is there.
        """
        have = len(self._data) - self._position + self._more_bytes
        if have < self._need:
            return None
        if self._more:
            self._join()
        data, position = self._data, self._position
        if self._need == PREFIX_BYTES:
            self._need += _read_prefix(data, position, self._max_bytes)
            if have < self._need:
                return None
        end = self._position = position + self._need
        self._need = PREFIX_BYTES
        return cut(data, position + PREFIX_BYTES, end)

    def _join(self) -> None:
        rest = self._data[self._position :]
        self._data = b"".join((rest, *self._more)) if rest or len(self._more) > 1 else self._more[0]
        self._position = self._more_bytes = 0
        self._more = []


def _read_prefix(data: bytes, position: int, max_bytes: int) -> int:
    size = int.from_bytes(data[position + 1 : position + PREFIX_BYTES], "big")
    # Refused before it is unpacked: a megabyte of gzip can be a gigabyte of message.
    if data[position]:
        raise Refused(grpc.StatusCode.UNIMPLEMENTED, COMPRESSED)
    if size > max_bytes:
        raise Refused(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"The message of {size} bytes is larger than the limit of {max_bytes}."
        )
    return size


def _from_base64(value: bytes) -> bytes | None:
    value = value.strip()
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return None


def _header_value(key: str, value: str | bytes) -> bytes:
    if key.endswith("-bin"):
        raw = value if isinstance(value, bytes) else value.encode()
        return base64.b64encode(raw).rstrip(b"=")
    text = value if isinstance(value, bytes) else value.encode("ascii", "strict")
    if any(byte < 0x20 or byte > 0x7E for byte in text):
        raise ValueError(f"the value of {key} is not printable ASCII; use a key that ends with -bin")
    return text
