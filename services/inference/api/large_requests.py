"""Reads a PredictRequest whose items are files without copying the files out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from lepton_ai.mesh.wire import fields, tag
from lepton_ai.v1 import common_pb2, inference_pb2
from services.inference.item import Content, Items, ItemView

_ITEMS = tag(inference_pb2.PredictRequest.ITEMS_FIELD_NUMBER)
_LEAST_BYTES = 8 << 10
"""Below this, copying costs less than reading field by field."""
_MOST_ITEMS = 4096
"""More than so many are small each, and protobuf reads them faster: a message has room for millions of empty ones."""


class Request(Protocol):
    """What a PredictRequest holds."""

    @property
    def model(self) -> common_pb2.ModelRef: ...
    @property
    def items(self) -> Items: ...
    @property
    def tensors(self) -> Sequence[common_pb2.Tensor]: ...
    @property
    def request_id(self) -> str: ...
    @property
    def options(self) -> inference_pb2.PredictOptions: ...


class _LargeRequest:
    """A request whose items are views."""

    __slots__ = ("items", "model", "options", "raw", "request_id", "tensors")

    def __init__(self, raw: memoryview, message: inference_pb2.PredictRequest, items: Items) -> None:
        """`message` has all but the items."""
        self.raw = raw
        self.items = items
        self.model = message.model
        self.tensors = message.tensors
        self.request_id = message.request_id
        self.options = message.options


def decode_request(raw: Content) -> Request:
    """The request in these bytes, which it may go on to use. Raises DecodeError for what is none."""
    if len(raw) >= _LEAST_BYTES:
        try:
            return _read(memoryview(raw))
        except ValueError:  # something else than files, or wrong, which protobuf says best
            pass
    return inference_pb2.PredictRequest.FromString(raw)  # type: ignore[arg-type]  # any buffer will do


def message_of(request: Request) -> inference_pb2.PredictRequest:
    """The request as a message, to be sent on."""
    if isinstance(request, _LargeRequest):
        return inference_pb2.PredictRequest.FromString(bytes(request.raw))
    return cast(inference_pb2.PredictRequest, request)


def _read(raw: memoryview) -> Request:
    items: list[ItemView] = []
    others: list[memoryview] = []
    for found, begin, content, end in fields(raw):
        if found == _ITEMS:
            items.append(ItemView.read(raw[content:end]))
            if len(items) > _MOST_ITEMS:
                raise ValueError("too many items to be files")
        else:
            others.append(raw[begin:end])
    return _LargeRequest(raw, inference_pb2.PredictRequest.FromString(b"".join(others)), items)
