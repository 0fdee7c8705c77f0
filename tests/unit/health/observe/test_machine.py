"""What the machine has against the platform: no room, or no supervisor."""

from __future__ import annotations

import shutil
import socket as listening
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from lepton_ai.testing import eventually
from services.health.observe.machine import Machine


def machine(*, directory: Path | None = None, socket: Path | None = None) -> Machine:
    return Machine(disk_directory=directory, disk_low_bytes=1 << 20, supervisor_socket=socket)


@pytest.fixture
def socket() -> Iterator[Path]:
    """A path that is short enough for a socket, wherever the tests' own folder lies."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "control.sock"


async def test_a_machine_of_which_nothing_is_known_has_no_problems() -> None:
    assert await machine().look() == {}


async def test_a_disk_that_is_nearly_full_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await machine(directory=tmp_path).look() == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 19))
    problem = (await machine(directory=tmp_path).look())["disk"]
    assert "nearly full: 0.5 MiB are left" in problem


async def test_a_disk_that_does_not_answer_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    problem = (await machine(directory=tmp_path).look())["disk"]
    assert "does not answer: Input/output error" in problem


async def test_a_disk_that_hangs_is_a_problem_and_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mended, asked = threading.Event(), []

    def hang(_: object) -> SimpleNamespace:
        asked.append(1)
        assert mended.wait(30)
        return SimpleNamespace(free=1 << 30)

    monkeypatch.setattr(shutil, "disk_usage", hang)
    monkeypatch.setattr("services.health.observe.machine._ANSWER_TIMEOUT_S", 0.01)
    hanging = machine(directory=tmp_path)
    says_so = {"disk": "The disk that the platform writes to does not answer."}
    assert await hanging.look() == await hanging.look() == says_so
    assert asked == [1]
    mended.set()
    await eventually(lambda: _has_no_problems(hanging), description="it answers again")


async def _has_no_problems(found: Machine) -> bool:
    return await found.look() == {}


async def test_a_supervisor_that_is_gone_is_a_problem(socket: Path) -> None:
    with listening.socket(listening.AF_UNIX) as server:
        server.bind(str(socket))
        server.listen()
        assert await machine(socket=socket).look() == {}
    problem = (await machine(socket=socket).look())["supervisor"]
    assert "supervisor is gone" in problem
