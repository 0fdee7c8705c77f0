"""CSV files as people have them: encodings, quotes across blocks, ways to write numbers, codes, dates; also served."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.datasets import Dataset, Reading, Schema, csv_file, from_arrays, read_table
from lepton_ai.datasets.csv_file import CsvOptions, CsvTexts
from lepton_ai.datasets.texts.csv_records import blocks_of_records, find_separator
from lepton_ai.errors import InvalidInput
from lepton_ai.models.preparation import fit_pipeline, tabular_steps

_FIELDS = st.text(alphabet='ab"\r\n,;é€城 0', max_size=8)


def read(path: Path, text: str, encoding: str = "utf-8", **options: object) -> Dataset:
    path.write_bytes(text.encode(encoding))
    return read_table(path, **options)  # type: ignore[arg-type]


def values(data: Dataset, name: str) -> list[object]:
    return [row[name] for row in data.rows([name])]


def quoted(rows: list[list[str]], end: str) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return written.getvalue()


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(_FIELDS, min_size=2, max_size=2), min_size=1, max_size=6),
    block_bytes=st.integers(1, 64),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "gb18030"]),
)
def test_quoted_texts_are_the_same_whatever_the_block_size(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], block_bytes: int, end: str, encoding: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "quoted.csv"
    file.write_bytes(quoted([["p", "q"], *rows], end).encode(encoding))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "_BLOCK_BYTES", block_bytes)
        batches = list(CsvTexts.open(file, CsvOptions(encoding=encoding)).batches())
    table = pa.Table.from_batches(batches)
    assert [list(row.values()) for row in table.to_pylist()] == rows


@settings(max_examples=200, deadline=None)
@given(content=st.text(alphabet='a",\r\n', max_size=40), block_bytes=st.integers(1, 16))
def test_blocks_end_where_records_end_and_hold_all_that_there_is(
    tmp_path_factory: pytest.TempPathFactory, content: str, block_bytes: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(content.encode())
    try:
        whole = list(blocks_of_records(file, "utf-8", ",", block_bytes=1 << 20))
    except InvalidInput:
        with pytest.raises(InvalidInput, match="quote has no end"):
            list(blocks_of_records(file, "utf-8", ",", block_bytes=block_bytes))
        return
    parts = list(blocks_of_records(file, "utf-8", ",", block_bytes=block_bytes))
    assert b"".join(parts) == b"".join(whole) == content.encode()
    assert all(part.endswith((b"\n", b"\r")) for part in parts[:-1])


def test_a_line_break_within_quotes_that_falls_between_blocks_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block_bytes in range(1, 40):
        monkeypatch.setattr(csv_file, "_BLOCK_BYTES", block_bytes)
        data = read(tmp_path / "a.csv", 'a,b\r\n1,"x\r\ny"\r\n2,"say ""hi"""\r\n')
        assert list(data) == [{"a": 1, "b": "x\r\ny"}, {"a": 2, "b": 'say "hi"'}], block_bytes


def test_a_quote_without_an_end_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="quote"):
        read(tmp_path / "a.csv", 'a,b\n1,"x\n2,y\n')


@pytest.mark.parametrize(
    ("start", "separator"),
    [("a;b\n1,5;2,5\n", ";"), ("a, net;b\n1;2\n", ";"), ("a,b\n1,2\n", ","), ("a\tb\n1\t2\n", "\t"), ("a\n1\n", ",")],
)
def test_the_separator_is_what_every_line_has_alike(start: str, separator: str) -> None:
    assert find_separator(start) == separator


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Stadt,n\nMünchen,1\nKöln,2\n", "cp1252"),
        ("DESCRIÇÃO,n\nabc,1\n", "latin-1"),
        ("Город,n\nМосква,1\nКазань,2\n", "cp1251"),
        ("ГОРОД,n\nМОСКВА,1\nКАЗАНЬ,2\n", "cp1251"),
        ("都市,n\n東京,1\nひらがな,2\nカタカナ,3\n", "cp932"),
        ("도시,n\n서울,1\n부산광역시,2\n대구광역시,3\n인천광역시,4\n", "cp949"),
        ("城市,n\n臺北市,1\n高雄市,2\n", "big5"),
        ("a,b\n1,2\n", "utf-16-le"),
    ],
)
def test_an_encoding_that_is_not_certain_is_asked_for_and_then_used(tmp_path: Path, text: str, encoding: str) -> None:
    with pytest.raises(InvalidInput, match="encoding"):
        read(tmp_path / "a.csv", text, encoding)
    first = text.splitlines()[1].partition(",")[0]
    data = read_table(tmp_path / "a.csv", encoding=encoding)
    assert str(next(iter(data.rows()))[data.schema.names[0]]) == first


