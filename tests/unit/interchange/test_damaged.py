"""Damaged files of every kind are read or refused; nothing else happens to whoever opens them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from lepton_ai.errors import InvalidInput, LeptonError
from lepton_ai.inspection.safetensors_file import read_safetensors_metadata
from lepton_ai.interchange.modelpack import read_layout, write_layout
from lepton_ai.interchange.recognition import init_package
from lepton_ai.package import Package, is_packed, pack, unpack
from tests.attacks import zipped
from tests.sample_packages import onnx_bytes, onnx_package

PLACE = Path(tempfile.mkdtemp(prefix="lepton-damaged-"))
PACKAGE: Package = onnx_package(PLACE / "p", files={"标签.txt": "猫\n".encode(), "golden/a.bin": b"\0" * 40})
pack(PACKAGE, PLACE / "p.lepton")
write_layout(PACKAGE, PLACE / "oci")
MANIFEST = {"model": {"modelName": "m", "serializedFile": "m.onnx", "handler": "base_handler", "modelVersion": "1"}}
WHOLE = {
    "packed": (PLACE / "p.lepton").read_bytes(),
    "mar": zipped({"MAR-INF/MANIFEST.json": json.dumps(MANIFEST).encode(), "m.onnx": onnx_bytes()}),
    "safetensors": save({"a": torch.ones(3), "b": torch.zeros(2, 2)}, metadata={"k": "v"}),
}

damage = st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)


def damaged(content: bytes, changes: list[tuple[int, bytes]], cut: int) -> bytes:
    data = bytearray(content)
    for at, change in changes:
        data[at % len(data) : at % len(data) + len(change)] = change
    return bytes(data[: len(data) - cut % len(data)] if cut else data)


def written(content: bytes, place: str) -> Path:
    file = Path(place) / "file"
    file.write_bytes(content)
    return file


@settings(max_examples=300)
@given(changes=damage, cut=st.integers(0, 50))
def test_packed_packages(changes: list[tuple[int, bytes]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        file = written(damaged(WHOLE["packed"], changes, cut), place)
        is_packed(file)
        try:
            unpacked = unpack(file, Path(place) / "out")
        except LeptonError:
            return
        assert unpacked.files


@settings(max_examples=100)
@given(changes=damage, cut=st.integers(0, 50))
def test_archives_of_torchserve(changes: list[tuple[int, bytes]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        try:
            init_package(written(damaged(WHOLE["mar"], changes, cut), place), Path(place) / "out")
        except LeptonError:
            return


@settings(max_examples=300)
@given(changes=damage, cut=st.integers(0, 50))
def test_safetensors(changes: list[tuple[int, bytes]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        try:
            read_safetensors_metadata(written(damaged(WHOLE["safetensors"], changes, cut), place))
        except InvalidInput:
            return


@settings(max_examples=200)
@given(changes=damage, cut=st.integers(0, 50), which=st.integers(0, 20))
def test_layouts(changes: list[tuple[int, bytes]], cut: int, which: int) -> None:
    files = sorted(path for path in (PLACE / "oci").rglob("*") if path.is_file())
    file = files[which % len(files)]
    whole = file.read_bytes()
    try:
        file.write_bytes(damaged(whole, changes, cut))
        with tempfile.TemporaryDirectory() as place:
            try:
                read = read_layout(PLACE / "oci", Path(place) / "out")
            except LeptonError:
                return
            assert read.digest == PACKAGE.digest  # what is read is what was written
    finally:
        file.write_bytes(whole)


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        try:
            init_package(written(content, place), Path(place) / "out")
        except LeptonError as error:
            assert error.reason and (error.fix or error.fields)
