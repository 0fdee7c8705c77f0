"""Bringing a stack up where that cannot be done."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lepton_ai.errors import ResourceExhausted
from lepton_ai.local.processes import lifecycle
from lepton_ai.local.processes.lifecycle import Stack, StackOptions


def test_a_full_disk_is_called_that_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lifecycle, "write_state", no_room)
    with pytest.raises(ResourceExhausted, match="disk of the run directory is full"):
        Stack(tmp_path, parts=()).bring_up(StackOptions(usual_ports=False))


def test_other_errors_of_the_system_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(lifecycle, "write_state", refuse)
    with pytest.raises(PermissionError):
        Stack(tmp_path, parts=()).bring_up(StackOptions(usual_ports=False))
