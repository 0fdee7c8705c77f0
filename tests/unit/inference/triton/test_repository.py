"""Triton's model repository: names that are safe, configurations of our own, files that appear as a whole."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from lepton_ai.errors import InvalidInput, Unsupported
from lepton_ai.package import TensorSpec
from services.inference.triton.repository import (
    ModelRepository,
    TritonModel,
    model_config,
    parse_triton_name,
    triton_name,
)


def model(file: Path = Path("none"), **changes: Any) -> TritonModel:
    settings: dict[str, Any] = {
        "model": "m",
        "version": 1,
        "file": file,
        "format": "onnx",
        "inputs": [TensorSpec(name="x", dtype="FP32", shape=(-1, 4))],
        "outputs": [TensorSpec(name="y", dtype="FP32", shape=(-1, 4))],
        "instances": 2,
        "digest": "d" * 64,
    }
    return TritonModel(**(settings | changes))


def parsed(config: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(config, model_config_pb2.ModelConfig())


class TestNames:
    @pytest.mark.parametrize("name", ["..", "a/b", "../m", "m\0", "a" * 300, "", "Überall", "猫", "a..b", ".m"])
    def test_unsafe_names_never_become_paths(self, name: str) -> None:
        with pytest.raises(InvalidInput):
            triton_name(name, 1)

    @pytest.mark.parametrize(("name", "version"), [("m", 1), ("a--v2", 30), ("efficientnet-lite0", 7), ("0_.-", 1)])
    def test_names_can_be_read_back(self, name: str, version: int) -> None:
        assert parse_triton_name(triton_name(name, version)) == (name, version, "")
        assert parse_triton_name(triton_name(name, version, load=12)) == (name, version, "")
        assert parse_triton_name(triton_name(name, version, 12, "int8-2")) == (name, version, "int8-2")

    @pytest.mark.parametrize(
        "name", ["m", "m--v0", "m--v01", "m--vx", "m--v1-0", "m--v1-", "../m--v1", "m--v1/x", "--v1"]
    )
    def test_names_of_others_are_not_ours(self, name: str) -> None:
        assert parse_triton_name(name) is None

    def test_versions_count_from_one(self) -> None:
        with pytest.raises(InvalidInput):
            triton_name("m", 0)


class TestConfiguration:
    def test_lepton_batches_so_triton_does_not(self) -> None:
        config = parsed(model_config(model(), backend="python"))
        assert (config.name, config.backend, config.max_batch_size) == ("m--v1", "python", 0)
        assert (config.instance_group[0].count, list(config.input[0].dims)) == (2, [-1, 4])
        assert config.parameters["format"].string_value == "onnx"

    def test_an_output_without_a_batch_dimension_is_configured_as_the_model_has_it(self) -> None:
        spec = TensorSpec(name="y", dtype="FP32", shape=(-1, -1, 7))
        config = parsed(model_config(model(outputs=[spec], unbatched=frozenset({"y"})), backend="python"))
        assert list(config.output[0].dims) == [-1, 7]

    def test_triton_runs_onnx_itself_where_it_can(self) -> None:
        config = parsed(model_config(model(), backend="native"))
        assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
        exported = parsed(model_config(model(format="torch_export"), backend="native"))
        assert exported.backend == "python"

    def test_only_triton_s_own_backends_compute_on_a_gpu(self) -> None:
        kinds = model_config_pb2.ModelInstanceGroup
        on_gpu = parsed(model_config(model(), backend="native", device="gpu"))
        by_runner = parsed(model_config(model(), backend="python", device="gpu"))
        on_cpu = parsed(model_config(model(), backend="native"))
        assert [config.instance_group[0].kind for config in (on_gpu, by_runner, on_cpu)] == [
            kinds.KIND_GPU,
            kinds.KIND_CPU,
            kinds.KIND_CPU,
        ]

    def test_another_device_makes_it_another_model(self, tmp_path: Path) -> None:
        (file := tmp_path / "m.onnx").write_bytes(b"onnx")
        ModelRepository(tmp_path / "r", backend="native").add(model(file))
        assert ModelRepository(tmp_path / "r", backend="native").holds(model(file))
        assert not ModelRepository(tmp_path / "r", backend="native", device="gpu").holds(model(file))

    @pytest.mark.parametrize("name", ["猫", 'x" data_type: TYPE_BOOL #', "a\\", "x\n}", "'", "{}[]"])
    def test_no_tensor_name_can_leave_its_string(self, name: str) -> None:
        spec = TensorSpec.model_construct(name=name, dtype="BYTES", shape=(-1,))
        config = parsed(model_config(model(inputs=[spec]), backend="python"))
        assert [(each.name, each.data_type) for each in config.input] == [(name, model_config_pb2.TYPE_STRING)]

    def test_bf16_is_refused_where_it_cannot_run(self) -> None:
        spec = TensorSpec(name="x", dtype="BF16", shape=(-1, 4))
        with pytest.raises(Unsupported, match="BF16"):
            model_config(model(inputs=[spec]), backend="python")
        assert parsed(model_config(model(inputs=[spec]), backend="native")).input[0].data_type


class TestFiles:
    def test_a_model_is_written_found_and_removed(self, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"model")
        repository = ModelRepository(tmp_path / "models")
        assert repository.names() == frozenset()
        mine = model(tmp_path / "source")
        assert not repository.holds(mine)
        assert repository.add(mine) == "m--v1"
        assert repository.holds(mine) and not repository.holds(model(tmp_path / "source", digest="e" * 64))
        files = sorted(path.name for path in (tmp_path / "models/m--v1/1").iterdir())
        assert files == ["model.onnx", "model.py"]
        assert (tmp_path / "models/m--v1").stat().st_mode & 0o777 == 0o755
        repository.remove("m--v1")
        repository.remove("m--v1")
        assert list((tmp_path / "models").iterdir()) == []

    def test_a_missing_model_file_leaves_nothing_behind(self, tmp_path: Path) -> None:
        repository = ModelRepository(tmp_path / "models")
        with pytest.raises(FileNotFoundError):
            repository.add(model(tmp_path / "missing"))
        assert list((tmp_path / "models").iterdir()) == []

    def test_what_a_crash_left_is_swept_and_what_is_not_ours_stays(self, tmp_path: Path) -> None:
        for name in (".new-x", ".old-y", "mine"):
            (tmp_path / name / "1").mkdir(parents=True)
        repository = ModelRepository(tmp_path)
        repository.sweep()
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
        with pytest.raises(InvalidInput):
            repository.remove("mine")
        with pytest.raises(InvalidInput):
            repository.remove("../mine--v1")


class TestWholeness:
    """Triton reads what lies there, so that is what is compared."""

    @pytest.fixture
    def added(self, tmp_path: Path) -> tuple[ModelRepository, TritonModel, Path]:
        source, weights = tmp_path / "model.onnx", tmp_path / "model.data"
        source.write_bytes(b"model")
        weights.write_bytes(b"weights")
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (source, weights)}
        described = model(source, weights=[weights], sha256=hashes)
        repository = ModelRepository(tmp_path / "models")
        return repository, described, tmp_path / "models" / repository.add(described)

    def test_what_was_just_added_is_whole(self, added: tuple[ModelRepository, TritonModel, Path]) -> None:
        repository, described, _ = added
        assert repository.is_whole(described)

    @pytest.mark.parametrize("name", ["config.pbtxt", "1/model.py", "1/model.onnx", "1/model.data"])
    @pytest.mark.parametrize("change", ["flip", "remove", "link"])
    def test_a_changed_file_is_found(
        self, added: tuple[ModelRepository, TritonModel, Path], tmp_path: Path, name: str, change: str
    ) -> None:
        repository, described, directory = added
        path = directory / name
        content = path.read_bytes()
        path.unlink()
        if change == "flip":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        elif change == "link":
            (tmp_path / "elsewhere").write_bytes(content)
            path.symlink_to(tmp_path / "elsewhere")
        assert not repository.is_whole(described)

    @pytest.mark.parametrize("name", ["1/added.py", "2/model.onnx", "1/__pycache__/model.cpython-311.pyc", ".hidden"])
    def test_a_file_too_many_is_found(self, added: tuple[ModelRepository, TritonModel, Path], name: str) -> None:
        repository, described, directory = added
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(b"")
        assert not repository.is_whole(described)
        repository.add(described)
        assert repository.is_whole(described)
