"""`lepton logs`: which files, whose lines, and following them when they are turned over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton_ai.cli.log_lines import LogPrinter, LogTail, choose_logs
from lepton_ai.errors import NotFound
from lepton_ai.local.processes.run_directory import RunDirectory


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path)
    directory.make()
    for name in ("etcd", "preprocess-1", "preprocess-2"):
        directory.log(name).write_text(f"{name} 一\n{name} 二\n", encoding="utf-8")
    return directory


def test_without_names_all_logs_are_meant(directory: RunDirectory) -> None:
    assert list(choose_logs(directory, [])) == ["etcd", "preprocess-1", "preprocess-2"]


def test_a_part_means_all_its_replicas(directory: RunDirectory) -> None:
    assert list(choose_logs(directory, ["preprocess"])) == ["preprocess-1", "preprocess-2"]


def test_a_process_means_itself(directory: RunDirectory) -> None:
    assert list(choose_logs(directory, ["preprocess-2"])) == ["preprocess-2"]


def test_an_unknown_name_is_answered_with_the_known_ones(directory: RunDirectory) -> None:
    with pytest.raises(NotFound, match="etcd, preprocess-1, preprocess-2"):
        choose_logs(directory, ["etcd", "inferense"])


def test_without_a_stack_there_are_no_logs(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="lepton up"):
        choose_logs(RunDirectory(tmp_path), [])


def test_each_line_comes_after_the_name_of_its_process(
    directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    LogPrinter(choose_logs(directory, ["etcd", "preprocess-1"])).print_last(1)
    assert capsys.readouterr().out.splitlines() == ["etcd         │ etcd 二", "preprocess-1 │ preprocess-1 二"]


def test_lines_for_programs_are_json(directory: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    LogPrinter(choose_logs(directory, ["etcd"]), as_json=True).print_last(2)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"process": "etcd", "line": "etcd 一"}, {"process": "etcd", "line": "etcd 二"}]


def test_a_tail_gives_only_what_is_added_and_only_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old\n")
    tail = LogTail(path)
    with path.open("ab") as log:
        log.write("新 li".encode())
        log.flush()
        assert tail.read_new() == []
        log.write(b"ne\nnext\n")
    assert tail.read_new() == ["新 line", "next"]
    assert tail.read_new() == []


def test_a_tail_follows_a_log_that_is_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old\n")
    tail = LogTail(path)
    path.rename(tmp_path / "a.log.1")
    assert tail.read_new() == []
    path.write_bytes(b"a much longer line than before\n")
    assert tail.read_new() == ["a much longer line than before"]


def test_a_tail_follows_a_log_that_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old old old\n")
    tail = LogTail(path)
    path.write_bytes(b"new\n")
    assert tail.read_new() == ["new"]
