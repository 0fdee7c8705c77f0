"""Every type that Arrow has, as files and data frames bring it: it can be read, looked over, saved and learned from."""

from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from lepton_ai.datasets import Dataset, from_arrays, from_rows, read_table
from lepton_ai.errors import InvalidInput
from lepton_ai.models import MLP

ROWS = 24
MONTHS = pa.month_day_nano_interval()
LABELS = ["ja" if row % 2 else "nein" for row in range(ROWS)]
DAY = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def gaps(values: list[Any]) -> list[Any]:
    return [None if row % 5 == 3 else value for row, value in enumerate(values)]


def decimals(kind: pa.DataType) -> pa.Array:
    return pa.array(gaps([Decimal(row * 7 % 13) / 4 for row in range(ROWS)]), kind)


HALVES = pa.array(gaps([np.float16(row * 7 % 13 / 4) for row in range(ROWS)]), pa.float16())
TEXTS = [f"Ort {row % 3}" for row in range(ROWS)]

NUMBERS: dict[str, pa.Array] = {
    "decimal32": decimals(pa.decimal32(5, 2)),
    "decimal64": decimals(pa.decimal64(12, 2)),
    "decimal128": decimals(pa.decimal128(20, 4)),
    "decimal256": decimals(pa.decimal256(50, 3)),
    "half float": HALVES,
    "unsigned beyond 2^63": pa.array([2**63 + row * 1000 for row in range(ROWS)], pa.uint64()),
    "duration": pa.array(gaps([datetime.timedelta(seconds=row * 7 % 13) for row in range(ROWS)]), pa.duration("ns")),
    "dictionary of half floats": pa.DictionaryArray.from_arrays(pa.array([0, 1] * (ROWS // 2)), HALVES.slice(0, 2)),
    "dictionary of decimals": decimals(pa.decimal128(8, 2)).dictionary_encode(),
}
CATEGORIES: dict[str, pa.Array] = {
    "boolean": pa.array(gaps([bool(row % 2) for row in range(ROWS)])),
    "8-bit boolean": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([row % 2 for row in range(ROWS)], pa.int8())),
    "view of texts": pa.array(gaps(TEXTS), pa.string_view()),
    "dictionary": pa.array(gaps(TEXTS)).dictionary_encode(),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([row % 2 for row in range(ROWS)], pa.int8()), pa.array(["a", "b"], pa.string_view())
    ),
    "run-length encoded": pa.RunEndEncodedArray.from_arrays([ROWS // 2, ROWS], ["a", "b"]),
}
OTHERS: dict[str, tuple[pa.Array, str, str]] = {
    "zoned time": (pa.array([DAY + datetime.timedelta(hours=row) for row in range(ROWS)]), "time", "time"),
    "date": (pa.array(gaps([(DAY + datetime.timedelta(days=row)).date() for row in range(ROWS)])), "time", "time"),
    "time of day": (pa.array(gaps([datetime.time(row) for row in range(ROWS)]), pa.time64("ns")), "time", "ignore"),
    "calendar interval": (pa.array([(row % 3, 2, 0) for row in range(ROWS)], MONTHS), "category", "input"),
    "list": (pa.array([[row, 1.5] for row in range(ROWS)]), "tensor", "input"),
    "list of half floats": (pa.array([[np.float16(1)]] * ROWS, pa.list_(pa.float16())), "tensor", "input"),
    "view of lists": (pa.array(gaps([[row] for row in range(ROWS)]), pa.list_view(pa.int8())), "tensor", "input"),
    "struct": (pa.array([{"w": row, "h": {"x": 2.0}} for row in range(ROWS)]), "text", "ignore"),
    "map": (pa.array([[("k", row)] for row in range(ROWS)], pa.map_(pa.string(), pa.int64())), "text", "ignore"),
    "bytes": (pa.array([bytes([row]) for row in range(ROWS)]), "text", "ignore"),
    "view of bytes": (pa.array([bytes([row]) for row in range(ROWS)], pa.binary_view()), "text", "ignore"),
    "UUID": (pa.array([uuid.UUID(int=row).bytes for row in range(ROWS)], pa.uuid()), "text", "ignore"),
    "nothing": (pa.nulls(ROWS), "text", "ignore"),
}  # fmt: skip


def data_of(array: pa.Array) -> Dataset:
    return from_arrays(pa.table({"列": array, "label": LABELS}))


def look_over(data: Dataset, folder: Path) -> None:
    str(data.profile())
    data.save(folder / "data.arrow")
    opened = Dataset.open(folder / "data.arrow")
    assert opened.digest == data.digest
    assert len(list(opened.rows())) == ROWS


@pytest.mark.parametrize("what", [*NUMBERS, *CATEGORIES])
def test_a_column_that_can_be_used_is_used(what: str, tmp_path: Path) -> None:
    array = (NUMBERS | CATEGORIES)[what]
    data = data_of(array)
    assert (data.schema["列"].kind, data.schema["列"].role) == ("number" if what in NUMBERS else "category", "input")
    look_over(data, tmp_path)
    model = MLP([4])
    model.fit(data, epochs=1, validation=None, progress=False, doctor=False)
    rows = [{"列": row["列"]} for row in data.rows()]
    together = [each.outputs["logits"].tolist() for each in model.predict(pa.table({"列": array}))]
    one_by_one = [model.predict(row).outputs["logits"].tolist() for row in rows]
    raw = [model.predict({"列": cell}).outputs["logits"].tolist() for cell in array.to_pylist()]
    np.testing.assert_allclose(one_by_one, together, atol=1e-5)
    np.testing.assert_allclose(raw, together, atol=1e-5)


@pytest.mark.parametrize("what", OTHERS)
def test_a_column_that_cannot_be_a_number_or_category_is_told(what: str, tmp_path: Path) -> None:
    array, kind, role = OTHERS[what]
    data = data_of(array)
    column = data.schema["列"]
    assert (column.kind, column.role) == (kind, role)
    assert column.note or role != "ignore", "left out without a word"
    look_over(data, tmp_path)


def test_values_of_several_types_are_refused_by_name() -> None:
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    with pytest.raises(InvalidInput, match=r"列: holds sparse_union.*one type"):
        from_arrays(pa.table({"列": union}))


def test_a_parquet_file_is_read_with_its_values(tmp_path: Path) -> None:
    columns = {"preis": NUMBERS["decimal128"], "halb": HALVES, "dauer": NUMBERS["duration"], "label": pa.array(LABELS)}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    data = read_table(tmp_path / "a.parquet")
    assert data.row(4) == {"preis": 0.5, "halb": 0.5, "dauer": 2.0, "label": "nein"}
    assert data.row(3)["preis"] is data.row(3)["halb"] is data.row(3)["dauer"] is None


def test_whole_decimals_that_a_float_would_round_keep_all_digits() -> None:
    ids = [Decimal(12345678901234567890 + row % 2) for row in range(ROWS)]
    data = from_arrays({"auftrag": pa.array(ids, pa.decimal128(20, 0)), "id": ids, "label": LABELS})
    assert [row["auftrag"] for row in data][:2] == [12345678901234567890, 12345678901234567891]
    assert data.schema["id"].categories == ("12345678901234567890", "12345678901234567891")


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["a", math.nan, "b"], ["a", None, "b"]),
        ([math.nan, "a", None], [None, "a", None]),
        ([True, math.nan, False], [True, None, False]),
        ([datetime.date(2024, 1, 2), math.nan], ["2024-01-02", None]),
        ([datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 9)], ["2024-01-02T00:00:00", "2024-01-02T09:00:00"]),
        ([datetime.datetime(2024, 1, 2, 9), datetime.date(2024, 1, 2)], ["2024-01-02T09:00:00", "2024-01-02T00:00:00"]),
        ([np.datetime64("2024-01-02T03:04:05.000000006"), np.datetime64("NaT")], ["2024-01-02T03:04:05", None]),
        ([np.timedelta64(1500, "ms"), np.timedelta64("NaT")], [1.5, None]),
        ([Decimal("1.5"), Decimal("NaN"), None], [1.5, None, None]),
        ([Decimal("1.5"), 2, np.float32(0.5)], [1.5, 2.0, 0.5]),
        ([2**63 + 1, None, 1], [2**63 + 1, None, 1]),
        ([2**63, -1], [2.0**63, -1.0]),
        ([10**400, 0.5], [math.inf, 0.5]),
        ([2**60 + 1, 0.5], [2.0**60, 0.5]),
        ([2**64, None, 2**64 + 1], ["18446744073709551616", None, "18446744073709551617"]),
        ([np.str_("a"), np.str_("b")], ["a", "b"]),
        ([np.bool_(True), None], [True, None]),
        ([uuid.UUID(int=1)], ["00000000-0000-0000-0000-000000000001"]),
    ],
    ids=lambda values: str(values)[:40],
)  # fmt: skip
def test_values_as_databases_and_frames_give_them(values: list[Any], kept: list[Any]) -> None:
    assert [row["x"] for row in from_arrays({"x": values})] == kept
    assert [row["x"] for row in from_rows({"x": value} for value in values)] == kept


@pytest.mark.parametrize(
    ("array", "first"),
    [
        (np.array(["2024-05"], "M8[M]"), "2024-05-01"),
        (np.array(["2024-05-01T08"], "M8[h]"), "2024-05-01T08:00:00"),
        (np.array(["2024-05-01T08:00:00.123456789"], "M8[ns]"), "2024-05-01T08:00:00.123456"),
        (np.array([2], "m8[D]"), 2 * 86_400.0),
        (np.array([1500], "m8[ms]"), 1.5),
        (np.array([0.5], np.float16), 0.5),
        (np.array([0.5], np.longdouble), 0.5),
        (np.array([0.5], ">f8"), 0.5),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_arrays_of_every_unit_and_width(array: Any, first: Any) -> None:
    assert from_arrays({"x": array}).row(0)["x"] == first


def test_numbers_name_columns() -> None:
    rows: list[dict[Any, Any]] = [{0: 1.5, "label": "a"}, {0: 2.5, "label": "b"}]
    assert from_rows(rows).schema.names == ("0", "label")
    with pytest.raises(InvalidInput, match="0: two columns have this name"):
        from_rows([{0: 1, "0": 2}])  # type: ignore[dict-item]
