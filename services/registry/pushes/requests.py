"""Reads PushVersionRequests without copying what files hold out of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.wire import fields, tag
from lepton_ai.v1 import registry_pb2

_CHUNK = tag(registry_pb2.PushVersionRequest.CHUNK_FIELD_NUMBER)
_DATA = tag(registry_pb2.FileChunk.DATA_FIELD_NUMBER)
_LEAST_BYTES = 8 << 10
"""Below this, copying costs less than reading field by field."""


@dataclass(frozen=True, slots=True)
class ChunkView:
    """A FileChunk whose data are still in the message that came."""

    sha256: str
    offset: int
    data: memoryview


PushRequest = registry_pb2.PushVersionRequest | ChunkView
Requests = AsyncIterator[PushRequest]


def decode_request(raw: bytes) -> PushRequest:
    """A message, or the chunk in it. Raises DecodeError for what is neither."""
    if len(raw) >= _LEAST_BYTES:
        try:
            return _read(memoryview(raw))
        except ValueError:  # a manifest, or something wrong, which protobuf says best
            pass
    return registry_pb2.PushVersionRequest.FromString(raw)


def chunk_of(request: PushRequest) -> ChunkView | registry_pb2.FileChunk:
    """The chunk of a request behind the first one. Raises InvalidInput."""
    if isinstance(request, ChunkView):
        return request
    if request.WhichOneof("kind") != "chunk":
        raise InvalidInput.of_field("chunk", "must follow the manifest; there is only one manifest")
    return request.chunk


def first_of(request: PushRequest | None) -> registry_pb2.PushVersionRequest:
    """The first request, which must hold the manifest. Raises InvalidInput."""
    if isinstance(request, registry_pb2.PushVersionRequest) and request.WhichOneof("kind") == "manifest":
        return request
    raise InvalidInput.of_field("manifest", "must be the first message")


def _read(raw: memoryview) -> ChunkView:
    """Raises ValueError for anything but one chunk with one field of data."""
    ((field, _, begin, end),) = fields(raw)
    if field != _CHUNK:
        raise ValueError("no chunk")
    chunk = raw[begin:end]
    found = list(fields(chunk))
    ((data_begin, content, data_end),) = [each[1:] for each in found if each[0] == _DATA]
    about = registry_pb2.FileChunk.FromString(bytes(chunk[:data_begin]) + bytes(chunk[data_end:]))
    return ChunkView(about.sha256, about.offset, chunk[content:data_end])
