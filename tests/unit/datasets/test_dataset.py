"""A data set: rows, targets, operations that share content, digest, lineage, saving."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lepton_ai.datasets import Dataset, from_arrays, from_rows, read_folder
from lepton_ai.datasets.gather import batches_of
from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound, ResourceExhausted


@pytest.fixture
def people() -> Dataset:
    return from_rows(
        {"名字": f"第{n}个人叫什么名字", "age": n if n % 10 else None, "label": "是" if n % 3 else "否"}
        for n in range(100)
    )


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    for name, content in {"猫/一.png": b"cat", "猫/二.png": b"cat2", "狗/三.png": b"dog"}.items():
        path = tmp_path / "宠物" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return read_folder(tmp_path / "宠物")


def test_a_row_has_all_columns_and_inputs_only_what_a_model_reads(people: Dataset) -> None:
    assert people.row(10) == {"名字": "第10个人叫什么名字", "age": None, "label": "是"}
    assert people.inputs(-1) == {"名字": "第99个人叫什么名字", "age": 99}
    with pytest.raises(InvalidInput, match="the data set has 100"):
        people.row(100)


def test_rows_come_in_order_as_often_as_asked(people: Dataset) -> None:
    assert list(people.rows(["age"])) == list(people.rows(["age"]))
    assert [row["age"] for row in people.rows(["age"])][:3] == [None, 1, 2]


def test_targets_as_values_classes_and_ids(people: Dataset) -> None:
    assert people.classes == ("否", "是")
    assert people.target_ids().dtype == np.int64
    assert [people.classes[at] for at in people.target_ids()] == people.target_values()


def test_a_part_keeps_the_classes_of_the_whole(people: Dataset) -> None:
    only = people.filter(lambda row: row["label"] == "是")
    assert only.classes == ("否", "是")
    assert set(only.target_ids()) == {1}


def test_missing_and_unknown_targets_are_errors() -> None:
    data = from_rows([{"x": 1.5, "label": "a"}, {"x": 2.5, "label": None}, {"x": 2.5, "label": "b"}])
    with pytest.raises(InvalidInput, match="1 of 3 rows have no target, the first is row 1"):
        data.target_ids()
    other = Dataset(pa.table({"x": [1.5], "label": ["z"]}), data.schema)
    with pytest.raises(InvalidInput, match="'z' is not one of its 2 categories"):
        other.target_ids()
    with pytest.raises(InvalidInput, match="has no target"):
        data.select(["x"]).target_values()


def test_nan_labels_are_missing_targets() -> None:
    data = from_arrays(np.zeros((4, 2)), np.array([0.0, 1.0, np.nan, 1.0]))
    data = data.with_schema(data.schema.with_kinds(y="category"))
    assert data.classes == ("0", "1")
    with pytest.raises(InvalidInput, match="1 of 4 rows"):
        data.target_ids()


def test_numbers_have_values_and_no_classes() -> None:
    data = from_arrays(np.zeros(30), np.arange(30) + 0.5)
    np.testing.assert_array_equal(data.target_values(), np.arange(30) + 0.5)
    with pytest.raises(InvalidInput, match="with_kinds"):
        _ = data.classes


def test_operations_give_new_data_sets(people: Dataset) -> None:
    taken = people.take([5, 3, -1])
    assert [row["age"] for row in taken] == [5, 3, 99]
    assert [row["age"] for row in taken[1:]] == [3, 99]
    assert [row["age"] for row in taken.take([2, 0])] == [99, 5]
    assert len(people.filter(np.arange(100) < 7)) == 7
    assert people.select(["label"]).schema.names == ("label",)
    assert sorted(row["名字"] for row in people.shuffle(1)) == sorted(row["名字"] for row in people)  # type: ignore[type-var]
    assert list(people.shuffle(1)) == list(people.shuffle(1)) != list(people.shuffle(2))
    assert len(people) == 100


def test_a_column_is_put_in_or_replaced(people: Dataset) -> None:
    taken = people.take([3, 1]).with_column("向量", np.eye(2, dtype=np.float32)).with_column("age", ["x", "y"], "text")
    row = taken.row(1)
    np.testing.assert_array_equal(row["向量"], [0, 1])  # type: ignore[arg-type]
    assert (row["age"], row["名字"]) == ("y", "第1个人叫什么名字")
    with pytest.raises(InvalidInput, match="has 3 values for 100 rows"):
        people.with_column("z", [1, 2, 3])


def test_parts_are_put_together(people: Dataset) -> None:
    assert Dataset.concat([people[:40], people[40:]]).digest == people.digest
    with pytest.raises(InvalidInput, match="no such column"):
        Dataset.concat([people, people.select(["age"])])


def test_wrong_indices_and_masks_are_errors(people: Dataset) -> None:
    with pytest.raises(InvalidInput, match="There are 100 rows"):
        people.take([100])
    with pytest.raises(InvalidInput, match="whole numbers"):
        people.take([0.5])  # type: ignore[list-item]
    with pytest.raises(InvalidInput, match="100 times true or false"):
        people.filter([True])
    assert len(people.take([])) == 0


def test_rows_of_many_pieces_are_found_without_joining_them() -> None:
    table = pa.concat_tables([pa.table({"n": range(start, start + 7)}) for start in range(0, 70, 7)])
    order = np.random.default_rng(0).permutation(70)
    found = [n for batch in batches_of(table, order, batch_rows=16) for n in batch.column(0).to_pylist()]
    assert found == order.tolist()


def test_tensors_keep_shape_and_type() -> None:
    x = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    data = from_arrays(x, [0, 1, 0, 1]).take([2, 0])[1:]
    value = data.row(0)["x"]
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.uint8
    np.testing.assert_array_equal(value, x[0])


def test_files_are_read_when_a_row_is_asked_for(pets: Dataset, tmp_path: Path) -> None:
    assert pets.row(0)["image"] in (b"cat", b"cat2", b"dog")
    gone = tmp_path / "宠物" / "狗" / "三.png"
    gone.unlink()
    with pytest.raises(NotFound, match="there is no file"):
        list(pets.rows())


def test_the_digest_is_about_content_not_layout(people: Dataset) -> None:
    table = people.table
    dictionary = table.set_column(2, "label", table["label"].dictionary_encode())
    chunked = pa.concat_tables([dictionary.slice(0, 13), dictionary.slice(13)])
    assert Dataset(chunked, people.schema, name="another").digest == people.digest
    changed = people.with_column("age", [7 if n == 50 else n for n in range(100)])
    assert len({people.digest, changed.digest, people[1:].digest, people.shuffle(0).digest}) == 4
    kinds = people.with_schema(people.schema.with_roles(age="ignore"))
    assert kinds.digest != people.digest


def test_the_digest_of_tensors_is_that_of_their_slice() -> None:
    x = np.arange(12.0).reshape(4, 3)
    assert from_arrays(x)[1:3].digest == from_arrays(x[1:3]).digest


def test_the_digest_of_files_is_that_of_their_bytes(pets: Dataset, tmp_path: Path) -> None:
    before = pets.digest
    moved = tmp_path / "moved"
    (tmp_path / "宠物").rename(moved)
    assert read_folder(moved).digest == before
    (moved / "狗" / "三.png").write_bytes(b"dig")
    assert read_folder(moved).digest != before


def test_lineage_says_where_from_and_what_was_done(people: Dataset) -> None:
    lineage = people.shuffle(3)[:10].lineage
    assert [(each.name, each.rows) for each in lineage.operations] == [("shuffle", 100), ("slice", 10)]
    assert lineage.operations[0].parameters == {"seed": 3}
    assert lineage.parent_digest == people.digest
    assert lineage.digest == people.shuffle(3)[:10].digest
    assert people.lineage.parent_digest == ""


def test_saved_and_opened_it_is_the_same(people: Dataset, tmp_path: Path) -> None:
    part = people.shuffle(1)[:30].with_column("t", np.ones((30, 2), np.float32))
    part.save(tmp_path / "数据.arrow")
    opened = Dataset.open(tmp_path / "数据.arrow")
    assert (opened.digest, opened.schema, opened.lineage) == (part.digest, part.schema, part.lineage)


def test_embedded_files_need_the_folder_no_more(pets: Dataset, tmp_path: Path) -> None:
    digest, rows = pets.digest, list(pets)
    pets.save(tmp_path / "pets.arrow", embed=True)
    for file in (tmp_path / "宠物").rglob("*.png"):
        file.unlink()
    opened = Dataset.open(tmp_path / "pets.arrow")
    assert (opened.digest, list(opened)) == (digest, rows)


def test_a_full_disk_leaves_the_old_file(people: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.arrow"
    people.save(path)

    def no_room(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(ResourceExhausted, match="disk is full"):
        people[:5].save(path)
    assert Dataset.open(path).digest == people.digest
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Dataset.open(tmp_path / "none.arrow")
    (tmp_path / "half.arrow").write_bytes(b"ARROW1\0\0half")
    with pytest.raises(FailedPrecondition, match="not a whole Arrow file"):
        Dataset.open(tmp_path / "half.arrow")


@pytest.mark.parametrize("workers", [None, 3])
def test_map_makes_rows_of_rows_in_order(people: Dataset, workers: int | None) -> None:
    mapped = people.map(lambda row: {**row, "long": len(str(row["名字"])) / 2}, workers=workers)
    assert [row["名字"] for row in mapped] == [row["名字"] for row in people]
    assert (mapped.schema["long"].kind, mapped.schema["label"]) == ("number", people.schema["label"])
    assert mapped.lineage.parent_digest == people.digest


def test_a_mapped_picture_is_bytes(pets: Dataset) -> None:
    mapped = pets.map(lambda row: {**row, "image": b"\x89PNG\r\n\x1a\n" + bytes(row["image"])})  # type: ignore[arg-type]
    assert mapped.schema["image"].kind == "image"
    assert all(bytes(row["image"]).startswith(b"\x89PNG") for row in mapped)  # type: ignore[arg-type]


def test_a_mapped_picture_stays_a_picture_when_many_are_broken(pets: Dataset) -> None:
    mapped = pets.map(lambda row: {**row, "image": b"broken"})
    assert (mapped.schema["image"].kind, mapped.schema["image"].root) == ("image", "")


def test_schema_and_table_must_have_the_same_columns(people: Dataset) -> None:
    with pytest.raises(InvalidInput):
        Dataset(people.table.drop_columns(["age"]), people.schema)
    with pytest.raises(InvalidInput):
        Dataset(people.table, people.schema.select(("age",)))


def test_it_prints_its_size_and_columns(people: Dataset) -> None:
    assert "100 rows" in str(people)
    assert "名字" in repr(people)


@pytest.mark.parametrize(
    ("values", "distinct"),
    [
        (["猫", "狗", None, "猫"], {"猫", "狗", None}),
        ([1, 0, 1, 1], {0, 1}),
        ([True, False, True, True], {True, False}),
        ([0.5, 2.0, 2.0, 0.25], {0.25, 0.5, 2.0}),
    ],
)
def test_distinct_targets_say_every_row_s_value_by_its_place(values: list[Any], distinct: set[Any]) -> None:
    data = from_rows([{"x": 1.0, "y": value} for value in values], target="y")
    found, places = data.distinct_targets()
    assert distinct <= set(found)
    assert [found[place] for place in places] == values
