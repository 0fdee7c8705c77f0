"""Packed packages that somebody has made to do harm: typed refusals, nothing outside the target, memory flat."""

from __future__ import annotations

import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.package import Package, is_packed, unpack
from lepton_ai.package.archives.members import opened_zip
from tests.attacks import (
    EVIL_NAMES,
    LINKS,
    many_members_zip,
    overlapping_zip,
    tar_of,
    zip_bomb,
    zip_with_mode,
    zipped,
)
from tests.sample_packages import onnx_package

_MOST_BYTES = 32 << 20


def good(tmp_path: Path) -> dict[str, bytes]:
    package = onnx_package(tmp_path / "good")
    return {name: package.path(name).read_bytes() for name in package.files}


def refused(tmp_path: Path, content: bytes, *, compressed: bool = False) -> LeptonError:
    """Unpack it in little memory; nothing may lie outside the target afterwards."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "f.lepton").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(LeptonError) as caught:
            if compressed:
                with opened_zip(place / "f.lepton", compressed=True) as members:
                    members.read("MAR-INF/MANIFEST.json", max_bytes=1 << 40)
            else:
                unpack(place / "f.lepton", place / "target")
        assert tracemalloc.get_traced_memory()[1] < _MOST_BYTES + len(content)
    finally:
        tracemalloc.stop()
    outside = [path for path in tmp_path.rglob("*") if "evil" in path.name]
    assert outside == [] and not Path("/tmp/evil").exists()
    assert {path.name for path in place.iterdir()} <= {"f.lepton", "target"}
    return caught.value


@pytest.mark.parametrize("name", [name for name in EVIL_NAMES if "\0" not in name and not name.endswith("/")])
def test_names_that_lead_elsewhere_or_that_no_disk_holds(tmp_path: Path, name: str) -> None:
    assert isinstance(refused(tmp_path, zipped({**good(tmp_path), name: b"evil"})), InvalidInput)


def test_a_name_that_ends_early_for_others(tmp_path: Path) -> None:
    content = zipped({**good(tmp_path), "evil.onnx_.txt": b"evil"}).replace(b"evil.onnx_.txt", b"evil.onnx\0.txt")
    assert refused(tmp_path, content).reason in ("FORBIDDEN_MEMBER", "INVALID_PATH")


@pytest.mark.parametrize("kind", LINKS)
def test_links_and_devices(tmp_path: Path, kind: str) -> None:
    content = zip_with_mode("labels.txt", b"/etc/passwd", LINKS[kind], good(tmp_path))
    assert refused(tmp_path, content).reason == "FORBIDDEN_MEMBER"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "A"), ("é", "e\u0301"), ("straße", "STRASSE")])
def test_two_members_of_one_name_or_what_a_disk_may_take_for_one(tmp_path: Path, first: str, second: str) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        for name, data in (*good(tmp_path).items(), (first, b"1"), (second, b"2")):
            archive.writestr(name, data)
    assert refused(tmp_path, (tmp_path / "z").read_bytes()).reason == "FORBIDDEN_MEMBER"


def test_a_member_below_another_one(tmp_path: Path) -> None:
    refused(tmp_path, zipped({**good(tmp_path), "a": b"1", "a/b": b"2"}))


def test_compressed_members_are_not_unpacked(tmp_path: Path) -> None:
    content = zipped({**good(tmp_path), "zeros": bytes(1 << 20)}, compression=zipfile.ZIP_DEFLATED)
    assert refused(tmp_path, content).reason == "FORBIDDEN_MEMBER"


def test_a_bomb_of_one_member(tmp_path: Path) -> None:
    assert refused(tmp_path, zip_bomb(256 << 20), compressed=True).reason == "FORBIDDEN_MEMBER"


def test_a_bomb_in_a_bomb_is_a_file_and_nothing_more(tmp_path: Path) -> None:
    """Zips inside are files; only what is packed is unpacked, once."""
    inner = zip_bomb(64 << 20)
    (tmp_path / "f.lepton").write_bytes(zipped({**good(tmp_path), "inner.zip": inner}))
    assert unpack(tmp_path / "f.lepton", tmp_path / "target").path("inner.zip").read_bytes() == inner


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    error = refused(tmp_path, overlapping_zip(900, good(tmp_path)))
    assert error.reason == "FORBIDDEN_MEMBER" and "overlaps" in error.message


def test_more_members_than_anyone_could_need(tmp_path: Path) -> None:
    error = refused(tmp_path, many_members_zip(64 << 20))
    assert isinstance(error, ResourceExhausted) and error.reason == "TOO_MANY_FILES"


def test_two_thousand_files(tmp_path: Path) -> None:
    content = zipped({**good(tmp_path), **{f"f{index}": b"" for index in range(2000)}})
    assert refused(tmp_path, content).reason == "TOO_MANY_FILES"


def test_members_that_say_two_sizes(tmp_path: Path) -> None:
    content = bytearray(zipped({**good(tmp_path), "labels.txt": b"evil"}))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (1 << 30).to_bytes(4, "little")
    assert refused(tmp_path, bytes(content)).reason == "FORBIDDEN_MEMBER"


def test_another_name_in_front_of_the_member_than_in_the_list(tmp_path: Path) -> None:
    content = zipped({**good(tmp_path), "labels.txt": b"evil"})
    assert refused(tmp_path, content.replace(b"labels.txt", b"/etc/evill", 1)).reason == "FILE_DAMAGED"


@pytest.mark.parametrize(
    "member",
    [
        ("../evil", tarfile.REGTYPE, b"evil", ""),
        ("link", tarfile.SYMTYPE, b"", "/etc/passwd"),
        ("hard", tarfile.LNKTYPE, b"", "../../etc/passwd"),
        ("device", tarfile.CHRTYPE, b"", ""),
        ("pipe", tarfile.FIFOTYPE, b"", ""),
    ],
)
def test_tars_are_never_unpacked(tmp_path: Path, member: tuple[str, bytes, bytes, str]) -> None:
    files = [(name, tarfile.REGTYPE, data, "") for name, data in good(tmp_path).items()]
    assert refused(tmp_path, tar_of(*files, member)).reason == "NOT_AN_ARCHIVE"


def test_what_is_refused_is_still_told_from_what_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(zipped({**good(tmp_path), "../evil": b"evil"}))
    assert is_packed(tmp_path / "f")
    (tmp_path / "g").write_bytes(many_members_zip(8 << 20))
    assert not is_packed(tmp_path / "g")


def test_unicode_names_that_are_harmless_are_kept(tmp_path: Path) -> None:
    names = ["猫/标签.txt", "ünïcödé", "emoji-🐈.txt", "a" * 255, "12:30"]
    (tmp_path / "f").write_bytes(zipped({**good(tmp_path), **dict.fromkeys(names, b"1")}))
    assert set(names) <= set(unpack(tmp_path / "f", tmp_path / "target").files)
    assert set(names) <= set(Package.read(tmp_path / "target").files)
