"""Spans in SQLite: nothing twice, the newest within the bound and as whole traces, nothing lost by dying."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import FailedPrecondition
from lepton_ai.traces.exports import Export, accept_protobuf
from lepton_ai.traces.reader import TraceReader
from lepton_ai.traces.store import TraceStore, Written
from tests.unit.traces.samples import PREDICTION, Sample, otlp, span_id, trace_id

TRACE = trace_id("trace")

Open = Callable[..., TraceStore]


def export_of(*traces: tuple[str, int], first: int = 0) -> Export:
    """One export with this many spans of each trace, named from `first` on."""
    request = otlp([])
    for name, number in traces:
        samples = [Sample(f"{at}", "s", at, 1) for at in range(first, first + number)]
        request.MergeFrom(otlp(samples, trace=name))
    return accept_protobuf(request.SerializeToString(), max_span_bytes=10_000)


def prediction(start: int = 0, stop: int = len(PREDICTION)) -> Export:
    return accept_protobuf(otlp(PREDICTION[start:stop]).SerializeToString(), max_span_bytes=100_000)


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


def kept_counts(store: TraceStore, path: Path) -> dict[bytes, int]:
    """The traces that can be read, each with its number of distinct spans."""
    reader = TraceReader(path, store.directory)
    found = reader.traces(reader.directory.newest(1000))
    reader.close()
    return {trace: len(spans) for trace, spans in found.items()}


def row_count(store: TraceStore, path: Path, table: str) -> Any:
    reader = TraceReader(path, store.directory)
    rows = reader.query(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names are in these tests
    reader.close()
    return rows[0][0]


def test_what_was_written_is_read(open_store: Open, path: Path) -> None:
    store = open_store()
    assert store.write(prediction()) == Written(stored=len(PREDICTION), over_limit=0)

    reader = TraceReader(path, store.directory)
    spans = reader.trace(TRACE)
    assert {span.span_id for span in spans} == {span_id(sample.name) for sample in PREDICTION}
    assert [span.start_ns for span in spans] == sorted(span.start_ns for span in spans)
    assert reader.trace(b"x" * 16) == []
    reader.close()


def test_a_span_that_is_delivered_again_is_shown_once(open_store: Open, path: Path) -> None:
    store = open_store()
    store.write(prediction(0, 5))
    store.write(prediction(3, 7))

    assert kept_counts(store, path) == {TRACE: 7}


def test_a_store_that_was_not_closed_opens_with_all_that_was_written(
    open_store: Open, path: Path, tmp_path: Path
) -> None:
    open_store().write(prediction())
    killed = tmp_path / "killed"
    shutil.copytree(path.parent, killed)  # what lies on the disk while the store is open

    reopened = make_store(killed / path.name)
    assert reopened.spans == len(PREDICTION)
    reopened.write(prediction())
    assert kept_counts(reopened, killed / path.name) == {TRACE: len(PREDICTION)}
    reopened.close()


def test_the_trace_not_heard_of_for_longest_goes_first_and_as_a_whole(open_store: Open, path: Path) -> None:
    store = open_store(max_spans=10)
    for name in ("a", "b", "c"):
        store.write(export_of((name, 3)))
    store.write(export_of(("a", 1), first=3))  # one span more: "a" is young again

    store.write(export_of(("d", 3)))

    assert kept_counts(store, path) == {trace_id("a"): 4, trace_id("c"): 3, trace_id("d"): 3}


def test_bytes_are_bounded_too(open_store: Open, path: Path) -> None:
    store = open_store(max_stored_bytes=2 * len(export_of(("a", 5)).body))
    for name in ("a", "b", "c"):
        store.write(export_of((name, 5)))

    assert set(kept_counts(store, path)) == {trace_id("b"), trace_id("c")}


def test_exports_of_which_no_trace_is_left_are_deleted(open_store: Open, path: Path) -> None:
    store = open_store(max_spans=10)
    for number in range(30):
        store.write(export_of((f"{number}", 5)))

    assert row_count(store, path, "exports") <= 3
    assert row_count(store, path, "extents") <= 3


def test_a_trace_that_comes_back_does_not_bring_its_old_spans_along(open_store: Open, path: Path) -> None:
    store = open_store(max_spans=6)
    store.write(export_of(("back", 2), ("stays", 2)))
    store.write(export_of(("stays", 2), first=2))
    store.write(export_of(("new", 1)))  # "back" goes, its export stays for "stays"
    store.write(export_of(("back", 1), first=9))

    assert kept_counts(store, path) == {trace_id("back"): 1, trace_id("stays"): 4, trace_id("new"): 1}


def test_a_trace_that_goes_while_it_is_read_is_not_shown_in_part(open_store: Open, path: Path) -> None:
    store = open_store()
    store.write(export_of(("going", 2), ("staying", 1)))
    store.write(export_of(("going", 2), first=2))
    with sqlite3.connect(path) as connection:  # what the writer does between the reader's two steps
        connection.execute("DELETE FROM exports WHERE id = 2")
    connection.close()

    assert kept_counts(store, path) == {trace_id("staying"): 1}


def test_one_trace_cannot_push_out_all_others(open_store: Open, path: Path) -> None:
    store = open_store(max_trace_spans=4)
    endless = export_of(("endless", 10), ("other", 2))

    assert store.write(endless) == Written(stored=6, over_limit=6)
    assert store.write_all([export_of(("endless", 1)), export_of(("other", 3))]) == [Written(0, 1), Written(2, 1)]
    assert kept_counts(store, path) == {trace_id("endless"): 4, trace_id("other"): 2}


_EXPORTS = st.lists(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 6)), min_size=1, max_size=3, unique_by=lambda t: t[0]),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_EXPORTS, min_size=1, max_size=4))
def test_the_bound_holds_and_kept_traces_are_whole(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[list[tuple[str, int]]]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "t.db"
    model: dict[str, int] = {}  # what should be there, least recently heard of first
    names = count()
    for exports in lives:
        store = make_store(path, max_spans=12, max_trace_spans=12)
        assert kept_counts(store, path) == {trace_id(name): spans for name, spans in model.items()}
        for export in exports:
            room = {name: 12 - model.get(name, 0) for name, _ in export}
            store.write(export_of(*export, first=100 * next(names)))
            for name, spans in export:
                if room[name]:  # of a full trace nothing is heard any more
                    model[name] = model.pop(name, 0) + min(spans, room[name])
            while sum(model.values()) > 12:
                model.pop(next(iter(model)))
            assert kept_counts(store, path) == {trace_id(name): spans for name, spans in model.items()}
            assert store.spans == sum(model.values())
        store.close()


def test_a_kill_between_eviction_and_deletion_brings_no_half_trace_back(
    open_store: Open, path: Path, tmp_path: Path
) -> None:
    store = open_store(max_spans=8)
    store.write(export_of(("a", 2), ("b", 2)))
    store.write(export_of(("a", 2), ("c", 2), first=2))
    store.write(export_of(("d", 1)))  # now "b" is gone
    shutil.copytree(path.parent, tmp_path / "killed")

    again = make_store(tmp_path / "killed" / path.name, max_spans=8)
    assert kept_counts(again, tmp_path / "killed" / path.name) == kept_counts(store, path)
    again.close()


def test_a_write_that_fails_changes_nothing(open_store: Open, path: Path) -> None:
    store = open_store()
    store.write(export_of(("a", 2)))
    broken = replace(prediction(), body=object())  # type: ignore[arg-type]

    with pytest.raises(sqlite3.Error):
        store.write_all([export_of(("b", 2)), broken])

    assert store.spans == 2
    assert kept_counts(store, path) == {trace_id("a"): 2}
    assert store.write(export_of(("b", 2))).stored == 2


def test_a_full_disk_costs_the_spans_that_it_has_no_room_for_and_is_called_that(open_store: Open, path: Path) -> None:
    store = open_store()
    store.write_all([export_of(("before", 2))])
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        store.write_all([export_of(("lost", 500))])
    store._connection.execute("PRAGMA max_page_count = 100000")
    store.write_all([export_of(("after", 2))])
    assert kept_counts(store, path) == {trace_id("before"): 2, trace_id("after"): 2}


def test_a_file_that_is_no_database_is_set_aside(path: Path) -> None:
    content = b"not a database, and long enough to look like one" * 100
    path.parent.mkdir()
    path.write_bytes(content)

    store = make_store(path)
    assert store.write(prediction()).stored == len(PREDICTION)
    store.close()
    assert path.with_name(path.name + ".unusable").read_bytes() == content


def test_a_torn_database_is_set_aside(path: Path) -> None:
    store = make_store(path)
    store.write(prediction())
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))

    store = make_store(path)
    assert store.write(prediction()).stored == len(PREDICTION)
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
