"""OCI layouts of CNCF ModelPack: valid by the specification's schema, the same for the same package, and read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput, LeptonError, ResourceExhausted
from lepton_ai.interchange.modelpack import read_layout, write_layout
from lepton_ai.interchange.recognition import init_package
from lepton_ai.package import Package, PackageLimits
from tests.sample_packages import onnx_package

SCHEMAS = Path(__file__).with_name("schemas")
"""`schema/` of opencontainers/image-spec v1.1.1, and config-schema.json of modelpack/model-spec v0.0.7 (Apache-2.0)."""
FILES = {"标签.txt": "猫\n".encode(), "golden/a.bin": b"\0" * 9, "README.md": b"# read me", "empty": b""}


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def conforms(document: Any, name: str) -> bool:
    """To a schema of OCI's, which name one another by relative address."""

    def retrieve(address: str) -> Resource[Any]:
        return Resource.from_contents(schema(address.rpartition("/")[2]), default_specification=DRAFT4)

    validator = jsonschema.Draft4Validator(schema(name), registry=Registry(retrieve=retrieve))  # type: ignore[call-arg]
    return bool(validator.is_valid(document))


def package(tmp_path: Path) -> Package:
    return onnx_package(tmp_path / "p", files=FILES)


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def manifest(layout: Path) -> dict[str, Any]:
    index = json.loads((layout / "index.json").read_bytes())
    loaded: dict[str, Any] = json.loads(blob(layout, index["manifests"][0]["digest"]).read_bytes())
    return loaded


def rewrite(layout: Path, change: dict[str, Any]) -> None:
    """Change the manifest, and let the index point to it."""
    data = json.dumps(manifest(layout) | change).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blob(layout, digest).write_bytes(data)
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0] |= {"digest": digest, "size": len(data)}
    (layout / "index.json").write_text(json.dumps(index))


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    write_layout(package(tmp_path), tmp_path / "oci", version="3")
    return tmp_path / "oci"


def test_a_layout_is_what_the_specification_says(layout: Path) -> None:
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    found = manifest(layout)
    assert (found["schemaVersion"], found["mediaType"]) == (2, "application/vnd.oci.image.manifest.v1+json")
    assert found["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    kinds = {each["annotations"]["org.cncf.model.filepath"]: each["mediaType"] for each in found["layers"]}
    assert {path: kind.removeprefix("application/vnd.cncf.model.") for path, kind in kinds.items()} == {
        "README.md": "doc.v1.raw",
        "empty": "weight.config.v1.raw",
        "golden/a.bin": "dataset.v1.raw",
        "lepton.yaml": "weight.config.v1.raw",
        "model.onnx": "weight.v1.raw",
        "标签.txt": "weight.config.v1.raw",
    }
    for each in (found["config"], *found["layers"]):
        content = blob(layout, each["digest"]).read_bytes()
        assert len(content) == each["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == each["digest"]


def test_a_layout_conforms_to_the_schemas_of_oci(layout: Path) -> None:
    index = json.loads((layout / "index.json").read_bytes())
    assert conforms(json.loads((layout / "oci-layout").read_bytes()), "image-layout-schema.json")
    assert conforms(index, "image-index-schema.json")
    assert conforms(manifest(layout), "image-manifest-schema.json")
    assert not conforms(manifest(layout) | {"layers": [{"digest": "x"}]}, "image-manifest-schema.json")


def test_the_configuration_fits_the_schema_of_the_specification(layout: Path) -> None:
    config = json.loads(blob(layout, manifest(layout)["config"]["digest"]).read_bytes())
    jsonschema.Draft202012Validator(schema("modelpack-config-schema.json")).validate(config)
    assert config["descriptor"] == {"name": "doubler", "version": "3", "description": "把四个数乘以二。"}
    assert config["config"]["format"] == "onnx"
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest(layout)["layers"]]


def test_equal_packages_make_equal_digests(tmp_path: Path) -> None:
    first = write_layout(package(tmp_path / "1"), tmp_path / "a")
    assert first == write_layout(package(tmp_path / "2"), tmp_path / "b")
    assert (tmp_path / "a/index.json").read_bytes() == (tmp_path / "b/index.json").read_bytes()


def test_a_layout_is_read_again(layout: Path, tmp_path: Path) -> None:
    original = Package.read(tmp_path / "p")
    assert read_layout(layout, tmp_path / "again").digest == original.digest
    assert init_package(layout, tmp_path / "init").digest == original.digest


def test_nothing_is_written_over(layout: Path, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition):
        write_layout(Package.read(tmp_path / "p"), layout)
    with pytest.raises(FailedPrecondition):
        read_layout(layout, tmp_path / "p")


def refused(layout: Path, kind: type[LeptonError] = InvalidInput, **options: Any) -> str:
    before = set(layout.parent.rglob("*"))
    with pytest.raises(kind) as caught:
        read_layout(layout, layout.parent / "out", **options)
    added = set(layout.parent.rglob("*")) - before
    assert all(path.is_relative_to(layout.parent / "out") for path in added)
    return caught.value.reason


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "a\0b", "x" * 300, ""])
def test_paths_that_lead_elsewhere_are_refused(layout: Path, path: str) -> None:
    layers = manifest(layout)["layers"]
    layers[0]["annotations"]["org.cncf.model.filepath"] = path
    rewrite(layout, {"layers": layers})
    assert refused(layout) == "INVALID_PATH"


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:../../../etc/passwd"},
        {"digest": "md5:00"},
        {"digest": "sha256:" + "0" * 64},
        {"size": 1},
        {"size": "many"},
        {"mediaType": "application/vnd.cncf.model.weight.v1.tar"},
        {"annotations": None},
        {"annotations": {"org.cncf.model.filepath": ["a"]}},
    ],
)
def test_layers_that_are_not_plain_files_are_refused(layout: Path, change: dict[str, Any]) -> None:
    layers = manifest(layout)["layers"]
    layers[0] |= change
    rewrite(layout, {"layers": layers})
    assert refused(layout) == "INVALID_LAYOUT"


