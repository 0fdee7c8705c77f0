"""Packages as single files: the same content makes the same file, and only whole packages come out of one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput, NotFound, ResourceExhausted
from lepton_ai.package import Package, PackageLimits, is_packed, opened_package, pack, unpack
from tests.sample_packages import onnx_package

FILES = {"标签.txt": "猫\n狗\n".encode(), "golden/a.bin": b"\0" * 100, "b/c/d.txt": b""}


def packed(tmp_path: Path, name: str = "p") -> Path:
    pack(onnx_package(tmp_path / name, files=FILES), tmp_path / f"{name}.lepton")
    return tmp_path / f"{name}.lepton"


def test_equal_content_makes_equal_files_whenever_and_by_whomever_it_is_packed(tmp_path: Path) -> None:
    first = packed(tmp_path)
    directory = tmp_path / "other"
    directory.mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        for name in sorted(Package.read(tmp_path / "p").files, reverse=True):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes((tmp_path / "p" / name).read_bytes())
            (directory / name).chmod(0o700)
            os.utime(directory / name, (1, 1))
        (directory / ".hidden").write_bytes(b"x")
        digest = pack(Package.read(directory), tmp_path / "other.lepton")
    finally:
        os.umask(before)
    assert first.read_bytes() == (tmp_path / "other.lepton").read_bytes()
    assert hashlib.sha256(first.read_bytes()).hexdigest() == digest


def test_what_is_packed_comes_out_the_same(tmp_path: Path) -> None:
    file = packed(tmp_path)
    assert unpack(file, tmp_path / "out").digest == Package.read(tmp_path / "p").digest
    with opened_package(file) as package:
        assert package.digest == Package.read(tmp_path / "p").digest
    assert not package.directory.exists()


def test_a_folder_is_opened_where_it_is(tmp_path: Path) -> None:
    with opened_package(onnx_package(tmp_path / "p").directory) as package:
        assert package.directory == tmp_path / "p"


def test_members_lie_in_the_file_as_they_are(tmp_path: Path) -> None:
    content = packed(tmp_path).read_bytes()
    with zipfile.ZipFile(tmp_path / "p.lepton") as archive:
        assert archive.namelist() == sorted(archive.namelist())
    for name in FILES:
        assert (tmp_path / "p" / name).read_bytes() in content


def test_packed_packages_are_told_from_other_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    assert is_packed(packed(tmp_path))
    assert not any(map(is_packed, (tmp_path, tmp_path / "text", tmp_path / "empty.zip", tmp_path / "absent")))


def test_a_file_that_changes_while_it_is_packed_is_noticed(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    package.path("model.onnx").write_bytes(package.path("model.onnx").read_bytes()[::-1])
    with pytest.raises(DataLoss, match="has changed"):
        pack(package, tmp_path / "p.lepton")
    assert not (tmp_path / "p.lepton").exists()


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    file = packed(tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index("猫".encode())] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataLoss):
        unpack(file, tmp_path / "out")


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    pack(onnx_package(tmp_path / "p", files=FILES), tmp_path / "f", on_progress=lambda *done: told.append(done))
    assert len(told) == 5 and told[-1][0] == told[-1][1] > told[0][0]


def test_nothing_is_unpacked_over_something_else(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition):
        unpack(packed(tmp_path), tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x05\x06" + bytes(18), b"PK\x05\x06"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        unpack(tmp_path / "f", tmp_path / "out")
    assert caught.value.fix


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent"), opened_package(tmp_path / "absent"):
        pass


def test_limits_hold(tmp_path: Path) -> None:
    file = packed(tmp_path)
    for limits in (PackageLimits(max_files=2), PackageLimits(max_file_bytes=50), PackageLimits(max_package_bytes=99)):
        with pytest.raises(ResourceExhausted):
            unpack(file, tmp_path / "out", limits=limits)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """A process that may write files of 50 bytes at most stands for a disk without room."""
    program = (
        "import resource, sys\n"
        "from lepton_ai.errors import ResourceExhausted\n"
        "from lepton_ai.package import unpack\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "try: unpack(sys.argv[1], sys.argv[2])\n"
        "except ResourceExhausted as error: print(error.reason)\n"
    )
    command = [sys.executable, "-c", program, str(packed(tmp_path)), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "DISK_FULL", done.stderr
