"""Model files that somebody has made to do harm: refused by name, nothing is run, and no file appears outside."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from lepton_ai.errors import InvalidInput, LeptonError
from lepton_ai.inspection.safetensors_file import read_safetensors_metadata
from lepton_ai.interchange.recognition import InitOptions, init_package
from tests.attacks import (
    EVIL_NAMES,
    LINKS,
    SAFETENSORS,
    disguised_torch_export,
    object_array,
    object_arrays,
    pickled,
    tar_of,
    torch_save,
    zip_bomb,
    zip_with_mode,
    zipped,
)
from tests.sample_packages import onnx_model

DISGUISES: dict[str, Callable[[Path], bytes]] = {
    "pickle": pickled,
    "old pickle": lambda trace: pickled(trace, protocol=0),
    "npy": object_array,
    "npz": object_arrays,
    "torch.save": torch_save,
    "torch.export with pickled samples": disguised_torch_export,
}


def refused(source: Path, **options: bool) -> LeptonError:
    """It is refused, and nothing is written but what was there."""
    before = {path for path in source.parent.parent.rglob("*") if source.parent not in path.parents}
    with pytest.raises(LeptonError) as caught:
        init_package(source, source.parent / "target", InitOptions(torchscript_allowed=options.get("allowed", False)))
    after = {path for path in source.parent.parent.rglob("*") if source.parent not in path.parents}
    assert after == before
    return caught.value


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".pt", ".safetensors", ".json", ".npz", ".mar", ".lepton"])
def test_pickles_are_never_loaded_whatever_they_are_called(tmp_path: Path, disguise: str, suffix: str) -> None:
    trace = tmp_path / "was-run"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"model{suffix}").write_bytes(DISGUISES[disguise](trace))
    error = refused(tmp_path / "in" / f"model{suffix}")
    assert isinstance(error, InvalidInput) and not trace.exists()


@pytest.mark.parametrize("kind", SAFETENSORS)
def test_safetensors_that_are_not_sound(tmp_path: Path, kind: str) -> None:
    (tmp_path / "f").write_bytes(SAFETENSORS[kind])
    with pytest.raises(InvalidInput) as caught:
        read_safetensors_metadata(tmp_path / "f")
    assert caught.value.reason == "INVALID_MODEL"


class TestExternalData:
    """ONNX says by name where weights lie: they must lie right beside it, as plain files."""

    def model(self, tmp_path: Path, location: str, **external: Any) -> Path:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "secret").write_bytes(bytes(64))
        onnx.save(onnx_model(location=location, **external), tmp_path / "in" / "model.onnx")
        return tmp_path / "in" / "model.onnx"

    @pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "..", "", "\0"])
    def test_elsewhere(self, tmp_path: Path, location: str) -> None:
        assert refused(self.model(tmp_path, location)).reason == "EXTERNAL_DATA"

    def test_by_a_link(self, tmp_path: Path) -> None:
        source = self.model(tmp_path, "w.data")
        (source.parent / "w.data").symlink_to(tmp_path / "secret")
        assert refused(source).reason == "EXTERNAL_DATA"

    @pytest.mark.parametrize(("offset", "length"), [("60", "8"), ("64", "4"), ("0", "-1"), ("9" * 19, "4")])
    def test_beyond_the_end(self, tmp_path: Path, offset: str, length: str) -> None:
        source = self.model(tmp_path, "w.data", offset=offset, length=length)
        (source.parent / "w.data").write_bytes(bytes(64))
        assert refused(source).reason == "EXTERNAL_DATA"

    def test_under_the_name_of_what_triton_runs(self, tmp_path: Path) -> None:
        source = self.model(tmp_path, "model.py")
        (source.parent / "model.py").write_bytes(bytes(64))
        assert refused(source).fields


class TestArchives:
    MANIFEST = json.dumps(
        {"model": {"modelName": "m", "serializedFile": "m.onnx", "handler": "base_handler", "modelVersion": "1"}}
    ).encode()

    def mar(self, tmp_path: Path, content: bytes) -> Path:
        (tmp_path / "in").mkdir()
        (tmp_path / "in/model.mar").write_bytes(content)
        return tmp_path / "in/model.mar"

    def members(self, **changes: bytes) -> dict[str, bytes]:
        return {"MAR-INF/MANIFEST.json": self.MANIFEST, "m.onnx": onnx_model().SerializeToString(), **changes}

    @pytest.mark.parametrize("name", [name for name in EVIL_NAMES if "\0" not in name and not name.endswith("/")])
    def test_names_that_lead_elsewhere(self, tmp_path: Path, name: str) -> None:
        assert refused(self.mar(tmp_path, zipped(self.members(**{name: b"evil"})))).reason == "INVALID_PATH"

    def test_a_name_that_ends_where_it_begins(self, tmp_path: Path) -> None:
        content = zipped(self.members(extra=b"evil")).replace(b"extra", b"\0xtra")
        assert refused(self.mar(tmp_path, content)).reason == "INVALID_PATH"

    @pytest.mark.parametrize("name", ["../m.onnx", "/etc/passwd", "..\\m.onnx"])
    def test_a_model_file_that_is_named_elsewhere(self, tmp_path: Path, name: str) -> None:
        manifest = self.MANIFEST.replace(b"m.onnx", json.dumps(name).strip('"').encode())
        content = zipped(self.members(**{"MAR-INF/MANIFEST.json": manifest}))
        assert refused(self.mar(tmp_path, content)).reason == "INVALID_PATH"

    @pytest.mark.parametrize("kind", LINKS)
    def test_links_and_devices(self, tmp_path: Path, kind: str) -> None:
        content = zip_with_mode("extra", b"/etc/passwd", LINKS[kind], self.members())
        assert refused(self.mar(tmp_path, content)).reason == "FORBIDDEN_MEMBER"

    def test_an_encrypted_member(self, tmp_path: Path) -> None:
        content = bytearray(zipped(self.members()))
        content[content.rindex(b"PK\x01\x02") + 8] |= 1
        assert refused(self.mar(tmp_path, bytes(content))).reason == "FORBIDDEN_MEMBER"

    def test_a_tar_is_no_archive_of_ours(self, tmp_path: Path) -> None:
        content = tar_of(("../evil", b"0", b"evil", ""), ("link", b"2", b"", "/etc/passwd"))
        assert isinstance(refused(self.mar(tmp_path, content)), InvalidInput)

    def test_a_bomb_takes_no_memory(self, tmp_path: Path) -> None:
        """512 MiB of zeros, in a process that may take 64 MiB more than it has."""
        source = self.mar(tmp_path, zip_bomb(512 << 20))
        program = (
            "import sys, pathlib, resource\n"
            "from lepton_ai.package.archives.members import opened_zip\n"
            "from lepton_ai.errors import InvalidInput\n"
            "held = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (held + (64 << 20),) * 2)\n"
            "try:\n"
            "    with opened_zip(pathlib.Path(sys.argv[1]), compressed=True): sys.exit(1)\n"
            "except InvalidInput as error:\n"
            "    print(error.reason)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(source)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip() == "FORBIDDEN_MEMBER", done.stderr


def test_a_torch_archive_with_a_compressed_bomb(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    content = zipped({"m/models/model.json": b'{"a": "' + bytes(32 << 20) + b'"}'}, compression=zipfile.ZIP_DEFLATED)
    (tmp_path / "in/m.pt2").write_bytes(content)
    assert refused(tmp_path / "in/m.pt2").reason == "FORBIDDEN_MEMBER"
