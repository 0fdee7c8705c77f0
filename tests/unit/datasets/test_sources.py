"""Folders, arrays, rows and the spool they go through."""

from __future__ import annotations

import decimal
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from lepton_ai.datasets import Schema, from_arrays, from_rows, read_folder
from lepton_ai.datasets.spool import Spool, collect
from lepton_ai.errors import InvalidInput, NotFound, ResourceExhausted
from lepton_ai.file import File
from lepton_ai.prediction import to_item


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_folders_are_classes_and_order_is_by_name(tmp_path: Path) -> None:
    fill(tmp_path, "10/a.png", "2/b.JPG", "2/sub/c.jpeg", "2/notes.txt", ".git/d.png", "2/.hidden.png")
    data = read_folder(tmp_path)
    assert [row["label"] for row in data] == ["2", "2", "10"]
    assert [row["image"] for row in data] == [b"2/b.JPG", b"2/sub/c.jpeg", b"10/a.png"]
    assert data.classes == ("2", "10")


def test_sounds_are_another_kind(tmp_path: Path) -> None:
    fill(tmp_path, "是/a.wav", "否/b.flac", "否/c.png")
    assert [row["label"] for row in read_folder(tmp_path, kind="sound")] == ["否", "是"]


def test_files_without_folders_have_no_label(tmp_path: Path) -> None:
    assert read_folder(fill(tmp_path, "a.png", "b.png")).schema.names == ("image",)


def test_a_folder_that_cannot_work_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_folder(tmp_path / "none")
    with pytest.raises(InvalidInput, match="no image files"):
        read_folder(tmp_path)
    with pytest.raises(InvalidInput, match="1 of 2 image files lie beside"):
        read_folder(fill(tmp_path, "a.png", "cats/b.png"))
    with pytest.raises(InvalidInput, match="not a kind"):
        read_folder(tmp_path, kind="video")  # type: ignore[arg-type]


def test_arrays_become_columns() -> None:
    data = from_arrays({"x": torch.eye(4), "n": [1.5, 2.5, None, 4], "t": ["一", "二", "三", "四"]}, [0, 1, 0, 1])
    assert [column.kind for column in data.schema] == ["tensor", "number", "text", "category"]
    assert data.schema.target == data.schema["y"]
    assert isinstance(data.row(0)["x"], np.ndarray)


def test_a_data_frame_becomes_columns_without_its_index() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"城市": ["北京", "上海", "北京"], "age": [20.0, None, 40.0], "label": [0, 1, 0]})
    for table in (frame, pa.table(frame), frame.assign(gone=1)[frame.label >= 0].drop(columns="gone")):
        data = from_arrays(table)
        assert data.schema.names == ("城市", "age", "label")
        assert data.row(1) == {"城市": "上海", "age": None, "label": 1}
    assert from_arrays(frame[["age"]], frame["label"], target="churn").schema.names == ("age", "churn")


def objects(*values: Any) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def test_pictures_of_several_sizes_stay_bytes() -> None:
    data = from_arrays(objects(np.full((2, 3, 3), 200, np.uint8), np.full((4, 2, 3), 7, np.uint8)), ["a", "b"])
    pictures = [np.asarray(row["x"]) for row in data.rows()]
    assert [(str(picture.dtype), picture.shape, int(picture.max())) for picture in pictures] == [
        ("uint8", (2, 3, 3), 200),
        ("uint8", (4, 2, 3), 7),
    ]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_pictures_of_pillow_are_images(mode: str) -> None:
    picture: Any = Image.new(mode, (5, 4))
    data = from_arrays([picture, picture], ["a", "b"])
    assert data.schema["x"].kind == "image"
    content = data.row(0)["x"]
    assert isinstance(content, bytes)
    opened = Image.open(io.BytesIO(content))
    assert opened.size == (5, 4) and np.array_equal(np.asarray(opened), np.asarray(picture.convert(opened.mode)))
    assert to_item(picture).inputs[""].data == content


