"""Raw items: messages, or views of the bytes in which they came, so that a photo is not copied to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self

from lepton_ai.mesh.wire import Malformed, fields, tag
from lepton_ai.v1 import common_pb2

Content = bytes | memoryview

_ID, _INPUTS = tag(common_pb2.Item.ID_FIELD_NUMBER), tag(common_pb2.Item.INPUTS_FIELD_NUMBER)
_KEY, _VALUE = tag(1), tag(2)
"""Of an entry of a map."""
_DATA = tag(common_pb2.Value.DATA_FIELD_NUMBER)


class Value(Protocol):
    """As much of a common_pb2.Value as is needed without its pipeline."""

    @property
    def data(self) -> Content: ...
    def WhichOneof(self, oneof_group: Literal["kind"], /) -> str | None: ...  # noqa: N802 - protobuf's name
    def SerializeToString(self, *, deterministic: bool = ...) -> Content: ...  # noqa: N802


class Item(Protocol):
    """As much of a common_pb2.Item."""

    @property
    def id(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...
    def ByteSize(self) -> int: ...  # noqa: N802
    def SerializeToString(self) -> Content: ...  # noqa: N802


Items = Sequence[Item]


class FileView:
    """A file in an `ItemView`."""

    __slots__ = ("data",)

    def __init__(self, data: memoryview) -> None:
        self.data = data

    def WhichOneof(self, _: str) -> str:  # noqa: N802
        """It is always a file."""
        return "data"


class ItemView:
    """An item of files, where it lies in the message that brought it."""

    __slots__ = ("_content", "id", "inputs")

    def __init__(self, content: memoryview, item_id: str, inputs: Mapping[str, FileView]) -> None:
        """Use `read`."""
        self._content = content
        self.id = item_id
        self.inputs = inputs

    @classmethod
    def read(cls, content: memoryview) -> Self:
        """Raises ValueError for what is no item, and for one that holds anything but files."""
        item_id = ""
        inputs: dict[str, FileView] = {}
        for found, _, begin, end in fields(content):
            if found == _INPUTS:
                name, value = _read_entry(content[begin:end])
                inputs[name] = value
            elif found == _ID:
                item_id = str(content[begin:end], "utf-8")
            else:
                raise Malformed("not a field of an item")
        return cls(content, item_id, inputs)

    def ByteSize(self) -> int:  # noqa: N802
        """Its length as a message."""
        return len(self._content)

    def SerializeToString(self) -> memoryview:  # noqa: N802
        """Its bytes, uncopied."""
        return self._content


def _read_entry(entry: memoryview) -> tuple[str, FileView]:
    """An entry of the map of inputs, as everybody writes it: name, then value."""
    parts = list(fields(entry))
    if [found for found, *_ in parts] != [_KEY, _VALUE]:
        raise Malformed("not the usual entry of a map")
    (_, _, begin, end), (_, _, value_begin, value_end) = parts
    value = entry[value_begin:value_end]
    inside = list(fields(value))
    if len(inside) != 1 or inside[0][0] != _DATA:
        raise Malformed("not a file")
    return str(entry[begin:end], "utf-8"), FileView(value[inside[0][2] : inside[0][3]])
