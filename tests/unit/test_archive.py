"""What was trained is written to one file whole or not at all, and read back without running anything from it."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from lepton_ai.archive import Archive, read_kind, replacing
from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput, NotFound

WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}
ARCHIVE = Archive("model", {"name": "猫", "sizes": [1, 2]}, WEIGHTS, {"词表.txt": "猫\n狗\n".encode()})


def test_that_what_was_written_is_read(tmp_path: Path) -> None:
    read = Archive.read(ARCHIVE.write(tmp_path / "模型.pth"), kind="model")
    assert read.document == ARCHIVE.document
    assert read.files == ARCHIVE.files
    assert all(torch.equal(read.weights[name], weight) for name, weight in WEIGHTS.items())


def test_that_equal_content_makes_equal_files(tmp_path: Path) -> None:
    first, second = ARCHIVE.write(tmp_path / "a"), ARCHIVE.write(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_that_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = ARCHIVE.write(tmp_path / "model.pth")
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half of it")
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_that_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(FailedPrecondition, match="cannot be written"):
        ARCHIVE.write(tmp_path / "file" / "model.pth")


def test_that_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"model\.pth"):
        Archive.read(tmp_path / "model.pth", kind="model")


def test_that_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds no policy.*Read it with lepton_ai\.load"):
        Archive.read(ARCHIVE.write(tmp_path / "model.pth"), kind="policy")


def test_that_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(InvalidInput, match="not a saved model"):
        Archive.read(tmp_path / "evil.pth", kind="model")


def test_that_a_file_of_torch_is_refused_unread(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "plain.pth")
    with pytest.raises(InvalidInput, match=r"plain\.pth is not a saved model.*torch\.save.*lepton_ai\.wrap"):
        Archive.read(tmp_path / "plain.pth", kind="model")


def test_that_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        Archive.read(tmp_path, kind="model")


def test_that_a_cut_file_is_damaged(tmp_path: Path) -> None:
    path = ARCHIVE.write(tmp_path / "model.pth")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataLoss, match="damaged"):
        Archive.read(path, kind="model")


def test_that_changed_weights_are_damaged(tmp_path: Path) -> None:
    path = ARCHIVE.write(tmp_path / "model.pth")
    content = bytearray(path.read_bytes())
    content[content.index(b"layer.weight")] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataLoss, match="damaged"):
        Archive.read(path, kind="model")


def test_that_a_zip_with_an_enormous_document_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("document.json", b" " * (65 << 20))
    with pytest.raises(DataLoss):
        Archive.read(tmp_path / "bomb.pth", kind="model")


def test_that_the_kind_is_told_without_reading_the_rest(tmp_path: Path) -> None:
    assert read_kind(ARCHIVE.write(tmp_path / "model.pth")) == "model"
    with pytest.raises(NotFound):
        read_kind(tmp_path / "other.pth")


@pytest.mark.parametrize("path", ["\ud800.pth", "a\0.pth"])
def test_a_path_that_no_file_can_have_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        read_kind(path)