@pytest.mark.parametrize("text", ["城市,n\n北京,1\n上海,2\n", "名称,价格\nabc,1\n", "说明,n\n“今天，天气很好。”,1\n"])
def test_chinese_is_found_and_it_is_said_that_it_was_a_guess(tmp_path: Path, text: str) -> None:
    data = read(tmp_path / "a.csv", text, "gb18030")
    assert data.schema.names[0] == text[:2]
    assert any("GB18030" in column.note for column in data.schema)


def test_one_file_is_written_in_one_way(tmp_path: Path) -> None:
    data = read(tmp_path / "a.csv", "m;p\n1.234;0,5\n2.500;12,25\n")
    assert values(data, "m") == [1234, 2500]
    data = read(tmp_path / "b.csv", 'm,p\n"1,234",0.5\n"2,500",12.25\n')
    assert values(data, "m") == [1234, 2500]


def test_what_can_be_read_in_two_ways_is_kept_until_the_person_decides(tmp_path: Path) -> None:
    data = read(tmp_path / "a.csv", "m;n\n1,234;1\n2,500;2\n")
    assert values(data, "m") == ["1,234", "2,500"]
    assert "read_table(decimal=',')" in data.schema["m"].note
    assert "read_table(decimal=',')" in str(data.profile())
    assert values(read_table(tmp_path / "a.csv", decimal=","), "m") == [1.234, 2.5]
    assert values(read_table(tmp_path / "a.csv", decimal="."), "m") == [1234, 2500]
    chosen = data.with_schema(data.schema.with_readings(m=Reading(",")))
    assert (chosen.schema["m"].kind, values(chosen, "m")) == ("number", [1.234, 2.5])


def test_files_that_belong_together_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("plz,n\n10115,1\n80331,2\n")
    (tmp_path / "2.csv").write_text("plz,n\n01067,1,5\n".replace(",5", "") + "99999,2.5\n")
    data = read_table([tmp_path / "1.csv", tmp_path / "2.csv"])
    assert values(data, "plz") == ["10115", "80331", "01067", "99999"]
    assert values(data, "n") == [1.0, 2.0, 1.0, 2.5]


def test_codes_are_categories_with_their_zeros_and_numbers_when_that_is_said(tmp_path: Path) -> None:
    data = read(tmp_path / "a.csv", "plz,n\n" + "01067,1\n10115,2\n" * 20)
    assert (data.schema["plz"].kind, data.schema["plz"].categories) == ("category", ("01067", "10115"))
    numbers = data.with_schema(data.schema.with_kinds(plz="number"))
    assert values(numbers, "plz")[:2] == [1067, 10115]


def test_long_ids_are_no_quantities(tmp_path: Path) -> None:
    data = read(tmp_path / "a.csv", "ref,n\n" + "1582218195625938945,1\n1582218195625938946,2\n" * 20)
    assert data.schema["ref"].kind == "category"
    assert len(data.schema["ref"].categories) == 2


def test_na_is_kept_among_texts_and_missing_when_that_is_said(tmp_path: Path) -> None:
    data = read(tmp_path / "a.csv", "c,n\n" + "NA,1\nDE,NA\n" * 20)
    assert values(data, "c")[:2] == ["NA", "DE"]
    assert values(data, "n")[:2] == [1, None]
    told = str(data.profile())
    assert "'NA' is kept" in told
    assert "'NA' counts as missing" in told
    assert values(read_table(tmp_path / "a.csv", missing=["NA"]), "c")[:2] == [None, "DE"]
    with pytest.raises(InvalidInput, match="no list of texts"):
        read_table(tmp_path / "a.csv", missing="NA")


