"""CSV, Parquet and JSON-lines as people's files are: encodings, separators, odd values, larger than the budget."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from pyarrow import parquet

from lepton_ai.datasets import Dataset, csv_file, read_table
from lepton_ai.errors import InvalidInput, NotFound

CSV = "城市,人口,标签\n" + "".join(f"{'北京' if n % 2 else '上海'},{n},{'大' if n % 3 else '小'}\n" for n in range(60))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-32"])
def test_chinese_files_are_read_in_the_encodings_they_come_in(tmp_path: Path, encoding: str) -> None:
    data = read_table(write(tmp_path / "城市.csv", CSV, encoding))
    assert data.schema.names == ("城市", "人口", "标签")
    assert data.row(1) == {"城市": "北京", "人口": 1, "标签": "大"}
    assert data.classes == ("大", "小")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    data = read_table(write(tmp_path / "a.csv", CSV.replace(",", separator)))
    assert data.schema.names == ("城市", "人口", "标签")


def test_quotes_may_hold_separators_and_lines(tmp_path: Path) -> None:
    data = read_table(write(tmp_path / "a.csv", 'a,b\n"x, y","one\ntwo"\n"say ""hi""",z\n'))
    assert list(data) == [{"a": "x, y", "b": "one\ntwo"}, {"a": 'say "hi"', "b": "z"}]


def test_missing_values_are_missing(tmp_path: Path) -> None:
    data = read_table(write(tmp_path / "a.csv", "n,t\n1.5,x\nNA,\n,y\n"))
    assert [row["n"] for row in data] == [1.5, None, None]
    assert [row["t"] for row in data] == ["x", None, "y"]


@pytest.mark.parametrize(
    ("late", "expected"), [("7.5", 0.0), ("kein", "0"), ("", 0)], ids=["decimal", "text", "missing"]
)
def test_a_value_late_in_the_file_widens_the_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str, expected: object
) -> None:
    monkeypatch.setattr(csv_file, "_BLOCK_BYTES", 1024)
    rows = [f"{n},t{n}" for n in range(2000)]
    data = read_table(write(tmp_path / "a.csv", "\n".join(["n,t", *rows, f"{late},end"]) + "\n"))
    assert len(data) == 2001
    assert data.table["n"][0].as_py() == expected
    assert data.table["t"][-1].as_py() == "end"


