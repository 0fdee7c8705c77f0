"""Raw items ↔ the messages of a model whose pipeline runs beside it (`runner/items.py` is the other end)."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

from tritonclient.grpc import service_pb2

from lepton_ai.errors import InternalError, LeptonError
from lepton_ai.mesh.errors import from_status
from lepton_ai.tensors import decode_bytes, proto_dtype
from lepton_ai.v1 import preprocess_pb2
from services.inference.item import Item
from services.inference.rows import NamedTensor, Rows, split
from services.inference.triton.messages import answered_rows
from services.inference.triton.repository import ITEMS, RESULTS


@dataclass(frozen=True, slots=True)
class PartAnswer:
    """What one caller's part of a batch became: its rows of the outputs, or the error of its item."""

    rows: Rows | None
    result: preprocess_pb2.ItemResult | None = None
    """What the pipeline told of a raw item."""

    @property
    def error(self) -> LeptonError:
        """Why there are no rows."""
        return InternalError("The model gave no outputs.") if self.result is None else from_status(self.result.error)


def item_row(item: Item) -> Rows:
    """An item as one row of the input that takes items. Its bytes stay where they are until they are sent."""
    content = cast(bytes, item.SerializeToString())  # a view does as well: it is only copied
    return Rows(1, (NamedTensor(ITEMS, "BYTES", (1,), content, head=struct.pack("<I", len(content))),))


def no_items() -> Rows:
    """The input that takes items, empty: to see whether it is taken."""
    return Rows(0, (NamedTensor(ITEMS, "BYTES", (0,), b""),))


def holds_items(rows: Rows) -> bool:
    """Whether these rows are raw items."""
    return rows.tensors[0].name == ITEMS


def answered_items(
    response: service_pb2.ModelInferResponse, count: int, *, unbatched: Collection[str] = frozenset()
) -> list[PartAnswer]:
    """What became of the items of a batch, in order. Raises InternalError for an answer that does not fit the items."""
    rows = answered_rows(response, count, unbatched=unbatched)
    tensors = {tensor.name: tensor for tensor in rows.tensors}
    told = tensors.pop(RESULTS, None)
    if told is None or told.shape != (count,):
        raise InternalError("The model did not say what became of its items.", reason="NO_ITEM_RESULTS")
    results = [preprocess_pb2.ItemResult.FromString(each) for each in decode_bytes(told.data, expected=count)]
    failed = [result.HasField("error") for result in results]
    stacked = Rows(failed.count(False), tuple(tensors.values()))
    parts = iter(split(stacked, [1] * stacked.count) if tensors else [])
    return [
        PartAnswer(None if has_failed else _row(result, next(parts, None)), result)
        for has_failed, result in zip(failed, results, strict=True)
    ]


def _row(result: preprocess_pb2.ItemResult, stacked: Rows | None) -> Rows:
    """The outputs of an item: its part of the common tensors, or its own where the items of a batch differ in shape."""
    own = tuple(
        NamedTensor(each.name, proto_dtype(each), (1, *each.shape), each.data) for each in result.tensors.tensors
    )
    if stacked is None and not own:
        raise InternalError("The model gave no outputs for an item.", reason="NO_ITEM_RESULTS")
    return Rows(1, own) if stacked is None else stacked
