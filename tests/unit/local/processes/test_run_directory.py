"""The run directory: where things lie, what is deleted, and that two commands do not change a stack at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.local.processes.run_directory import RunDirectory


def test_only_the_user_can_look_into_it(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "home")
    directory.make()
    for folder in (directory.home, directory.supervisor, directory.data):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_control_socket_lies_in_the_run_directory_when_its_path_is_short_enough() -> None:
    assert RunDirectory(Path("/p/.lepton")).socket == Path("/p/.lepton/supervisor/control.sock")


def test_a_socket_path_that_is_too_long_is_put_elsewhere_and_still_one_for_each_directory(tmp_path: Path) -> None:
    deep = [RunDirectory(tmp_path / ("深" * 40) / name) for name in ("a", "b")]
    sockets = [directory.socket for directory in deep]
    assert all(len(os.fsencode(path)) < 100 for path in sockets)
    assert sockets[0] != sockets[1]
    assert sockets[0] == RunDirectory(deep[0].home).socket


def test_wiping_deletes_what_stacks_left_but_nothing_else(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.make()
    (directory.data / "model").write_bytes(b"1")
    directory.log("etcd").write_text("x", encoding="utf-8")
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    directory.wipe()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_new_run_begins_new_logs_and_keeps_the_last_ones(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.make()
    directory.log("etcd").write_text("last run", encoding="utf-8")
    directory.set_logs_aside()
    assert not directory.log("etcd").exists()
    assert (directory.logs / "etcd.log.1").read_text(encoding="utf-8") == "last run"


def test_a_second_command_is_told_to_wait(tmp_path: Path) -> None:
    first, second = RunDirectory(tmp_path), RunDirectory(tmp_path)
    with first.locked(), pytest.raises(FailedPrecondition, match="Wait"), second.locked():
        pass


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RunDirectory(tmp_path).locked():
        raise RuntimeError
    with RunDirectory(tmp_path).locked():
        pass
