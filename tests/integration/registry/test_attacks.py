"""Uploads that somebody has made to do harm: refused by the registry, whatever the client would have refused before."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from lepton_ai.errors import InvalidInput, LeptonError
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.package import Package
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import registry_pb2 as pb
from tests.attacks import (
    EVIL_NAMES,
    SAFETENSORS,
    disguised_torch_export,
    object_array,
    object_arrays,
    pickled,
    tar_of,
    torch_save,
    zip_bomb,
)
from tests.integration.registry.served import Served, contents, requests, send, serving
from tests.sample_packages import onnx_bytes, onnx_package

DISGUISES: dict[str, Callable[[Path], bytes]] = {
    "pickle": pickled,
    "npy": object_array,
    "npz": object_arrays,
    "torch.save": torch_save,
    "torch.export with pickled samples": disguised_torch_export,
    "zip bomb": lambda trace: zip_bomb(64 << 20),
    "tar": lambda trace: tar_of(("../evil", b"0", b"evil", "")),
    "safetensors": lambda trace: SAFETENSORS["giant header"],
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", MemoryStore()) as running:
        yield running


async def refused(served: Served, manifest: pb.Manifest, uploads: dict[str, bytes]) -> LeptonError:
    """It is no version afterwards, and nothing is left of it."""
    before = set(served.data_dir.parent.rglob("*"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(served.stub, requests(manifest, uploads))

    def tidy() -> bool:
        added = set(served.data_dir.parent.rglob("*")) - before
        return not [path for path in added if path.is_file() and not path.name.startswith("registry.")]

    await eventually(tidy, description="nothing is left behind")
    return from_rpc_error(caught.value)


def model_of(package: Package, content: bytes) -> tuple[pb.Manifest, dict[str, bytes]]:
    """The package with another content under the name of its model."""
    manifest, uploads = package.manifest(), dict(contents(package))
    sha256 = hashlib.sha256(content).hexdigest()
    for file in manifest.files:
        if file.path == package.description.model.file:
            del uploads[file.sha256]
            file.sha256, file.size_bytes = sha256, len(content)
    return manifest, uploads | {sha256: content}


@pytest.mark.parametrize("name", EVIL_NAMES)
async def test_names_that_lead_elsewhere(served: Served, tmp_path: Path, name: str) -> None:
    package = onnx_package(tmp_path / "p", files={"labels.txt": b"evil"})
    manifest = package.manifest()
    next(file for file in manifest.files if file.path == "labels.txt").path = name
    error = await refused(served, manifest, dict(contents(package)))
    assert isinstance(error, InvalidInput) and error.reason == "INVALID_PATH"


@pytest.mark.parametrize("name", ["../m", "/m", "M", "猫", "m" * 300, "m\0", ""])
async def test_models_of_such_names(served: Served, tmp_path: Path, name: str) -> None:
    package = onnx_package(tmp_path / "p")
    manifest = package.manifest()
    manifest.model = name
    assert (await refused(served, manifest, dict(contents(package)))).reason == "INVALID_NAME"


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("model_format", ["onnx", "torch_export"])
async def test_pickles_and_bombs_as_models(served: Served, tmp_path: Path, disguise: str, model_format: str) -> None:
    trace = tmp_path / "was-run"
    package = onnx_package(tmp_path / "p")
    text = (package.directory / "lepton.yaml").read_text(encoding="utf-8").replace("onnx\n", f"{model_format}\n")
    (package.directory / "lepton.yaml").write_text(text.replace("file: model.torch_export", "file: model.onnx"))
    manifest, uploads = model_of(Package.read(package.directory), DISGUISES[disguise](trace))
    assert isinstance(await refused(served, manifest, uploads), InvalidInput)
    assert not trace.exists()


@pytest.mark.parametrize("location", ["../blobs", "/etc/passwd", "lepton.yaml", "..\\x", "model.onnx"])
async def test_external_data_that_lie_elsewhere(served: Served, tmp_path: Path, location: str) -> None:
    manifest, uploads = model_of(onnx_package(tmp_path / "p"), onnx_bytes(location=location))
    assert (await refused(served, manifest, uploads)).reason == "EXTERNAL_DATA"
