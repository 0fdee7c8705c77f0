"""Packages on disk: what is read, written, and refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound, ResourceExhausted
from lepton_ai.package import Package, PackageLimits, write_package
from tests.sample_packages import description, onnx_package

LABELS = "猫\n狗\n鸟\n鱼\n"
CLASSIFY = [{"op": "softmax", "input": "y"}, {"op": "classify", "labels": "标签.txt", "top_k": 2}]


def test_a_written_package_reads_back_the_same(tmp_path: Path) -> None:
    written = onnx_package(tmp_path / "p", files={"标签.txt": LABELS.encode(), "golden/a.bin": b"1"})
    read = Package.read(tmp_path / "p")
    assert read == written
    assert sorted(read.files) == ["golden/a.bin", "lepton.yaml", "model.onnx", "标签.txt"]
    assert "把四个数乘以二" in (tmp_path / "p" / "lepton.yaml").read_text(encoding="utf-8")


def test_the_digest_changes_with_any_content_and_only_with_content(tmp_path: Path) -> None:
    first, same = onnx_package(tmp_path / "1"), onnx_package(tmp_path / "2")
    other = onnx_package(tmp_path / "3", files={"labels.txt": b"x"})
    assert first.digest == same.digest != other.digest


def test_hidden_files_and_caches_are_not_part_of_it(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    for name in (".git/config", ".DS_Store", "__pycache__/x.pyc"):
        (package.directory / name).parent.mkdir(exist_ok=True)
        (package.directory / name).write_bytes(b"x")
    assert Package.read(package.directory).digest == package.digest


@pytest.mark.parametrize("target", ["/etc/passwd", "model.onnx", ".."])
def test_links_are_refused(tmp_path: Path, target: str) -> None:
    package = onnx_package(tmp_path / "p")
    (package.directory / "link").symlink_to(target)
    with pytest.raises(InvalidInput) as caught:
        Package.read(package.directory)
    assert caught.value.fields[0].field == "link"


def test_a_linked_description_is_refused(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    (package.directory / "lepton.yaml").rename(tmp_path / "elsewhere")
    (package.directory / "lepton.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match=r"lepton\.yaml"):
        Package.read(package.directory)


def test_pipes_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    os.mkfifo(package.directory / "pipe")
    with pytest.raises(InvalidInput, match="not a regular file"):
        Package.read(package.directory)


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        write_package(tmp_path / "p", description(), {})
    assert caught.value.fields[0].field == "model.file"


@pytest.mark.parametrize("model_file", ["../model.onnx", "/etc/passwd", "model.onnx/../model.onnx"])
def test_a_model_file_outside_the_package_is_not_a_file_of_it(tmp_path: Path, model_file: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        write_package(tmp_path / "p", description(model={"file": model_file, "format": "onnx"}), {"model.onnx": b"x"})
    assert caught.value.reason == "MISSING_FILE"


def test_a_missing_directory_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        Package.read(tmp_path / "nowhere")
    assert str(tmp_path) not in str(caught.value)


def test_limits_hold(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={f"{n}.txt": b"12345" for n in range(5)})
    for limits in (PackageLimits(max_files=5), PackageLimits(max_file_bytes=4), PackageLimits(max_package_bytes=20)):
        with pytest.raises(ResourceExhausted):
            Package.read(package.directory, limits=limits)


def test_nothing_is_written_over_or_outside(tmp_path: Path) -> None:
    onnx_package(tmp_path / "p")
    with pytest.raises(FailedPrecondition):
        onnx_package(tmp_path / "p")
    with pytest.raises(InvalidInput):
        onnx_package(tmp_path / "q", files={"../escaped": b"x"})
    assert not (tmp_path / "escaped").exists()


def test_path_gives_only_files_of_the_package(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    assert package.path("model.onnx").is_file()
    for name in ("../p/model.onnx", "/etc/passwd", "nothing"):
        with pytest.raises(NotFound):
            package.path(name)


def test_files_that_steps_name_are_handed_to_the_pipeline(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"标签.txt": LABELS.encode(), "other": b""}, postprocess=CLASSIFY)
    assert package.postprocess_files() == {"标签.txt": LABELS.encode()}
    assert package.pipeline_document() is None
    assert package.pipeline_files() == {}
    package.check()


def test_checking_names_the_step_that_is_wrong(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", postprocess=CLASSIFY)
    with pytest.raises(InvalidInput) as caught:
        package.check()
    assert caught.value.fields[0].field == "postprocess[1].labels"


@pytest.mark.parametrize(("expected", "kind"), [("text", "labels"), ("label", "numbers")])
def test_checking_names_a_golden_sample_that_expects_another_kind_of_answer(
    tmp_path: Path, expected: str, kind: str
) -> None:
    steps = CLASSIFY if kind == "labels" else [{"op": "numbers"}]
    golden = [{"inputs": {"x": {"values": [1, 2, 3, 4]}}, "expect": {expected: "猫"}}]
    files = {"标签.txt": LABELS.encode()}
    package = onnx_package(tmp_path / "p", files=files, postprocess=steps, golden=golden)
    with pytest.raises(InvalidInput, match=rf"golden\[0\]\.expect\.{expected}: .* postprocess gives {kind}"):
        package.check()
