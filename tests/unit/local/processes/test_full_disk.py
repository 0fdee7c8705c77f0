"""Supervision on a full disk: it goes on, and makes up for what could not be written once there is room."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from supervisor import loggers, supervisord

from lepton_ai.local.processes import expendable
from lepton_ai.local.processes import supervisord as ours
from lepton_ai.local.processes.expendable import ExpendableData
from lepton_ai.local.processes.number_files import NumberFile
from lepton_ai.local.processes.patient_log import PatientFileHandler
from lepton_ai.local.processes.supervisord import StackSupervisor


def _no_room(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Stream:
    """A log file on a disk that may be full."""

    closed = False

    def __init__(self) -> None:
        self.full = False
        self.text = b""

    def write(self, data: bytes) -> None:
        if self.full:
            _no_room()
        self.text += data

    def flush(self) -> None:
        """Nothing is held back."""

    def tell(self) -> int:
        return len(self.text)


def _handler(path: Path, **options: int) -> PatientFileHandler:
    handler = PatientFileHandler(str(path), "ab", **{"maxBytes": 1000, "backupCount": 1, **options})
    handler.setFormat("%(message)s")
    return handler


def _emit(handler: PatientFileHandler, line: bytes) -> None:
    handler.emit(loggers.LogRecord(loggers.LevelsByName.INFO, line))


class TestNumberFiles:
    def test_a_number_that_found_no_room_is_written_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = NumberFile(tmp_path / "etcd.pid")
        with monkeypatch.context() as full:
            full.setattr(Path, "write_text", _no_room)
            file.write(17)
            assert not file.settle()
        assert file.settle()
        assert (tmp_path / "etcd.pid").read_text() == "17\n"

    def test_the_old_pid_goes_even_when_the_new_one_finds_no_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = NumberFile(tmp_path / "etcd.pid")
        file.write(17)
        file.delete()
        with monkeypatch.context() as full:
            full.setattr(Path, "write_text", _no_room)
            file.write(18)
        assert not (tmp_path / "etcd.pid").exists()

    def test_what_was_deleted_meanwhile_is_not_written_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = NumberFile(tmp_path / "etcd.pid")
        with monkeypatch.context() as full:
            full.setattr(Path, "write_text", _no_room)
            file.write(17)
        file.delete()
        assert file.settle()
        assert not (tmp_path / "etcd.pid").exists()


class TestLogs:
    def test_lines_that_find_no_room_are_counted_in_the_log_itself(self, tmp_path: Path) -> None:
        handler = _handler(tmp_path / "etcd.log")
        handler.stream.close()
        handler.stream = stream = _Stream()
        _emit(handler, b"one\n")
        stream.full = True
        _emit(handler, b"two\n")
        _emit(handler, b"three\n")
        stream.full = False
        _emit(handler, b"four\n")
        _emit(handler, b"five\n")
        assert stream.text.decode().splitlines() == [
            "one",
            "four",
            "(supervisor: the disk was full, 2 writes before this line are missing or cut)",
            "five",
        ]

    def test_a_file_that_cannot_be_turned_over_is_opened_again_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handler = _handler(tmp_path / "etcd.log", maxBytes=200)
        with monkeypatch.context() as full:
            full.setattr(PatientFileHandler, "removeAndRename", _no_room)
            _emit(handler, b"x" * 250 + b"\n")
            assert handler.stream.closed
        _emit(handler, b"four\n")
        handler.close()
        assert (tmp_path / "etcd.log.1").read_text().endswith("x\nfour\n")


class TestTheLoop:
    def test_an_error_of_the_system_does_not_end_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        turns = iter([OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), None])

        def turn(_: object) -> None:
            error = next(turns)
            if error is not None:
                raise error

        monkeypatch.setattr(supervisord.Supervisor, "runforever", turn)
        monkeypatch.setattr(ours, "_PAUSE_S", 0)
        StackSupervisor(SimpleNamespace(logger=SimpleNamespace(critical=said.append))).runforever()
        assert len(said) == 2
        assert next(turns, "all were used") == "all were used"


class TestExpendableData:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "etcd"
        path.mkdir()
        (path / "wal").write_bytes(b"torn")
        return path

    def test_data_on_which_a_process_does_not_start_three_times_are_set_aside(self, path: Path) -> None:
        data = ExpendableData(path)
        assert [data.failed(), data.failed()] == ["", ""]
        assert "set aside as etcd.unusable" in data.failed()
        assert not path.exists()
        assert (path.with_name("etcd.unusable") / "wal").read_bytes() == b"torn"

    def test_a_start_that_succeeds_begins_the_count_anew(self, path: Path) -> None:
        data = ExpendableData(path)
        data.failed()
        data.failed()
        data.started()
        assert data.failed() == ""
        assert path.exists()

    def test_on_a_full_disk_the_data_are_not_to_blame(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        data = ExpendableData(path)
        with monkeypatch.context() as full:
            full.setattr(expendable, "free_bytes", lambda _: 10 << 20)
            assert [data.failed() for _ in range(10)] == [""] * 10
        assert data.failed() == ""
        assert path.exists()

    def test_only_the_last_data_set_aside_are_kept(self, path: Path) -> None:
        data = ExpendableData(path)
        for content in (b"first", b"second"):
            path.mkdir(exist_ok=True)
            (path / "wal").write_bytes(content)
            assert [bool(data.failed()) for _ in range(3)] == [False, False, True]
        assert (path.with_name("etcd.unusable") / "wal").read_bytes() == b"second"