def test_a_row_longer_than_a_block_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "_BLOCK_BYTES", 1024)
    data = read_table(write(tmp_path / "a.csv", f"a,b\n1,{'长' * 9000}\n2,x\n"))
    assert len(str(data.row(0)["b"])) == 9000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 values, the header has 2"),
        ("a,a\n1,2\n", "two columns of this name"),
        ("", "is empty"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_table(write(tmp_path / "a.csv", text))


def test_unknown_text_asks_for_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("name,x\ncafé,1\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match="encoding="):
        read_table(path)
    assert read_table(path, encoding="latin-1").row(0)["name"] == "café"


def test_json_lines_may_lack_fields_and_nest(tmp_path: Path) -> None:
    lines = '\ufeff{"文": "好", "v": [1, 2]}\n\n{"文": "坏", "label": 1}\n'
    data = read_table(write(tmp_path / "a.jsonl", lines))
    assert [row["label"] for row in data] == [None, 1]
    assert data.schema["v"].kind == "tensor"


@pytest.mark.parametrize(("line", "message"), [("{oops", "line 2: not JSON"), ("[1]", "line 2: not a JSON object")])
def test_a_wrong_json_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_table(write(tmp_path / "a.jsonl", f'{{"a": 1}}\n{line}\n'))


@pytest.mark.parametrize("written", ['[{"文": "好"},\n {"文": "坏", "label": 1}]', '{"文": "好"}\n{"文": "坏"}'])
def test_a_json_file_holds_a_list_of_rows_or_one_a_line(tmp_path: Path, written: str) -> None:
    data = read_table(write(tmp_path / "a.json", f"\ufeff \n{written}\n"))
    assert [row["文"] for row in data] == ["好", "坏"]


def test_a_list_of_rows_may_be_longer_than_a_block(tmp_path: Path) -> None:
    rows = [{"n": number, "文": "长文" * (number % 97), "signs": ']},\\" {['} for number in range(9_000)]
    rows[4_000]["文"] = "很长" * 1_000_000
    for path, indent in ((tmp_path / "a.json", None), (tmp_path / "b.json.gz", 2)):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "wt", encoding="utf-8") as file:
            json.dump(rows, file, ensure_ascii=False, indent=indent)
        assert [(row["n"], row["文"]) for row in read_table(path)] == [(row["n"], row["文"]) for row in rows]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('[{"a": 1}, {oops}]', "record 1: not JSON"),
        ('[{"a": 1} {"a": 2}]', "record 1: not JSON"),
        ('[{"a": 1}, {"a": 2}', "record 1: not JSON"),
        ('[{"a": 1},]', "record 1: not JSON"),
        ("[", "record 0: not JSON"),
        ('[{"a": 1}, 2]', "record 1: not a JSON object"),
        ('[{"a": 1}][{"a": 2}]', "goes on after its list"),
        ('{"a": {"0": 1, "1": 2}}', "no list of objects.*orient='records'"),
        ("[]", "is empty"),
        ("", "no list of objects"),
    ],
)
def test_a_wrong_list_of_rows_is_named(tmp_path: Path, written: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_table(write(tmp_path / "a.json", written))


def test_json_beside_other_tables_of_a_folder_is_no_part_of_them(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "n,label\n1,x\n2,y\n")
    write(tmp_path / "about.json", '{"licence": "CC0"}')
    assert len(read_table(tmp_path)) == 2


def test_mixed_types_name_the_column(tmp_path: Path) -> None:
    lines = '{"a": 1, "b": 1}\n' * 2048 + '{"a": 1, "b": "x"}\n'
    with pytest.raises(InvalidInput, match="b: holds int64 and string"):
        read_table(write(tmp_path / "a.jsonl", lines))


def test_every_format_gives_the_same_data(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2, 3], "label": ["好", "坏", None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    pa.csv.write_csv(table, tmp_path / "a.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    write(tmp_path / "a.jsonl", '{"n":1,"label":"好"}\n{"n":2,"label":"坏"}\n{"n":3,"label":null}\n')
    digests = {read_table(tmp_path / name).digest for name in ("a.parquet", "a.csv", "a.csv.gz", "a.jsonl")}
    assert len(digests) == 1


@pytest.mark.parametrize("options", [{}, {"workers": 2}])
def test_a_folder_of_tables_is_one(tmp_path: Path, options: dict[str, int]) -> None:
    for part in range(3):
        parquet.write_table(pa.table({"n": [part * 2, part * 2 + 1]}), tmp_path / f"{part}.parquet", row_group_size=1)
    assert [row["n"] for row in read_table(tmp_path, **options)] == list(range(6))  # type: ignore[arg-type]


def test_a_pattern_names_the_tables_that_fit(tmp_path: Path) -> None:
    for name in ("2024-01", "2024-02", "2023-12", "[1]*"):
        write(tmp_path / f"{name}.csv", f"n,月\n{len(name)},{name}\n")
    assert [row["月"] for row in read_table(tmp_path / "2024-*.csv", "n")] == ["2024-01", "2024-02"]
    assert [row["月"] for row in read_table(tmp_path / "[1]*.csv", "n")] == ["[1]*"]  # a file of this very name
    with pytest.raises(NotFound, match="no file like"):
        read_table(tmp_path / "2025-*.csv")


def test_pictures_beside_the_table_are_read(tmp_path: Path) -> None:
    (tmp_path / "图").mkdir()
    for name in "ab":
        (tmp_path / "图" / f"{name}.png").write_bytes(name.encode())
    data = read_table(write(tmp_path / "a.csv", "file,label\n图/a.png,x\n图/b.png,y\n"))
    assert [row["file"] for row in data] == [b"a", b"b"]


def test_wrong_paths_and_endings(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match="read_listing"):
        read_table("https://example.org/a.csv")
    with pytest.raises(InvalidInput, match="ending that is not known"):
        read_table(write(tmp_path / "a.xyz", "x"))
    for ending, advice in (("xlsx", "read_excel"), ("xls", "read_excel"), ("json", "jsonl")):
        with pytest.raises(InvalidInput, match=advice):
            read_table(write(tmp_path / f"a.{ending}", "x"))
    with pytest.raises(InvalidInput, match="not a whole Parquet file"):
        read_table(write(tmp_path / "a.parquet", "PAR1"))
    with pytest.raises(InvalidInput, match="no tables"):
        (tmp_path / "empty").mkdir()
        read_table(tmp_path / "empty")


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_above_the_budget_the_table_lies_in_a_file(tmp_path: Path, cache: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "jsonl":
        path.write_text("".join(f'{{"n": {n}, "t": "文{n}"}}\n' for n in range(5000)), encoding="utf-8")
    else:
        table = pa.table({"n": range(5000), "t": [f"文{n}" for n in range(5000)]})
        parquet.write_table(table, path) if ending == "parquet" else pa.csv.write_csv(table, path)
    small = read_table(path, memory_budget_bytes=1000, cache_directory=cache)
    (kept,) = cache.iterdir()
    before = kept.stat().st_mtime_ns
    again = read_table(path, memory_budget_bytes=1000, cache_directory=cache)
    assert small.digest == again.digest == read_table(path).digest
    assert kept.stat().st_mtime_ns == before


def test_a_changed_file_is_read_anew(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "a.csv", CSV)
    first = read_table(path, memory_budget_bytes=10, cache_directory=cache)
    write(path, CSV + "天津,5,大\n")
    second = read_table(path, memory_budget_bytes=10, cache_directory=cache)
    assert (len(first), len(second)) == (60, 61)


def test_a_broken_read_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n' * 5000 + "{oops\n")
    with pytest.raises(InvalidInput, match="line 5001"):
        read_table(path, memory_budget_bytes=10, cache_directory=cache)
    assert list(cache.iterdir()) == []


_READ_ALL = """
    import sys, threading, time
    from pathlib import Path
    from lepton_ai.datasets import read_table, Dataset

    def anonymous_kib():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    for small in sys.argv[2].split(","):  # whatever loads at first use
        read_table(small, cache_directory=sys.argv[3])
    peak, before, done = 0, anonymous_kib(), threading.Event()

    def watch():
        global peak
        while not done.wait(0.005):
            peak = max(peak, anonymous_kib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    data = read_table(Path(sys.argv[1]), memory_budget_bytes=8 << 20, cache_directory=sys.argv[3])
    train, test = data.shuffle(1).split(0.5, stratify=False)
    seen = sum(len(row["t"]) for row in train.rows(["t"]))
    data.digest
    done.set()
    watcher.join()
    print(len(data), data.table.nbytes, seen, peak - before)
"""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_memory_stays_low_on_a_table_larger_than_the_budget(tmp_path: Path, ending: str) -> None:
    rows, text = 150_000, "x" * 1000
    path, small = tmp_path / f"big.{ending}", write(tmp_path / "small.csv", "n,t\n1,x\n")
    parquet.write_table(pa.table({"n": [1]}), tmp_path / "small.parquet")
    if ending == "csv":
        with path.open("w", encoding="utf-8") as file:
            file.write("n,t\n")
            file.writelines(f"{n},{text}{n}\n" for n in range(rows))
    else:
        with parquet.ParquetWriter(
            path, pa.schema([("n", pa.int64()), ("t", pa.string())]), use_dictionary=False
        ) as out:
            for start in range(0, rows, 10_000):
                numbers = range(start, start + 10_000)
                out.write_table(pa.table({"n": numbers, "t": [f"{text}{n}" for n in numbers]}))
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(_READ_ALL),
        str(path),
        f"{small},{tmp_path}/small.parquet",
        str(tmp_path / "cache"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    count, size_bytes, seen, grown_kib = map(int, done.stdout.split())
    assert count == rows
    assert seen > rows // 2 * 1000
    assert size_bytes > 150_000_000
    assert grown_kib * 1024 < 100_000_000  # and no more for a table of any size


def test_a_table_without_rows_is_a_data_set_without_rows(tmp_path: Path) -> None:
    data = read_table(write(tmp_path / "a.csv", "a,b\n"))
    assert isinstance(data, Dataset)
    assert (len(data), data.schema.names, list(data)) == (0, ("a", "b"), [])