def test_arrays_that_cannot_be_columns_name_the_column() -> None:
    with pytest.raises(InvalidInput, match="differ in length: x 3, y 2"):
        from_arrays(np.zeros(3), [1, 2])
    with pytest.raises(InvalidInput, match=r"a: holds int, str"):
        from_arrays({"a": [1, "x"]})
    with pytest.raises(InvalidInput, match=r"a: holds ndarray, str"):
        from_arrays({"a": objects(np.zeros((2, 2), np.uint8), "猫")})
    with pytest.raises(InvalidInput, match=r"x: is an array of values of several types"):
        from_arrays(np.array([[1, "x"]] * 3, dtype=object))
    with pytest.raises(InvalidInput, match=r"x: holds tuple\. Give rows as records"):
        from_arrays([(1, "x")] * 3)
    for value in ({1, 2}, object()):
        with pytest.raises(InvalidInput, match=r"a: holds (set|object), which is no value of a table"):
            from_arrays({"a": [value] * 3})
    with pytest.raises(InvalidInput, match="complex"):
        from_arrays({"a": np.zeros(3, complex)})
    with pytest.raises(InvalidInput, match="no column"):
        from_arrays({})


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "bool", ">i4"])
def test_every_number_type_survives(dtype: str) -> None:
    x = np.arange(12).reshape(3, 2, 2).astype(dtype)
    value = from_arrays(x).row(2)["x"]
    assert isinstance(value, np.ndarray)
    np.testing.assert_array_equal(value, x[2])
    assert value.dtype == x.dtype.newbyteorder("=")


def test_rows_come_from_an_iterator_and_may_lack_values() -> None:
    rows: Iterator[dict[str, object]] = iter([{"a": 1}, {"b": Path("x"), "a": decimal.Decimal("1.5")}])
    assert list(from_rows(rows)) == [{"a": 1.0, "b": None}, {"a": 1.5, "b": "x"}]


def test_a_schema_can_be_given() -> None:
    schema = Schema.infer(pa.table({"a": ["x"], "label": ["y"]})).with_kinds(a="text")
    assert from_rows([{"a": "p", "label": "y"}], schema).schema == schema
    assert len(from_rows([], schema)) == 0


def test_what_is_no_row_is_named() -> None:
    with pytest.raises(InvalidInput, match="Row 1025 is not a mapping"):
        from_rows([*({"a": 1} for _ in range(1025)), ["a"]])  # type: ignore[list-item]


def test_more_rows_than_the_budget_are_the_same_rows(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, object]]:
        for n in range(5000):
            yield {"n": n if n < 2500 else n + 0.5, **({"late": f"第{n}"} if n > 3000 else {})}

    spilled = from_rows(rows(), memory_budget_bytes=1000, cache_directory=tmp_path)
    assert spilled.digest == from_rows(rows()).digest
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullWriter:
        def write_batch(self, batch: pa.RecordBatch) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            pass

    monkeypatch.setattr(pa.ipc, "new_file", lambda *_: FullWriter())
    batch = pa.RecordBatch.from_pydict({"a": [1, 2, 3]})
    with pytest.raises(ResourceExhausted, match="disk is full"):
        collect([batch] * 5, Spool(memory_budget_bytes=10, directory=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", [["a", "\ud800"], np.array(["\ud800"]), np.array(["\ud800"], dtype=object)])
def test_half_a_surrogate_pair_is_refused_with_its_column(values: Any) -> None:
    with pytest.raises(InvalidInput, match=r"wort.*surrogate"):
        from_arrays({"wort": values})
    with pytest.raises(InvalidInput, match=r"wort.*surrogate"):
        from_rows({"wort": value} for value in values)


def test_half_a_surrogate_pair_in_a_columns_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"column name.*surrogate"):
        from_arrays({"\ud800": [1]})
    with pytest.raises(InvalidInput, match=r"column name.*surrogate"):
        from_rows([{"\ud800": 1}])


def test_files_in_a_list_are_paths_of_files(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.png")
    data = from_arrays({"image": [File(tmp_path / "a.png"), tmp_path / "b.png"]})
    assert [row["image"] for row in data] == [b"a.png", b"b.png"]
