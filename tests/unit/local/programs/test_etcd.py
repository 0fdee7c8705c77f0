"""Finding an etcd binary that is new enough, and the command line it is run with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.local.programs import etcd


def _program(directory: Path, text: str) -> Path:
    directory.mkdir()
    program = directory / "etcd"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["3.4.23", "3.5.30", "3.10.0", "4.0.1"])
def test_a_new_enough_etcd_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    program = _program(tmp_path / "bin", f"echo 'etcd Version: {version}'")
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert etcd.find_etcd() == program


@pytest.mark.parametrize("text", ["echo 'etcd Version: 3.3.25'", "echo 'something else'", "exit 1"])
def test_anything_else_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    program = _program(tmp_path / "bin", text)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert etcd.find_etcd() != program
    assert os.access(etcd.find_etcd(), os.X_OK)


def test_without_any_etcd_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FailedPrecondition, match="local"):
        etcd.find_etcd()


def test_etcd_listens_on_loopback_only(tmp_path: Path) -> None:
    command = etcd.etcd_command(tmp_path / "数据", 2001, 2002, binary=Path("/bin/etcd"))
    urls = [argument.partition("=")[2] for argument in command if "-urls=" in argument]
    assert len(urls) == 4
    assert all(url.startswith("http://127.0.0.1:") for url in urls)
    assert f"--data-dir={tmp_path / '数据'}" in command
