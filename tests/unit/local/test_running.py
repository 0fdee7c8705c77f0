"""Which of a user's stacks run, and which one a command in some folder means."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.local.known_homes import homes_folder, known_homes, remember_home
from lepton_ai.local.running import choose_home, meant_home, running_homes, stack_is_down
from lepton_ai.local.stack import StackState, delete_state, write_state


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user whose stacks are those of this test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "状态"))
    monkeypatch.delenv("LEPTON_HOME", raising=False)


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[list[Path]]:
    """Two stacks whose supervisors listen, and one whose supervisor is gone."""
    homes = [tmp_path / name / ".lepton" for name in ("一", "二", "gone")]
    with ExitStack() as listening:
        for number, home in enumerate(homes):
            address = f"{tmp_path}/{number}"
            if home.parent.name != "gone":
                supervisor = listening.enter_context(socket.socket(socket.AF_UNIX))
                supervisor.bind(address)
                supervisor.listen()
            write_state(home, StackState("local", "id", 1.0, {}, supervisor_socket=address))
        yield homes


def test_stacks_are_found_from_any_folder_while_they_run(stacks: list[Path], tmp_path: Path) -> None:
    assert sorted(running_homes()) == sorted(stacks[:2])
    delete_state(stacks[1])
    assert running_homes() == [stacks[0]]
    assert choose_home(tmp_path) == stacks[0]
    assert meant_home() in (stacks[0], Path.cwd() / ".lepton", *Path.cwd().parents)


def test_a_note_that_vanishes_while_it_is_read_hides_no_other(stacks: list[Path]) -> None:
    (homes_folder(os.environ) / "0.home").symlink_to("vanished")
    assert sorted(running_homes()) == sorted(stacks[:2])


def test_the_nearest_stack_is_meant_where_several_run(stacks: list[Path]) -> None:
    below = stacks[1].parent / "deep"
    below.mkdir()
    assert choose_home(below) == stacks[1]


def test_where_none_of_several_is_near_they_are_named(stacks: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="Several stacks run") as caught:
        choose_home(tmp_path)
    assert all(str(home) in caught.value.message for home in stacks[:2])
    assert "LEPTON_HOME=" in caught.value.fix


def test_where_none_runs_the_folders_own_is_meant(tmp_path: Path) -> None:
    assert choose_home(tmp_path) == tmp_path / ".lepton"


def test_that_a_stack_is_down_says_where_and_what_runs_elsewhere(
    stacks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_HOME", str(tmp_path / "nowhere"))
    error = stack_is_down(meant_home())
    assert f"LEPTON_HOME={tmp_path / 'nowhere'}" in error.message
    assert all(str(home) in error.message for home in stacks[:2])
    assert str(stacks[2]) not in error.message


def test_a_run_directory_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    remember_home(tmp_path / "deleted")
    assert running_homes() == []
    assert known_homes() == []


def test_a_state_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    write_state(tmp_path / ".lepton", StackState("docker", "id", 1.0, {"inference": "127.0.0.1:1"}))
    assert known_homes() == []


def test_the_folder_is_that_of_the_users_state() -> None:
    assert homes_folder({"XDG_STATE_HOME": "/s"}) == Path("/s/lepton/stacks")
    assert homes_folder({}) == Path.home() / ".local" / "state" / "lepton" / "stacks"
