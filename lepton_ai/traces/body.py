"""The body of an export as it arrives: unpacked, and never larger than an export may be."""

from __future__ import annotations

import zlib

from lepton_ai.errors import InvalidInput, ResourceExhausted, Unsupported

ENCODINGS = ("identity", "gzip", "deflate")
_GZIP_OR_ZLIB = 47
"""zlib's window bits for "either header"."""


class Body:
    """`add` what arrives, then take the `whole`. Holds at most a byte more than allowed, however well it was packed."""

    def __init__(self, encoding: str, *, max_bytes: int) -> None:
        """`encoding` is HTTP's Content-Encoding. Raises Unsupported."""
        if encoding not in ENCODINGS:
            raise Unsupported("Content-Encoding must be gzip, deflate or identity.")
        self._inflate = None if encoding == "identity" else zlib.decompressobj(_GZIP_OR_ZLIB)
        self._max_bytes = max_bytes
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next part. Raises ResourceExhausted when it is too much, InvalidInput for what is not packed."""
        # One byte more than there is room for is enough to see that it is too much.
        room = self._max_bytes - len(self._bytes) + 1
        self._bytes += chunk[:room] if self._inflate is None else _unpacked(self._inflate, chunk, room)
        if len(self._bytes) > self._max_bytes:
            self._bytes.clear()
            raise ResourceExhausted(f"An export may have at most {self._max_bytes} bytes, unpacked.")

    def whole(self) -> bytes:
        """Everything that was added. Raises InvalidInput when a packed body is not complete."""
        if self._inflate is not None and not self._inflate.eof:
            raise InvalidInput("The compressed body ends too early.")
        return bytes(self._bytes)


def _unpacked(inflate: zlib._Decompress, chunk: bytes, room: int) -> bytes:
    try:
        return inflate.decompress(chunk, room)
    except zlib.error as error:
        raise InvalidInput("The body is not compressed as it is said to be.") from error
