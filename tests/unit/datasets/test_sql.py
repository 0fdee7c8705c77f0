"""SQL answers as data sets, on a real SQLite."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from lepton_ai.datasets import from_rows, read_sql
from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, InvalidInput, NotFound, Unavailable

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n"
ENDLESS_ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "客户.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE 客户 (名字 TEXT, age INTEGER, income REAL, photo BLOB, label TEXT)")
    rows = [
        (f"张{n}" * 3, n, n * 1.5 if n % 7 else None, b"\x89PNG\r\n\x1a\n", "甲" if n % 2 else "乙")
        for n in range(5000)
    ]
    connection.executemany("INSERT INTO 客户 VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    yield f"sqlite:///{path}"


def test_a_query_becomes_a_data_set(url: str) -> None:
    data = read_sql("SELECT * FROM 客户 ORDER BY age", url)
    assert len(data) == 5000
    kinds = [column.kind for column in data.schema]
    assert kinds == ["text", "number", "number", "image", "category"]
    assert data.row(7)["income"] is None
    assert data.classes == ("乙", "甲")
    assert "password" not in data.lineage.source


def test_parameters_are_never_pasted_in(url: str) -> None:
    query = "SELECT age FROM 客户 WHERE 名字 = :name"
    assert len(read_sql(query, url, {"name": "张3张3张3"})) == 1
    assert len(read_sql(query, url, {"name": "x' OR '1'='1"})) == 0


def test_more_rows_than_the_budget_go_through_a_file(url: str, tmp_path: Path) -> None:
    query = "SELECT * FROM 客户 ORDER BY age"
    directory = tmp_path / "cache"
    spilled = read_sql(query, url, memory_budget_bytes=1000, cache_directory=directory)
    assert spilled.digest == read_sql(query, url).digest
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("query", [ENDLESS, ENDLESS_ROWS], ids=["no row", "endless rows"])
def test_a_query_is_stopped_at_its_deadline(url: str, query: str, tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded, match=r"longer than 0\.2 s"):
        read_sql(query, url, timeout_s=0.2, cache_directory=tmp_path / "cache")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM missing", "no such table"),
        ("SELEC", "syntax error"),
        ("SELECT :x", "bind parameter 'x'"),
        ("SELECT 1 AS a, 2 AS a", "two columns of this name"),
        ("DELETE FROM 客户", "answers no rows"),
    ],
)
def test_a_wrong_query_says_what_is_wrong(url: str, query: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_sql(query, url)


def test_nothing_is_changed_in_the_database(url: str) -> None:
    with pytest.raises(InvalidInput):
        read_sql("DELETE FROM 客户", url)
    assert len(read_sql("SELECT age FROM 客户", url)) == 5000


def test_wrong_urls(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not the URL of a database"):
        read_sql("SELECT 1", "nonsense")
    with pytest.raises(NotFound):
        read_sql("SELECT 1", f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FailedPrecondition, match="mysql"):
        read_sql("SELECT 1", "mysql+pymysql://user:secret@localhost/db")


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "folder.db").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises((Unavailable, InvalidInput), match="not a database"):
        read_sql("SELECT * FROM a", f"sqlite:///{tmp_path}/folder.db")


def test_values_of_every_type_of_a_database_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "typen.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (n NUMERIC, big INTEGER, b BLOB, day DATE, empty TEXT, label TEXT)")
    rows = [
        (row / 4 if row % 5 else None, 2**62 + row, bytes([row]), f"2024-05-{row + 1:02}", None, "ab"[row % 2])
        for row in range(20)
    ]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    data = read_sql("SELECT * FROM t", f"sqlite:///{path}")
    assert [(column.name, column.kind, column.role) for column in data.schema] == [
        ("n", "number", "input"),
        ("big", "number", "input"),
        ("b", "text", "ignore"),
        ("day", "time", "time"),
        ("empty", "text", "ignore"),
        ("label", "category", "target"),
    ]
    assert data.row(0)["n"] is None
    assert data.row(3)["big"] == 2**62 + 3
    assert all(column.note for column in data.schema if column.role == "ignore")


def test_what_drivers_of_other_databases_give_is_taken() -> None:
    hour, first = datetime.timedelta(hours=1), UUID(int=1)
    rows: list[dict[str, Any]] = [
        {"price": Decimal("1.25"), "id": first, "since": hour, "raw": memoryview(b"a"), "more": {"a": 1}},
        {"price": None, "id": None, "since": None, "raw": None, "more": None},
        {"price": Decimal("NaN"), "id": UUID(int=2), "since": hour * 0, "raw": b"b", "more": {"b": "x"}},
    ]
    data = from_rows(rows)  # which is what read_sql does with them
    assert [row["price"] for row in data] == [1.25, None, None]
    assert [row["since"] for row in data] == [3600.0, None, 0.0]
    assert [row["id"] for row in data][:2] == ["00000000-0000-0000-0000-000000000001", None]
    assert data.schema["more"].note == "nested records: give the fields columns of their own"