def test_a_kept_copy_of_a_large_table_keeps_what_was_decided(tmp_path: Path) -> None:
    file, cache = tmp_path / "a.csv", tmp_path / "cache"
    file.write_text("p;d\n" + "12,5;31/12/2024\n7,25;01/01/2024\n" * 500)
    for _ in range(2):
        data = read_table(file, memory_budget_bytes=1, cache_directory=cache)
        assert data.schema["p"].reading == Reading(",")
        assert data.schema["d"].date_order == "day"
    assert read_table(file, day_first=True, memory_budget_bytes=1, cache_directory=cache).digest == data.digest
    data.save(tmp_path / "a.arrow")
    assert Dataset.open(tmp_path / "a.arrow").schema == data.schema


def test_dates_that_can_be_read_in_two_ways_are_not_ordered(tmp_path: Path) -> None:
    data = read(tmp_path / "a.csv", "d,n\n01/02/2024,1\n03/01/2024,2\n")
    assert (data.schema["d"].kind, data.schema["d"].role) == ("time", "ignore")
    with pytest.raises(InvalidInput, match="cannot be told apart"):
        data.split(0.5, by_time="d")
    for first, latest in ((True, 1), (False, 2)):
        _, late = read_table(tmp_path / "a.csv", day_first=first).split(0.5, by_time=True)
        assert values(late, "n") == [latest]
    chosen = data.with_schema(data.schema.with_readings(d=Reading(dates="month")))
    assert chosen.schema["d"].role == "time"


def test_texts_of_data_frames_are_decided_on_alike() -> None:
    data = from_arrays({"p": ["12,5", "7,25"] * 10, "c": ["NA", "DE"] * 10, "z": ["01067", "10115"] * 10})
    assert values(data, "p")[:2] == [12.5, 7.25]
    assert [column.kind for column in data.schema] == ["number", "category", "category"]
    kept = pa.array(["12,5", "7,25"] * 10)
    for array in (kept.dictionary_encode(), kept.cast(pa.string_view()), kept.cast(pa.large_string())):
        assert values(from_arrays(pa.table({"p": array})), "p")[:2] == [12.5, 7.25]
    insisted = data.with_column("q", ["1,234"] * 20, kind="number")
    assert values(insisted, "q")[0] == 1234
    assert "decides otherwise" in insisted.schema["q"].note


def test_a_request_is_read_as_the_table_was(tmp_path: Path) -> None:
    rows = "12,5;01067;TRUE;1,50;NA\n7,25;10115;FALSE;3,00;5\n" * 10
    data = read(tmp_path / "a.csv", f"preis;plz;flag;grade;n\n{rows}")
    data = data.with_schema(data.schema.with_kinds(grade="category"))
    columns = data.schema.inputs
    pipeline = fit_pipeline(columns, tabular_steps(columns), data)
    trained = {**data.row(0)}
    sent = {"preis": "12,5", "plz": "01067", "flag": "TRUE", "grade": "1,50", "n": "NA"}
    assert pipeline.run(sent).tensors["features"].tolist() == pipeline.run(trained).tensors["features"].tolist()
    assert [each.reason for each in pipeline.run(sent).anomalies] == ["MISSING_VALUE"]


def test_plain_tables_need_no_reading(tmp_path: Path) -> None:
    data = read(tmp_path / "a.csv", "a,b\n" + "1.5,x\n2,y\n" * 20)
    pipeline = fit_pipeline(data.schema.inputs, tabular_steps(data.schema.inputs), data)
    assert pipeline.readings == {}


def test_classes_and_categories_that_only_unicode_tells_apart_are_one() -> None:
    data = from_arrays({"x": list(range(40)), "label": ["caf\u00e9", "cafe\u0301", "Paris", "Paris"] * 10})
    assert data.classes == ("Paris", "caf\u00e9")
    assert set(data.target_ids().tolist()) == {0, 1}
    assert len(data.distinct_targets()[0]) == 2 + 1  # and what is missing


def test_a_schema_with_readings_is_written_and_read() -> None:
    schema = Schema.infer(pa.table({"p": ["12,5", "k.A."] * 10, "d": ["31/12/2024", None] * 10}))
    assert Schema.from_json(schema.to_json()) == schema
    with pytest.raises(InvalidInput):
        Schema.from_json(schema.to_json().replace('"decimal": ","', '"decimal": ";"'))