def test_a_blob_that_is_a_link_is_refused(layout: Path, tmp_path: Path) -> None:
    victim = blob(layout, manifest(layout)["layers"][0]["digest"])
    (tmp_path / "elsewhere").write_bytes(victim.read_bytes())
    victim.unlink()
    victim.symlink_to(tmp_path / "elsewhere")
    assert refused(layout) == "INVALID_LAYOUT"


def test_a_flipped_bit_is_noticed_in_files_and_in_the_manifest(layout: Path) -> None:
    victim = blob(layout, manifest(layout)["layers"][4]["digest"])
    content = victim.read_bytes()
    victim.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert refused(layout, DataLoss) == "FILE_DAMAGED"
    index = json.loads((layout / "index.json").read_bytes())
    victim = blob(layout, index["manifests"][0]["digest"])
    victim.write_bytes(victim.read_bytes().replace(b"doubler", b"tripler"))
    (layout.parent / "out").rename(layout.parent / "before")
    assert refused(layout, DataLoss) == "FILE_DAMAGED"


def test_a_file_that_is_named_twice_or_below_another_is_refused(layout: Path) -> None:
    for name in ("model.onnx", "model.onnx/below"):
        layers = manifest(layout)["layers"]
        layers[0]["annotations"]["org.cncf.model.filepath"] = name
        rewrite(layout, {"layers": layers})
        refused(layout)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"manifests": [1]}', b"[" * 100_000])
def test_an_index_that_is_none_is_refused(layout: Path, content: bytes) -> None:
    (layout / "index.json").write_bytes(content)
    assert refused(layout) == "INVALID_LAYOUT"


def test_models_of_others_are_told_from_packages(layout: Path) -> None:
    layers = [each for each in manifest(layout)["layers"] if "lepton.yaml" not in str(each)]
    rewrite(layout, {"layers": layers})
    assert refused(layout) == "NOT_A_PACKAGE"


def test_limits_hold(layout: Path) -> None:
    for limits in (PackageLimits(max_files=2), PackageLimits(max_package_bytes=10), PackageLimits(max_file_bytes=8)):
        refused(layout, ResourceExhausted, limits=limits)
        for path in sorted((layout.parent / "out").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
