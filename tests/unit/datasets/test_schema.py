"""What a schema says, what it infers, how it is fixed."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest

from lepton_ai.datasets import Column, Schema, from_arrays
from lepton_ai.datasets.schema import render
from lepton_ai.errors import InvalidInput

ROWS = 60
PNG = b"\x89PNG\r\n\x1a\n0000"


def infer(values: object, name: str = "c", target: str | None = None) -> Column:
    return Schema.infer(pa.table({name: pa.array(values)}), target)[name]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2.25, None], "number"),
        ([3, 1, 2, 2], "number"),
        (["北京", "上海"] * 30, "category"),
        ([True, False, True], "category"),
        ([f"第{n}条评论，写得很好" for n in range(ROWS)], "text"),
        ([f"照片/{n}.JPG" for n in range(ROWS)], "image"),
        ([f"声音/{n}.wav" for n in range(ROWS)], "sound"),
        ([PNG] * 3, "image"),
        ([b"RIFF0000WAVEfmt "] * 3, "sound"),
        ([datetime.datetime(2024, 1, 1)] * 3, "time"),
        ([f"2024/1/{n % 28 + 1} 08:30" for n in range(ROWS)], "time"),
        ([f"2024年3月{n % 28 + 1}日" for n in range(ROWS)], "time"),
        (["1,234.5", "99%", "7"] * 20, "number"),
        ([[1.0, 2.0], [3.0]], "tensor"),
    ],
)
def test_kinds_are_inferred_from_values(values: list[object], kind: str) -> None:
    assert infer(values).kind == kind


def test_an_id_is_ignored_and_the_note_says_why() -> None:
    column = infer([f"U{n:05d}" for n in range(ROWS)], name="客户编号")
    assert (column.role, column.note) == ("ignore", "an id: different in every row")
    assert infer(list(range(ROWS)), name="id").role == "ignore"
    assert infer(list(range(ROWS)), name="column_1").role == "ignore"


def test_a_repeated_id_is_a_category_because_recommenders_need_it() -> None:
    column = infer([n % 7 for n in range(ROWS)], name="user_id")
    assert (column.kind, column.role) == ("category", "input")


@pytest.mark.parametrize("name", ["label", "Target", "y", "class", "标签", "类别"])
def test_a_target_is_guessed_by_its_name(name: str) -> None:
    schema = Schema.infer(pa.table({"a": [1.5, 2.5], name: ["x", "y"]}))
    assert schema.target is not None
    assert schema.target.name == name


def test_a_named_target_wins_and_an_unknown_one_is_an_error() -> None:
    table = pa.table({"label": ["x", "y"] * 4, "price": [1.5, 2.5] * 4})
    schema = Schema.infer(table, "price")
    assert schema.target is not None
    assert (schema.target.name, schema.target.kind, schema["label"].role) == ("price", "number", "input")
    with pytest.raises(InvalidInput, match=r"Did you mean 'price'\?"):
        Schema.infer(table, "pric")


def test_whole_numbers_are_classes_when_few_and_a_quantity_when_many() -> None:
    assert infer([n % 10 for n in range(ROWS)], "y").categories == tuple("0123456789")
    assert infer(list(range(ROWS)), "y").kind == "number"
    assert infer([n % 5 for n in range(ROWS)], "price", target="price").kind == "number"


def test_classes_of_a_sorted_file_are_all_found() -> None:
    values = [f"class {n // 1000}" for n in range(50_000)]
    assert len(infer(values, "label").categories) == 50


def test_only_the_first_time_is_the_time() -> None:
    times = pa.array([datetime.date(2024, 1, 1)] * 3)
    schema = Schema.infer(pa.table({"begin": times, "end": times}))
    assert [column.role for column in schema] == ["time", "ignore"]


def test_a_column_without_values_is_ignored() -> None:
    assert infer([None, None]).note == "no value at all"


def test_kinds_and_roles_are_fixed_by_name() -> None:
    schema = Schema.infer(pa.table({"age": [1, 2, 3], "label": ["a", "b", "a"], "other": [1.5, 2.5, 1.5]}))
    fixed = schema.with_kinds(age="category").with_roles(other="target")
    assert (fixed["age"].kind, fixed["label"].role) == ("category", "input")
    assert fixed.target == fixed["other"]
    assert schema["age"].kind == "number"


def test_mistakes_name_the_column_and_what_to_do() -> None:
    schema = Schema((Column("a", "number", "target"), Column("b", "number")))
    with pytest.raises(InvalidInput, match="Use one of image, sound"):
        schema.with_kinds(a="picture")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="There are a, b"):
        schema.with_roles(zzz="ignore")
    with pytest.raises(InvalidInput, match="both the target"):
        schema.with_roles(a="target", b="target")
    with pytest.raises(InvalidInput, match="two columns"):
        Schema((Column("a", "number"), Column("a", "text")))


def test_json_gives_the_same_schema_back() -> None:
    schema = Schema((Column("图", "image", root="根"), Column("标签", "category", "target", ("猫", "狗"), "为什么")))
    assert Schema.from_json(schema.to_json()) == schema
    with pytest.raises(InvalidInput):
        Schema.from_json('[{"name": 1}]')


def test_it_prints_as_a_table_and_markup_in_names_is_text() -> None:
    schema = Schema((Column("[red]城市[/red]", "category", categories=tuple(f"市{n}" for n in range(9))),))
    assert "[red]城市[/red]" in str(schema)
    assert "… 3 more" in render(schema)


def test_torch_like_float_classes_count_as_classes() -> None:
    assert infer(np.array([0.0, 1.0] * 30), "y").categories == ("0", "1")


def test_numbers_that_count_up_are_an_input_where_there_is_no_other() -> None:
    alone = from_arrays({"year": list(range(1950, 2000)), "label": ["a", "b"] * 25})
    beside = from_arrays({"year": list(range(1950, 2000)), "height": [1.5] * 50, "label": ["a", "b"] * 25})
    assert (alone.schema["year"].role, beside.schema["year"].role) == ("input", "ignore")
