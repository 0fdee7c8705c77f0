"""Files that another process of the same machine may open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_ai.mesh.machine import is_this_machine, machine_name, open_place, place_of
from lepton_ai.v1 import registry_pb2

CONTENT = "内容".encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written = tmp_path / "权重.bin"
    written.write_bytes(CONTENT)
    return written


def test_a_place_leads_to_its_file(path: Path) -> None:
    file = open_place(place_of(path))
    assert file is not None
    with file:
        assert file.read() == CONTENT


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(CONTENT)
    other.replace(path)


def linked(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def made_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [Path.unlink, replaced, linked, made_a_pipe, made_a_folder])
def test_what_is_another_file_by_now_is_not_opened(path: Path, change: Callable[[Path], None]) -> None:
    place = place_of(path)
    change(path)
    assert open_place(place) is None


def test_a_file_that_has_grown_is_not_opened(path: Path) -> None:
    place = place_of(path)
    path.write_bytes(CONTENT + b"more")
    assert open_place(place) is None


@pytest.mark.parametrize("name", ["", "/proc/self/no-such-file", "a\0b", "x" * 5000])
def test_strange_paths_are_not_opened(name: str) -> None:
    assert open_place(registry_pb2.FilePlace(path=name, size_bytes=1)) is None


def test_a_machine_knows_its_own_name_only() -> None:
    assert is_this_machine(machine_name()) == bool(machine_name())
    assert not is_this_machine("")
    assert not is_this_machine("0" * 64)
