"""How much room there is, in words that say what to do."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from lepton_ai.disk import describe_low, free_bytes, is_full


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    usage = SimpleNamespace(free=10 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    return usage


def test_enough_room_is_no_problem(room: SimpleNamespace, tmp_path: Path) -> None:
    assert describe_low(tmp_path) == ""


def test_a_disk_that_is_nearly_full_says_how_much_is_left(room: SimpleNamespace, tmp_path: Path) -> None:
    room.free = 5 << 19
    assert describe_low(tmp_path).startswith("The disk that the platform writes to is nearly full: 2.5 MiB are left.")


def test_a_full_disk_is_called_full(room: SimpleNamespace, tmp_path: Path) -> None:
    room.free = 0
    assert "is full. Make room" in describe_low(tmp_path)


def test_the_room_of_a_folder_that_is_not_there_yet_is_that_of_the_disk_it_will_lie_on(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "there") > 0


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_a_spent_quota_is_a_full_disk_too(number: int, full: bool) -> None:
    assert is_full(OSError(number, "")) is full
