"""Models that other tools have saved become packages: Triton's repositories, MLflow's folders, TorchServe's archives.

MLflow and torch-model-archiver themselves write the samples.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.dry_run import DryRun
from lepton_ai.interchange.recognition import InitOptions, init_package
from lepton_ai.package import Package
from tests.sample_packages import onnx_bytes, onnx_model


def made(source: Path, target: Path, **options: Any) -> Package:
    package = init_package(source, target, InitOptions(**options))
    assert all(not tried.problem for tried in DryRun(package).try_samples())
    return package


def reason(source: Path, target: Path, **options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        init_package(source, target, InitOptions(**options))
    assert caught.value.fix or caught.value.fields
    return caught.value.reason


class TestTriton:
    @pytest.fixture
    def repository(self, tmp_path: Path) -> Path:
        for version in ("1", "10", "9"):
            (tmp_path / "models/doubler" / version).mkdir(parents=True)
            factor = float(version)
            (tmp_path / "models/doubler" / version / "model.onnx").write_bytes(onnx_bytes(factor=factor))
        config = 'platform: "onnxruntime_onnx"\nmax_batch_size: 4\noutput [{ name: "y" label_filename: "名字.txt" }]\n'
        (tmp_path / "models/doubler/config.pbtxt").write_text(config, encoding="utf-8")
        (tmp_path / "models/doubler/名字.txt").write_text("猫\n狗\n鸟\n鱼\n", encoding="utf-8")
        return tmp_path / "models"

    def test_the_newest_version_comes_with_labels_and_batch_size(self, repository: Path, tmp_path: Path) -> None:
        package = made(repository, tmp_path / "p")
        assert (package.description.name, package.description.max_batch_size) == ("doubler", 4)
        assert package.path("labels.txt").read_text(encoding="utf-8") == "猫\n狗\n鸟\n鱼\n"
        assert package.path("model.onnx").read_bytes() == onnx_bytes(factor=10.0)

    def test_only_versions_that_triton_serves_are_taken(self, repository: Path, tmp_path: Path) -> None:
        config = repository / "doubler/config.pbtxt"
        config.write_text("version_policy { specific { versions: [1, 9, 12] } }", encoding="utf-8")
        assert made(repository, tmp_path / "p").path("model.onnx").read_bytes() == onnx_bytes(factor=9.0)
        config.write_text("version_policy { specific { versions: [7] } }", encoding="utf-8")
        assert reason(repository, tmp_path / "q") == "VERSION_POLICY"

    def test_the_model_file_may_have_another_name_and_may_be_a_folder(self, repository: Path, tmp_path: Path) -> None:
        newest = repository / "doubler/10"
        (newest / "model.onnx").rename(newest / "net.onnx")
        config = repository / "doubler/config.pbtxt"
        config.write_text('default_model_filename: "net.onnx"', encoding="utf-8")
        assert made(repository, tmp_path / "p").path("model.onnx").read_bytes() == onnx_bytes(factor=10.0)
        folder = repository / "other/1/model.onnx"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(onnx_bytes(location="weights.bin", offset="0"))
        (folder / "weights.bin").write_bytes(np.float32(3).tobytes())
        assert made(repository, tmp_path / "q", model="other").description.model.weights == ("weights.bin",)

    @pytest.mark.parametrize("name", ["../../secret.onnx", "/etc/secret.onnx", "..\\secret.onnx"])
    def test_a_model_file_elsewhere_is_not_read(self, repository: Path, tmp_path: Path, name: str) -> None:
        (repository / "secret.onnx").write_bytes(onnx_bytes(factor=666.0))
        (repository / "doubler/config.pbtxt").write_text(f"default_model_filename: {json.dumps(name)}")
        package = made(repository, tmp_path / "p", model="doubler")
        assert package.path("model.onnx").read_bytes() == onnx_bytes(factor=10.0)

    def test_of_several_models_one_is_named(self, repository: Path, tmp_path: Path) -> None:
        (repository / "other/1").mkdir(parents=True)
        (repository / "other/1/model.onnx").write_bytes(onnx_bytes())
        assert reason(repository, tmp_path / "p") == "WHICH_MODEL"
        assert made(repository, tmp_path / "p", model="other").description.name == "other"
        assert made(repository / "other", tmp_path / "q").description.name == "other"

    @pytest.mark.parametrize(
        ("file", "content", "why"),
        [
            ("config.pbtxt", b"max_batch_size: many", "INVALID_CONFIG"),
            ("config.pbtxt", b"ensemble_scheduling { }", "ENSEMBLE"),
            ("11/model.py", b"import os", "UNKNOWN_FORMAT"),
            ("11/model.pt", b"PK", "UNKNOWN_FORMAT"),
        ],
    )
    def test_what_cannot_be_taken_over_is_said(
        self, repository: Path, tmp_path: Path, file: str, content: bytes, why: str
    ) -> None:
        (repository / "doubler" / file).parent.mkdir(exist_ok=True)
        (repository / "doubler" / file).write_bytes(content)
        assert reason(repository, tmp_path / "p") == why


@pytest.mark.filterwarnings("ignore")
class TestMLflow:
    """With requirements given, as MLflow else starts a process to find them."""

    def test_the_onnx_flavour(self, tmp_path: Path) -> None:
        import mlflow.onnx

        mlflow.onnx.save_model(onnx_model(), tmp_path / "doubler", pip_requirements=[])
        assert made(tmp_path / "doubler", tmp_path / "p").description.inputs[0].name == "x"

    def test_the_run_that_it_was_trained_in_is_its_lineage(self, tmp_path: Path) -> None:
        import mlflow.onnx

        mlflow.onnx.save_model(onnx_model(), tmp_path / "doubler", pip_requirements=[])
        document = tmp_path / "doubler/MLmodel"
        said = yaml.safe_load(document.read_text(encoding="utf-8"))
        document.write_text(yaml.safe_dump({**said, "run_id": "0a1b", "model_id": "m-7"}), encoding="utf-8")
        lineage = made(tmp_path / "doubler", tmp_path / "p").description.lineage
        assert (lineage.run, lineage.parameters) == ("0a1b", {"mlflow_model_id": "m-7"})

    def test_the_pytorch_flavour_as_torch_export(self, tmp_path: Path) -> None:
        import mlflow.pytorch

        example = np.zeros((2, 4), dtype=np.float32)
        mlflow.pytorch.save_model(
            torch.nn.Linear(4, 2),
            tmp_path / "linear",
            serialization_format="pt2",
            input_example=example,
            pip_requirements=[],
        )
        package = made(tmp_path / "linear", tmp_path / "p")
        assert package.description.model.format == "torch_export"

    def test_a_pickled_one_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        import mlflow.pytorch

        mlflow.pytorch.save_model(
            torch.nn.Linear(4, 2), tmp_path / "linear", serialization_format="pickle", pip_requirements=[]
        )
        with pytest.raises(InvalidInput, match="is pickled") as caught:
            init_package(tmp_path / "linear", tmp_path / "p")
        assert "mlflow.onnx.save_model" in caught.value.fix

    @pytest.mark.parametrize(
        ("flavours", "why"),
        [
            ({"sklearn": {"pickled_model": "model.pkl"}}, "PICKLED_CONTENT"),
            ({"onnx": {"data": "../../secret.onnx"}}, "INVALID_PATH"),
            ({"onnx": {"data": "/etc/passwd"}}, "INVALID_PATH"),
            ({"onnx": {"data": "link.onnx"}}, "INVALID_PATH"),
            ({"onnx": {"data": "absent.onnx"}}, "MISSING_FILE"),
            ({"onnx": {}}, "INVALID_MLMODEL"),
            ("onnx", "INVALID_MLMODEL"),
        ],
    )
    def test_others_are_refused(self, tmp_path: Path, flavours: Any, why: str) -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m/MLmodel").write_text(yaml.safe_dump({"flavors": flavours}))
        (tmp_path / "real.onnx").write_bytes(onnx_bytes())
        (tmp_path / "m/link.onnx").symlink_to(tmp_path / "real.onnx")
        assert reason(tmp_path / "m", tmp_path / "p") == why


class Pooled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class TestTorchServe:
    """Three classes, which are red, green and blue."""

    LABELS = json.dumps({"0": ["n1", "红"], "1": ["n2", "绿"], "2": ["n3", "蓝"]})

    def archive(self, tmp_path: Path, file: Path, *options: str, handler: str = "image_classifier") -> Path:
        (tmp_path / "index_to_name.json").write_text(self.LABELS, encoding="utf-8")
        arguments = ["--model-name", "colours", "--version", "1.0", "--serialized-file", file, "--handler", handler]
        extra = ["--extra-files", tmp_path / "index_to_name.json", "--export-path", tmp_path, "--force", *options]
        command = [sys.executable, "-m", "model_archiver.model_packaging", *arguments, *extra]
        subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60)
        return tmp_path / "colours.mar"

    @pytest.fixture
    def onnx_file(self, tmp_path: Path) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Pooled(),
                (torch.zeros(2, 3, 224, 224),),
                str(tmp_path / "m.onnx"),
                input_names=["input"],
                output_names=["scores"],
                dynamic_axes={"input": {0: "n"}, "scores": {0: "n"}},
                dynamo=False,
            )
        return tmp_path / "m.onnx"

    @pytest.fixture
    def script(self, tmp_path: Path) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(Pooled()).save(tmp_path / "m.pt")  # type: ignore[no-untyped-call]
        return tmp_path / "m.pt"

    def test_onnx_with_the_handler_for_pictures(self, tmp_path: Path, onnx_file: Path) -> None:
        package = made(self.archive(tmp_path, onnx_file), tmp_path / "p")
        steps = [step["op"] for step in (package.pipeline_document() or {})["steps"]]
        assert steps == ["decode_image", "resize", "center_crop", "to_tensor", "normalize"]
        assert package.path("labels.txt").read_text(encoding="utf-8") == "红\n绿\n蓝\n"
        assert package.description.golden[0].expect.label in ("红", "绿", "蓝")

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_torchscript_only_when_it_is_allowed(self, tmp_path: Path, script: Path) -> None:
        archive = self.archive(tmp_path, script)
        assert reason(archive, tmp_path / "p") == "TORCHSCRIPT"
        package = made(archive, tmp_path / "p", torchscript_allowed=True)
        assert (package.description.name, package.description.model.format) == ("colours", "onnx")

    def test_without_a_handler_of_its_own_it_takes_tensors(self, tmp_path: Path, onnx_file: Path) -> None:
        package = made(self.archive(tmp_path, onnx_file, handler="base_handler"), tmp_path / "p")
        assert package.description.preprocess is None

    def test_code_is_not_run(self, tmp_path: Path, onnx_file: Path) -> None:
        (tmp_path / "mine.py").write_text("raise SystemExit")
        (tmp_path / "net.py").write_text("raise SystemExit")
        own = self.archive(tmp_path, onnx_file, handler=str(tmp_path / "mine.py"))
        assert reason(own, tmp_path / "p") == "UNKNOWN_HANDLER"
        torch.save({"w": torch.zeros(1)}, tmp_path / "eager.pth")
        eager = self.archive(tmp_path, tmp_path / "eager.pth", "--model-file", str(tmp_path / "net.py"))
        assert reason(eager, tmp_path / "p") == "PICKLED_CONTENT"

    def test_other_handlers_are_named(self, tmp_path: Path, onnx_file: Path) -> None:
        assert reason(self.archive(tmp_path, onnx_file, handler="object_detector"), tmp_path / "p") == "UNKNOWN_HANDLER"

    @pytest.mark.parametrize("labels", ['{"1": "a"}', "[]", '{"0": ""}', '{"0": []}', "no json"])
    def test_labels_that_name_no_classes_are_refused(self, tmp_path: Path, onnx_file: Path, labels: str) -> None:
        archive = self.archive(tmp_path, onnx_file)
        with zipfile.ZipFile(archive) as old, zipfile.ZipFile(tmp_path / "new.mar", "w") as new:
            for name in old.namelist():
                new.writestr(name, labels if name == "index_to_name.json" else old.read(name))
        assert reason(tmp_path / "new.mar", tmp_path / "p") in ("INVALID_LABELS", "INVALID_MANIFEST")
