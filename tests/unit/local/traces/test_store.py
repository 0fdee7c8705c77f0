"""Spans in SQLite: nothing twice, the newest within the bound and as whole traces, nothing lost by dying."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import FailedPrecondition
from lepton_ai.local.traces.spans import SpanRow, accept
from lepton_ai.local.traces.store import TraceReader, TraceStore, Written
from tests.unit.local.traces.samples import PREDICTION, Sample, otlp, trace_id

ROWS = accept(otlp(PREDICTION), max_span_bytes=100_000).rows
TRACE = trace_id("trace")

Open = Callable[..., TraceStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "痕迹.db"


@pytest.fixture
def open_store(path: Path) -> Iterator[Open]:
    opened: list[TraceStore] = []

    def open_one(**limits: int) -> TraceStore:
        opened.append(make_store(path, **limits))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def make_store(
    path: Path, *, max_spans: int = 1000, max_stored_bytes: int = 10**9, max_trace_spans: int = 1000
) -> TraceStore:
    return TraceStore(path, max_spans=max_spans, max_stored_bytes=max_stored_bytes, max_trace_spans=max_trace_spans)


def rows_of(name: str, count: int) -> list[SpanRow]:
    return list(accept(otlp([Sample(f"{i}", "s", i, 1) for i in range(count)], trace=name), max_span_bytes=10_000).rows)


def stored_counts(path: Path) -> dict[bytes, int]:
    reader = TraceReader(path)
    rows = reader.query("SELECT trace_id, count(*) FROM spans GROUP BY trace_id")
    reader.close()
    return dict(rows)  # type: ignore[arg-type]


def test_what_was_written_is_read(open_store: Open, path: Path) -> None:
    assert open_store().write(ROWS) == Written(stored=len(ROWS), duplicates=0, over_limit=0)

    reader = TraceReader(path)
    assert {span.body for span in reader.trace(TRACE)} == {row.body for row in ROWS}
    assert {span.source for span in reader.trace(TRACE)} == {row.source for row in ROWS}
    assert reader.trace(b"x" * 16) == []
    reader.close()


def test_a_span_that_is_delivered_again_is_not_stored_again(open_store: Open, path: Path) -> None:
    store = open_store()
    store.write(ROWS[:5])

    assert store.write(ROWS[3:7] + ROWS[6:7]) == Written(stored=2, duplicates=3, over_limit=0)
    assert store.spans == 7
    assert stored_counts(path) == {TRACE: 7}


def test_a_store_that_was_not_closed_opens_with_all_that_was_written(
    open_store: Open, path: Path, tmp_path: Path
) -> None:
    open_store().write(ROWS)
    killed = tmp_path / "killed"
    shutil.copytree(path.parent, killed)  # what lies on the disk while the store is open

    reopened = make_store(killed / path.name)
    assert reopened.spans == len(ROWS)
    assert reopened.write(ROWS).duplicates == len(ROWS)
    reopened.close()


def test_the_trace_not_heard_of_for_longest_goes_first_and_as_a_whole(open_store: Open, path: Path) -> None:
    store = open_store(max_spans=10)
    for name in ("a", "b", "c"):
        store.write(rows_of(name, 3))
    store.write(rows_of("a", 4))  # one span more: "a" is young again

    store.write(rows_of("d", 3))

    assert stored_counts(path) == {trace_id("a"): 4, trace_id("c"): 3, trace_id("d"): 3}


def test_bytes_are_bounded_too(open_store: Open, path: Path) -> None:
    size = sum(row.size_bytes for row in rows_of("a", 5))
    store = open_store(max_stored_bytes=2 * size)
    for name in ("a", "b", "c"):
        store.write(rows_of(name, 5))

    assert set(stored_counts(path)) == {trace_id("b"), trace_id("c")}


def test_one_trace_cannot_push_out_all_others(open_store: Open) -> None:
    store = open_store(max_trace_spans=4)
    endless = rows_of("endless", 10)

    assert store.write(endless) == Written(stored=4, duplicates=0, over_limit=6)
    assert store.write(endless) == Written(stored=0, duplicates=4, over_limit=6)


_EXPORTS = st.lists(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 6)), min_size=1, max_size=3), min_size=1, max_size=12
)


@settings(max_examples=40, deadline=None)
@given(_EXPORTS)
def test_the_bound_holds_and_kept_traces_are_whole(
    tmp_path_factory: pytest.TempPathFactory, exports: list[list[tuple[str, int]]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "t.db"
    store = make_store(path, max_spans=12)
    model: dict[str, int] = {}  # what should be there, least recently heard of first
    for export in exports:
        store.write_all([rows_of(name, count) for name, count in export])
        for name, count in export:
            if count > model.get(name, 0):
                model.pop(name, None)
                model[name] = count
        while sum(model.values()) > 12:
            model.pop(next(iter(model)))
        assert stored_counts(path) == {trace_id(name): count for name, count in model.items()}
        assert store.spans == sum(model.values())
    store.close()


def test_resources_that_no_span_has_any_more_are_forgotten(open_store: Open, path: Path) -> None:
    store = open_store(max_spans=100)
    row = ROWS[0]
    for restart in range(2100):
        store.write([replace(row, trace_id=restart.to_bytes(16, "big"), source=restart.to_bytes(4, "big"))])

    reader = TraceReader(path)
    (count,) = reader.query("SELECT count(*) FROM sources")[0]
    reader.close()
    assert isinstance(count, int)
    assert 100 <= count <= 1100


def test_a_write_that_fails_changes_nothing(open_store: Open, path: Path) -> None:
    store = open_store()
    store.write(rows_of("a", 2))
    broken = replace(ROWS[0], body=object())  # type: ignore[arg-type]

    with pytest.raises(sqlite3.Error):
        store.write([*rows_of("b", 2), broken])

    assert store.spans == 2
    assert stored_counts(path) == {trace_id("a"): 2}
    assert store.write(rows_of("b", 2)).stored == 2


def test_a_file_that_is_no_database_is_set_aside(path: Path) -> None:
    content = b"not a database, and long enough to look like one" * 100
    path.parent.mkdir()
    path.write_bytes(content)

    store = make_store(path)
    assert store.write(ROWS).stored == len(ROWS)
    store.close()
    assert path.with_name(path.name + ".unusable").read_bytes() == content


def test_a_torn_database_is_set_aside(path: Path) -> None:
    store = make_store(path)
    store.write(ROWS)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))

    store = make_store(path)
    assert store.write(ROWS).stored == len(ROWS)
    store.close()


def test_a_database_of_another_version_is_set_aside(path: Path) -> None:
    make_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()

    store = make_store(path)
    assert store.spans == 0
    store.close()
    assert path.with_name(path.name + ".unusable").exists()


def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (x)")
    connection.close()

    with pytest.raises(FailedPrecondition, match="not a trace store"):
        make_store(path)

    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]
    connection.close()
