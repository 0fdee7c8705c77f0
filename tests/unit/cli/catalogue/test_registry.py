"""`lepton registry check`: what it prints and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.backup.dump import Header
from lepton_ai.cli import main
from lepton_ai.cli.catalogue import registry as command
from lepton_ai.client.files.backups import BackupSummary
from lepton_ai.v1 import registry_pb2 as pb

DAMAGED = pb.StorageFault(
    kind=pb.STORAGE_FAULT_KIND_DAMAGED,
    sha256="ab" * 32,
    size_bytes=2048,
    uses=[pb.FileUse(model="cat", version=2, path="model.onnx"), pb.FileUse(model="dog", version=1, path="model.onnx")],
)
ORPHAN = pb.StorageFault(kind=pb.STORAGE_FAULT_KIND_ORPHAN, sha256="cd" * 32, size_bytes=1024)


class _Client:
    def __init__(self, faults: Sequence[pb.StorageFault]) -> None:
        self._faults = faults

    def check_storage(self, *, on_progress: object) -> Sequence[pb.StorageFault]:
        return self._faults


def run(monkeypatch: pytest.MonkeyPatch, faults: Sequence[pb.StorageFault], *options: str) -> Any:
    @contextmanager
    def client_for(_home: Path) -> Iterator[_Client]:
        yield _Client(faults)

    monkeypatch.setattr(command, "client_for", client_for)
    with pytest.raises(SystemExit) as caught:
        main(["registry", "check", *options])
    return caught.value.code


def test_a_whole_registry_is_a_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, []) == 0
    assert "Every file of every version is there and whole." in capsys.readouterr().err


def test_damage_names_every_version_it_hits_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, [DAMAGED]) == 1
    shown = capsys.readouterr()
    lines = [line.split() for line in shown.out.splitlines()[1:]]
    assert lines == [
        ["damaged", "cat@2", "model.onnx", "2.0", "KiB", "abababababab"],
        ["damaged", "dog@1", "model.onnx", "2.0", "KiB", "abababababab"],
    ]
    assert "lepton push DIRECTORY" in shown.err
    assert "cat@2, dog@1" in shown.err


def test_files_that_no_version_holds_are_listed_but_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, [ORPHAN]) == 0
    shown = capsys.readouterr().err
    assert "1 files (1.0 KiB) belong to no version" in shown
    assert ORPHAN.sha256 in shown


def test_json_holds_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, [DAMAGED, ORPHAN], "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    (fault,) = document["faults"]
    assert (fault["state"], fault["uses"][1]) == ("damaged", {"model": "dog", "version": 1, "path": "model.onnx"})
    assert fault["fix"] == "Push the package of cat@2 again."
    assert document["orphans"] == [{"sha256": ORPHAN.sha256, "size_bytes": 1024}]


class _Backups:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Path]] = []

    def back_up(self, directory: Path, *, on_progress: object) -> BackupSummary:
        self.asked.append(("back_up", directory))
        return BackupSummary(Header("webhooks", "2026-01-02T03:04:05+00:00"), 3, 4096, 1024)

    def restore(self, directory: Path, *, on_progress: object) -> pb.RestoreResponse:
        self.asked.append(("restore", directory))
        return pb.RestoreResponse(rows=40, models=2)


def run_backups(monkeypatch: pytest.MonkeyPatch, *words: str) -> _Backups:
    client = _Backups()

    @contextmanager
    def client_for(_home: Path) -> Iterator[_Backups]:
        yield client

    monkeypatch.setattr(command, "client_for", client_for)
    with pytest.raises(SystemExit) as caught:
        main(["registry", *words])
    assert caught.value.code == 0
    return client


def test_a_backup_says_what_was_new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    client = run_backups(monkeypatch, "backup", str(tmp_path / "backup"))
    assert client.asked == [("back_up", tmp_path / "backup")]
    assert "3 files of 4.0 KiB, 1.0 KiB of them new" in capsys.readouterr().out
    run_backups(monkeypatch, "backup", str(tmp_path / "backup"), "--json")
    assert json.loads(capsys.readouterr().out)["new_bytes"] == 1024


def test_a_restore_says_what_is_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    client = run_backups(monkeypatch, "restore", str(tmp_path))
    assert client.asked == [("restore", tmp_path)]
    assert capsys.readouterr().out == "2 models are back, with 40 rows in all.\n"
