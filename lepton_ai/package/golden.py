"""Golden samples as requests that can be sent and answers that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from lepton_ai.dtypes import DTYPES
from lepton_ai.errors import InvalidInput
from lepton_ai.package.description import Description, ExpectedBox, Golden, TensorSpec
from lepton_ai.tensors import encode_bytes, numpy_dtype, to_proto
from lepton_ai.v1 import common_pb2

_FREE_DTYPES = tuple(dtype for dtype in DTYPES if dtype not in ("BF16", "BYTES"))
_INLINE_TEXT_KINDS = {"text", "category", "number"}


@dataclass(frozen=True)
class ExpectedTensor:
    """Values that an output must have for this item (no batch dimension), within an absolute tolerance."""

    values: npt.NDArray[np.generic]
    tolerance: float


@dataclass(frozen=True)
class GoldenItem:
    """One golden sample: what to send and what must come back."""

    item: common_pb2.Item
    label: str | None
    top_k: int
    outputs: Mapping[str, ExpectedTensor]
    text: str | None = None
    boxes: Sequence[ExpectedBox] = ()


def build_golden(description: Description, read: Callable[[str, str], bytes]) -> list[GoldenItem]:
    """All golden samples; `read(path, field)` gives the content of a package file. Raises InvalidInput."""
    return [
        _build_sample(description, sample, f"golden[{index}]", read) for index, sample in enumerate(description.golden)
    ]


def _build_sample(
    description: Description, sample: Golden, field: str, read: Callable[[str, str], bytes]
) -> GoldenItem:
    inputs = {spec.name: spec for spec in description.inputs}
    item = common_pb2.Item(id=field)
    for name, value in sample.inputs.items():
        item.inputs[name].CopyFrom(
            _value(
                value,
                f"{field}.inputs.{name}",
                kind=description.input_kind(name),
                spec=inputs.get(name),
                piped=description.preprocess is not None,
                read=read,
            )
        )
    outputs = {spec.name: spec for spec in description.outputs}
    expected = {
        name: ExpectedTensor(_array(tensor.values, outputs[name], f"{field}.expect.outputs.{name}"), tensor.tolerance)
        for name, tensor in sample.expect.outputs.items()
    }
    expect = sample.expect
    return GoldenItem(
        item=item, label=expect.label, top_k=expect.top_k, outputs=expected, text=expect.text, boxes=expect.boxes
    )


def _value(
    value: JsonValue, field: str, *, kind: str, spec: TensorSpec | None, piped: bool, read: Callable[[str, str], bytes]
) -> common_pb2.Value:
    if isinstance(value, str) and kind not in _INLINE_TEXT_KINDS | {"tensor"}:
        value = {"file": value}
    if isinstance(value, dict):
        return _structured(value, field, spec=spec, piped=piped, read=read)
    if isinstance(value, bool):
        return common_pb2.Value(boolean=value)
    if isinstance(value, int) and abs(value) < 1 << 63:
        return common_pb2.Value(integer=value)
    if isinstance(value, int | float):
        return common_pb2.Value(number=value)
    if isinstance(value, str):
        return common_pb2.Value(text=value)
    raise InvalidInput.of_field(field, "must be text, a number, {file: …} or {values: …}")


def _structured(
    value: dict[str, JsonValue], field: str, *, spec: TensorSpec | None, piped: bool, read: Callable[[str, str], bytes]
) -> common_pb2.Value:
    """`piped`: a pipeline takes it, whose input may have the name, but another type, than a tensor of the model."""
    match value:
        case {"file": str(path)} if len(value) == 1:
            return common_pb2.Value(data=read(path, f"{field}.file"))
        case {"values": values, "dtype": str(dtype)} if len(value) == 2 and piped:
            return common_pb2.Value(tensor=to_proto("", _free_array(values, dtype, field)))
        case {"values": values} if len(value) == 1:
            if spec is None:  # a tensor that only the pipeline knows
                return common_pb2.Value(tensor=to_proto("", _free_array(values, "FP32", field)))
            return common_pb2.Value(tensor=to_proto(spec.name, _array(values, spec, field)))
    raise InvalidInput.of_field(
        field, "must be {file: PATH} or {values: NUMBERS}; of a tensor for the pipeline also {values: …, dtype: …}"
    )


def _free_array(values: JsonValue, dtype: str, field: str) -> npt.NDArray[np.generic]:
    if dtype not in _FREE_DTYPES:
        raise InvalidInput.of_field(
            f"{field}.dtype", f"there is no {dtype[:20]!r}", fix=f"There are {', '.join(_FREE_DTYPES)}."
        )
    wanted = numpy_dtype(dtype)
    try:
        numbers = np.asarray(values, dtype=np.float64 if wanted.kind == "f" else None)
        array = numbers.astype(wanted, casting="unsafe" if numbers.dtype.kind in "biuf" else "no")
    except (TypeError, ValueError) as error:
        raise InvalidInput.of_field(field, "is not an even array of numbers") from error
    if wanted.kind != "f" and not np.array_equal(array, numbers):
        raise InvalidInput.of_field(field, f"holds what {dtype} cannot hold")
    return array


def _array(values: JsonValue, spec: TensorSpec, field: str) -> npt.NDArray[np.generic]:
    """`values` as an item of `spec`: its dtype, and its shape without the batch."""
    try:
        array = np.asarray(values, dtype=numpy_dtype(spec.dtype))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput.of_field(field, f"is not an even array of {spec.dtype}") from error
    if spec.dtype == "BYTES":
        encode_bytes(array.flat, field=field)  # refuses what no answer can be
    wanted = spec.shape[1:]
    fits = len(wanted) == array.ndim and all(w in (-1, got) for w, got in zip(wanted, array.shape, strict=True))
    if not fits:
        raise InvalidInput.of_field(field, f"has shape {list(array.shape)}, an item of {spec.name} {list(wanted)}")
    return array
