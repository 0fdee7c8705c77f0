"""What preprocessing made of an item: tensors that came inside the answer, or were copied out of memory beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lepton_ai.tensors import proto_dtype
from lepton_ai.v1 import preprocess_pb2
from services.inference.rows import NamedTensor


@dataclass(frozen=True, slots=True)
class Made:
    """The answer of the preprocess service, with all of its contents at hand."""

    result: preprocess_pb2.ItemResult
    contents: Mapping[int, bytes] = field(default_factory=dict)
    """By place in the result: those that did not come inside it."""

    @property
    def size_bytes(self) -> int:
        """Of everything."""
        return self.result.ByteSize() + sum(map(len, self.contents.values()))

    def tensors(self) -> list[NamedTensor]:
        """Each as a row of a batch."""
        rows = []
        for index, tensor in enumerate(self.result.tensors.tensors):
            content = self.contents.get(index)
            if content is None:
                content = tensor.data
            rows.append(NamedTensor(tensor.name, proto_dtype(tensor), (1, *tensor.shape), content))
        return rows

    def to_proto(self) -> preprocess_pb2.ItemResult:
        """As a message that holds all contents."""
        if not self.contents:
            return self.result
        message = preprocess_pb2.ItemResult()
        message.CopyFrom(self.result)
        for index, content in self.contents.items():
            message.tensors.tensors[index].data = content
        return message
