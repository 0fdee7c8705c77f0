"""Tables of other libraries - pandas, Polars, Parquet files - as the Arrow types that data sets compute with."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lepton_ai.datasets.arrow.arrays import to_arrow
from lepton_ai.datasets.cells import is_binary, is_text
from lepton_ai.errors import InvalidInput

_UNNAMED_INDEX = "__index_level_"
"""How Arrow names what a pandas index without a name becomes."""
_BITS_OF_DECIMALS = 128


def is_frame(data: object) -> bool:
    """Whether this is a table of pandas, Polars, Arrow or another library that speaks Arrow."""
    return hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns")


def column_array(name: str, values: Any) -> pa.ChunkedArray:
    """A column's values as Arrow: of Arrow, NumPy, torch, pandas, Polars, or a list.

    Raises InvalidInput when they are of types that do not go together.
    """
    if not isinstance(values, pa.ChunkedArray | pa.Array):
        values = _series(name, values) if hasattr(values, "__arrow_c_stream__") else to_arrow(name, values)
    values = plain_array(name, values)
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values], values.type)


def frame_columns(frame: Any) -> dict[str, pa.ChunkedArray]:
    """The columns of a data frame by name, numbers as names become texts.

    The index of pandas is no column, unless it has a name and holds times. Raises InvalidInput naming a column whose
    values are of types that do not go together, and for two columns of one name.
    """
    table = _arrow_table(frame)
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise InvalidInput.of_field(twice[0], "two columns have this name", fix="Rename one of them.")
    dropped = set(_index_columns(table))
    return {name: plain_array(name, table.column(name)) for name in table.column_names if name not in dropped}


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch of a file with the types that data sets compute with, and without an index that pandas has written."""
    names = [name for name in batch.schema.names if not name.startswith(_UNNAMED_INDEX)]
    arrays = [plain_array(name, batch.column(name)) for name in names]
    if [*zip(names, (array.type for array in arrays), strict=True)] == [
        (each.name, each.type) for each in batch.schema
    ]:
        return batch
    fields = [batch.schema.field(name).with_type(array.type) for name, array in zip(names, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def plain_array(name: str, array: Any) -> Any:
    """An Arrow array, chunked or not, of a type that Arrow can compare, sort and cast; itself when it is of such a one.

    16-bit floats become 32-bit ones, views become what they view, what is run-length encoded is written out, UUIDs
    and calendar intervals become texts. Raises InvalidInput naming a column whose values have no common type.
    """
    if pa.types.is_union(array.type):
        fix = "Give all its values one type."
        raise InvalidInput.of_field(name, f"holds {array.type}", fix=fix, reason="MIXED_TYPES")
    if not isinstance(array, pa.ChunkedArray):
        return _plain_chunk(array)
    chunks = [_plain_chunk(chunk) for chunk in array.chunks]
    return pa.chunked_array(chunks) if chunks and chunks[0].type != array.type else array


def _plain_chunk(array: pa.Array) -> pa.Array:
    kind, types = array.type, pa.types
    if types.is_run_end_encoded(kind):
        return _plain_chunk(pc.run_end_decode(array))
    if types.is_dictionary(kind):
        return _plain_dictionary(array)
    if types.is_interval(kind) or isinstance(kind, pa.UuidType):
        return pa.array([None if value is None else _text(value) for value in array.to_pylist()], pa.string())
    if types.is_list_view(kind) or types.is_large_list_view(kind):  # casting one with gaps gives a broken array
        return _plain_chunk(pa.array(array.to_pylist(), pa.list_(kind.value_type)))
    plain = _plain_type(kind)
    return array if plain == kind else array.cast(plain)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_float16(kind):
        return pa.float32()
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_decimal(kind) and kind.bit_width < _BITS_OF_DECIMALS:
        return pa.decimal128(kind.precision, kind.scale)
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.FixedShapeTensorType):
        return pa.bool_() if isinstance(kind, pa.Bool8Type) else _plain_type(kind.storage_type)
    if types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type), kind.list_size)
    return pa.list_(_plain_type(kind.value_type)) if types.is_list(kind) else kind


def _plain_dictionary(array: pa.DictionaryArray) -> pa.Array:
    """Dictionaries of texts, bytes and whole numbers stay; others, which nothing is the faster for, are written out."""
    values = _plain_chunk(array.dictionary)
    if values.type != array.dictionary.type:
        array = pa.DictionaryArray.from_arrays(array.indices, values)
    kind = values.type
    is_kept = is_text(kind) or is_binary(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return array if is_kept else array.dictionary_decode()


def _text(value: Any) -> str:
    """A UUID, or a calendar interval: months, days and nanoseconds that do not add up to one number."""
    return str(value) if isinstance(value, uuid.UUID) else f"{value.months} months {value.days} days"


def _arrow_table(frame: Any) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "set_axis"):  # pandas warns of names that are no texts
        frame = _without_spans(frame.set_axis([str(name) for name in frame.columns], axis="columns"))
    try:
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        if not hasattr(frame, "items"):
            raise InvalidInput(
                "The data frame cannot be read as an Arrow table.", fix="Give its columns as arrays by name."
            ) from None
        # Column by column, so that the one which is at fault is named, and others may be what Arrow does not know.
        named = [(str(name), to_arrow(str(name), list(column))) for name, column in frame.items()]
        return pa.Table.from_arrays([array for _, array in named], names=[name for name, _ in named])


def _without_spans(frame: Any) -> Any:
    """Periods and intervals of pandas, also as categories, as texts: Arrow has them as numbers that mean nothing."""
    kinds = [getattr(getattr(kind, "categories", None), "dtype", kind) for kind in frame.dtypes]
    spans = [index for index, kind in enumerate(kinds) if str(kind).startswith(("period", "interval"))]
    if not spans or not frame.columns.is_unique:
        return frame
    return frame.assign(
        **{name: frame[name].astype(object).astype(str).where(frame[name].notna()) for name in frame.columns[spans]}
    )


def _series(name: str, series: Any) -> Any:
    try:
        return pa.chunked_array(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return to_arrow(name, list(series))  # values of Python that Arrow does not know


def _index_columns(table: pa.Table) -> list[str]:
    metadata = table.schema.pandas_metadata or {}
    names = [name for name in metadata.get("index_columns", ()) if isinstance(name, str)]
    return [
        name
        for name in names
        if name.startswith(_UNNAMED_INDEX) or not pa.types.is_temporal(table.schema.field(name).type)
    ]
