"""Rows of files as examples: what a model does not take is passed over, what it lacks or cannot be read is said."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from lepton_ai.cli.examples.rows import row_examples, row_format
from lepton_ai.client import ModelDescription
from lepton_ai.errors import InvalidInput, LeptonError
from lepton_ai.file import File

CUSTOMERS = ModelDescription("churn", 1, {"年龄": "number", "城市": "category"})
ROW = {"年龄": 66, "城市": "上海"}


def read(file: Path, described: ModelDescription = CUSTOMERS) -> list[Any]:
    return [example.value for example in row_examples(file, str(file), described)]


def written(folder: Path, name: str, content: str) -> Path:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return file


def test_other_columns_are_passed_over_in_files_of_every_kind(tmp_path: Path) -> None:
    table = pa.table({"结果": ["流失"], "城市": ["上海"], "年龄": [66]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    files = [
        written(tmp_path, "rows.csv", "年龄,城市,结果\n66,上海,流失\n"),
        written(tmp_path, "rows.tsv", "年龄\t城市\t结果\n66\t上海\t流失\n"),
        written(tmp_path, "row.json", '{"年龄": 66, "城市": "上海", "结果": "流失"}'),
        written(tmp_path, "rows.json", '[{"年龄": 66, "城市": "上海"}]'),
        written(tmp_path, "rows.jsonl", '\n{"年龄": 66, "城市": "上海", "结果": 1}\n'),
        tmp_path / "rows.parquet",
    ]
    assert [read(file) for file in files] == [[ROW]] * len(files)


def test_a_table_is_no_array_and_says_how_one_is_sent(tmp_path: Path) -> None:
    file = written(tmp_path, "past.csv", "温度,湿度\n20,50\n")
    with pytest.raises(InvalidInput, match=r"takes an array, past; this table has a column for each number\. Send the"):
        read(file, ModelDescription("weather", 1, {"past": "tensor"}))


def test_columns_keep_the_order_of_their_table(tmp_path: Path) -> None:
    file = written(tmp_path, "rows.csv", "城市,结果,年龄\n上海,流失,66\n")
    assert [list(row) for row in read(file)] == [["城市", "年龄"]]


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_files_are_read(tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
    for name, content in {"rows.csv": "年龄,城市\n66,上海\n", "rows.jsonl": '{"年龄": 66, "城市": "上海"}\n'}.items():
        file = tmp_path / f"{name}{ending}"
        file.write_bytes(compress(content.encode()))
        assert read(file) == [ROW]


def test_a_chinese_csv_of_excel_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("年龄,城市,备注\n66,上海,这是一份关于我们客户的说明\n", encoding="gb18030")
    assert read(file) == [ROW]


def test_texts_of_a_csv_stay_texts_where_the_pipeline_reads_them(tmp_path: Path) -> None:
    file = written(tmp_path, "rows.csv", '价格;年龄\n"1.234,50 €";n/a\n"";" 7 "\n')
    described = ModelDescription("m", 1, {"价格": "number", "年龄": "number"}, frozenset({"价格"}))
    assert read(file, described) == [{"价格": "1.234,50 €", "年龄": None}, {"价格": "", "年龄": 7}]


def test_a_text_that_is_no_number_is_left_for_the_platform_to_refuse(tmp_path: Path) -> None:
    assert read(written(tmp_path, "rows.csv", "年龄,城市\nviele,上海\n")) == [{"年龄": "viele", "城市": "上海"}]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_table_that_lacks_a_column_is_refused_with_its_name_and_the_nearest(tmp_path: Path, name: str) -> None:
    if name == "rows.csv":
        written(tmp_path, name, "年纪,城市\n66,上海\n")
    else:
        parquet.write_table(pa.table({"年纪": [66], "城市": ["上海"]}), tmp_path / name)
    with pytest.raises(InvalidInput, match=f"{name}: 年龄: there is no such column") as caught:
        read(tmp_path / name)
    assert "年纪" in caught.value.fix


def test_json_rows_that_cannot_be_read_have_errors_of_their_own(tmp_path: Path) -> None:
    lines = [
        '{"年龄": 66, "城市": "上海"}',
        "no JSON",
        '"上海"',
        '{"age": 1, "城市": "上海"}',
        '{"年龄": null, "城市": "x"}',
    ]
    file = written(tmp_path, "rows.jsonl", "\n".join(lines))
    examples = list(row_examples(file, "rows.jsonl", CUSTOMERS))
    assert [isinstance(each.value, LeptonError) for each in examples] == [False, True, True, True, False]
    assert [each.shown for each in examples][1] == "rows.jsonl line 2"
    assert "null" in str(examples[3].value)


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^row\.json: It is not JSON: .*line 1 column 2"):
        read(written(tmp_path, "row.json", "{no"))


def test_a_broken_table_is_named_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"rows\.csv: line 3 has 3 values"):
        read(written(tmp_path, "rows.csv", "年龄,城市\n66,上海\n1,2,3\n"))


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_paths_in_a_table_start_from_its_folder(tmp_path: Path, name: str) -> None:
    content = "photo,x\n猫.jpg,1\n" if name == "rows.csv" else '{"photo": "猫.jpg"}\n'
    (value,) = read(written(tmp_path, name, content), ModelDescription("m", 1, {"photo": "image"}))
    assert value == {"photo": File(tmp_path / "猫.jpg")}


def test_lists_in_json_are_arrays_and_the_only_input_may_go_without_its_name(tmp_path: Path) -> None:
    described = ModelDescription("m", 1, {"x": "tensor"})
    assert [value[""].tolist() for value in read(written(tmp_path, "a.json", "[1.5, 2.5]"), described)] == [[1.5, 2.5]]
    (value,) = read(written(tmp_path, "b.jsonl", '{"x": [[1, 2], [3, 4]]}'), described)
    assert np.array_equal(value["x"], [[1, 2], [3, 4]])
    ragged = read(written(tmp_path, "c.jsonl", '{"x": [[1], [3, 4]]}'), described)
    assert isinstance(ragged[0], InvalidInput)


def test_a_text_file_is_no_table() -> None:
    assert row_format(Path("a.txt")) is None
    assert row_format(Path("a.CSV.gz")) == "table"
