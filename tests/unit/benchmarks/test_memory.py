"""The memory suite: the table that it writes, and how it reads what Linux says."""

from __future__ import annotations

from pathlib import Path

from pyarrow import parquet

from benchmarks.memory import ROW_BYTES, write_table
from benchmarks.table_run import read_status


def test_the_table_has_the_size_that_was_asked_for_and_something_to_learn(tmp_path: Path) -> None:
    file = write_table(tmp_path / "rows.parquet", 10_000)

    table = parquet.read_table(file)
    assert table.num_rows == 10_000
    assert 0.95 < file.stat().st_size / (10_000 * ROW_BYTES) < 1.1
    assert set(table["label"].to_pylist()) == {"yes", "no"}


def test_sizes_are_read_from_what_linux_says_about_a_process() -> None:
    text = "Name:\tpython\nVmHWM:\t  123456 kB\nRssAnon:\t    7890 kB\nThreads:\t8\n"

    assert read_status(text) == {"VmHWM": 123456, "RssAnon": 7890}
