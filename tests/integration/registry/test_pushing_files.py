"""Packed packages on their way into a registry."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from lepton_ai import AsyncClient
from lepton_ai.addresses import Addresses
from lepton_ai.errors import FailedPrecondition
from lepton_ai.interchange.recognition import init_package
from lepton_ai.package import Package, pack, unpack
from tests.integration.registry.process import registry_process
from tests.sample_packages import onnx_bytes, onnx_package


async def test_a_packed_file_is_pushed_as_its_folder_is(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"标签.txt": "猫\n".encode()})
    pack(package, tmp_path / "p.lepton")
    async with (
        registry_process(tmp_path / "data") as registry,
        AsyncClient(Addresses(registry=registry.address)) as client,
    ):
        from_file = await client.push(tmp_path / "p.lepton")
        from_folder = await client.push(package.directory)
    assert from_file == from_folder and from_file.digest == package.digest


async def test_a_version_comes_back_as_the_folder_it_was(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p", files={"golden/猫.txt": "猫\n".encode(), "empty": b""})
    async with (
        registry_process(tmp_path / "data") as registry,
        AsyncClient(Addresses(registry=registry.address)) as client,
    ):
        await client.push(package.directory)
        version = await client.download_package("doubler@1", tmp_path / "again")
        with pytest.raises(FailedPrecondition, match="not empty"):
            await client.download_package("doubler@1", tmp_path / "again")
    assert version.version == 1
    assert Package.read(tmp_path / "again").digest == package.digest


async def test_the_command_line_exports_versions_of_the_registry(tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")

    async def lepton(*arguments: str | Path) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lepton_ai.cli", *arguments),
            env={**os.environ, "LEPTON_REGISTRY_ADDRESS": registry.address},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0
        return out

    async with registry_process(tmp_path / "data") as registry:
        await lepton("push", package.directory)
        await lepton("export", "--triton", "doubler@1", tmp_path / "models")
        await lepton("export", "--package", "doubler", tmp_path / "doubler.lepton")
        bom = json.loads(await lepton("bom", "doubler@1"))
    assert (tmp_path / "models/doubler/1/model.onnx").read_bytes() == package.path("model.onnx").read_bytes()
    assert unpack(tmp_path / "doubler.lepton", tmp_path / "q").digest == package.digest
    assert bom["metadata"]["component"]["version"] == "1"


async def test_a_package_of_another_tools_model_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "models/doubler/1").mkdir(parents=True)
    (tmp_path / "models/doubler/1/model.onnx").write_bytes(onnx_bytes())
    (tmp_path / "models/doubler/config.pbtxt").write_text("max_batch_size: 4")
    package = init_package(tmp_path / "models", tmp_path / "p")
    async with (
        registry_process(tmp_path / "data") as registry,
        AsyncClient(Addresses(registry=registry.address)) as client,
    ):
        assert (await client.push(package.directory)).digest == package.digest
