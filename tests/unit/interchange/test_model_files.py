"""Packages of model files that are found alone: what the file tells is written, the rest is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper
from safetensors.torch import save_file

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.inspection.dry_run import DryRun
from lepton_ai.interchange.recognition import InitOptions, init_package
from lepton_ai.interchange.torchscript import InputSpec
from lepton_ai.models import CNN, MLP
from lepton_ai.package import Package
from tests.sample_packages import onnx_bytes, onnx_model

Shape = list[str | int | None]


class Doubler(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": x * 2}


def made(source: Path, **options: Any) -> Package:
    """A package that passes every check."""
    package = init_package(source, source.parent / "made", InitOptions(**options))
    assert all(not tried.problem for tried in DryRun(package).try_samples())
    return package


def document(package: Package) -> dict[str, Any]:
    text = (package.directory / "lepton.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=.lepton.schema.json\n# Made by `lepton init` of ")
    assert json.loads((package.directory / ".lepton.schema.json").read_text())["title"] == "lepton.yaml"
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def notes(package: Package) -> str:
    text = (package.directory / "lepton.yaml").read_text(encoding="utf-8")
    return " ".join(line for line in text.splitlines() if line.startswith("# - "))


def saved(
    tmp_path: Path, operator: str, dtype: int, shape: Shape, *, name: str = "x", out: Shape | None = None
) -> Path:
    graph = helper.make_graph(
        [helper.make_node(operator, [name], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, out or shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "found.onnx")
    return tmp_path / "found.onnx"


def test_onnx_tells_its_inputs_and_outputs(tmp_path: Path) -> None:
    (tmp_path / "doubler.onnx").write_bytes(onnx_bytes())
    found = document(made(tmp_path / "doubler.onnx"))
    assert (found["name"], found["model"]) == ("doubler", {"file": "model.onnx", "format": "onnx"})
    assert found["inputs"] == [{"name": "x", "dtype": "FP32", "shape": [-1, 4]}]
    assert found["outputs"] == [{"name": "y", "dtype": "FP32", "shape": [-1, 4]}]
    golden = found["golden"][0]
    doubled = np.array(golden["inputs"]["x"]["values"]) * 2
    assert np.allclose(golden["expect"]["outputs"]["y"]["values"], doubled)


def test_a_model_that_cannot_have_the_name_of_its_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "客户流失.onnx"
    file.write_bytes(onnx_bytes())
    package = made(file)
    assert f"It is called {package.description.name}, " in notes(package)
    assert "--name" in notes(package)


def test_weights_beside_the_model_come_along(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(location="m.data", offset="0"))
    (tmp_path / "m.data").write_bytes(np.float32(3).tobytes())
    package = made(tmp_path / "m.onnx")
    assert package.description.model.weights == ("m.data",)
    assert package.path("m.data").read_bytes() == np.float32(3).tobytes()


def test_free_dimensions_stay_free_and_a_fixed_batch_of_one_takes_one(tmp_path: Path) -> None:
    package = made(saved(tmp_path, "Identity", TensorProto.INT64, [1, "length", 2]))
    assert package.description.inputs[0].shape == (-1, -1, 2)
    assert package.description.max_batch_size == 1


def test_a_model_for_exactly_four_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="exactly 4 inputs at once") as caught:
        made(saved(tmp_path, "Identity", TensorProto.FLOAT, [4, 2]))
    assert "free batch dimension" in caught.value.fix


def test_bytes_in_the_shape_of_a_picture_are_a_picture(tmp_path: Path) -> None:
    found = document(made(saved(tmp_path, "Identity", TensorProto.UINT8, ["n", 32, 24, 3], out=["n", 32, 24, 3])))
    assert found["preprocess"]["inputs"] == {"photo": "image"}
    assert [step["op"] for step in found["preprocess"]["steps"]] == ["decode_image", "resize", "to_tensor"]
    assert found["golden"][0]["inputs"] == {"photo": "golden/photo.png"}


def test_floats_in_the_shape_of_a_picture_are_left_to_the_author(tmp_path: Path) -> None:
    package = made(saved(tmp_path, "GlobalAveragePool", TensorProto.FLOAT, ["n", 3, 64, 64], out=["n", 3, 1, 1]))
    assert "preprocess" not in document(package)
    assert "normalised is not in the file" in notes(package)


def test_strings_are_texts(tmp_path: Path) -> None:
    found = document(made(saved(tmp_path, "Identity", TensorProto.STRING, ["n", 1])))
    assert found["preprocess"]["inputs"] == {"text": "text"}
    assert "狐狸" in found["golden"][0]["inputs"]["text"]


def test_columns_are_a_table(tmp_path: Path) -> None:
    columns = {"年龄": TensorProto.FLOAT, "城市": TensorProto.STRING}
    nodes = [helper.make_node("Identity", [name], [f"{name}-y"]) for name in columns]
    graph = helper.make_graph(
        nodes,
        "t",
        [helper.make_tensor_value_info(name, dtype, ["n", 1]) for name, dtype in columns.items()],
        [helper.make_tensor_value_info(f"{name}-y", dtype, ["n", 1]) for name, dtype in columns.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "t.onnx")
    found = document(made(tmp_path / "t.onnx"))
    assert found["preprocess"]["inputs"] == {"年龄": "number", "城市": "category"}


def test_labels_make_a_classifier(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx_bytes())
    found = document(made(tmp_path / "m.onnx", labels=["猫", "狗", "鸟", "鱼"], name="animals"))
    assert found["name"] == "animals"
    assert [step["op"] for step in found["postprocess"]] == ["softmax", "classify"]
    assert found["golden"][0]["expect"]["label"] in ("猫", "狗", "鸟", "鱼")
    with pytest.raises(InvalidInput, match="are 2; the model's outputs"):
        init_package(tmp_path / "m.onnx", tmp_path / "other", InitOptions(labels=["a", "b"]))


def test_probabilities_are_not_made_probabilities_again(tmp_path: Path) -> None:
    package = made(saved(tmp_path, "Softmax", TensorProto.FLOAT, ["n", 2]), labels=["a", "b"])
    assert [step["op"] for step in document(package)["postprocess"]] == ["classify"]


def test_a_large_answer_is_no_sample(tmp_path: Path) -> None:
    package = made(saved(tmp_path, "Identity", TensorProto.FLOAT, ["n", 5000]))
    assert not package.description.golden and "no golden sample" in notes(package)


def test_torch_export_tells_names_and_shapes(tmp_path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(Doubler(), (torch.zeros(2, 4),), dynamic_shapes=batch), tmp_path / "d.pt2")
    found = document(made(tmp_path / "d.pt2"))
    assert found["model"] == {"file": "model.pt2", "format": "torch_export"}
    assert found["inputs"] == [{"name": "x", "dtype": "FP32", "shape": [-1, 4]}]
    assert found["outputs"] == [{"name": "y", "dtype": "FP32", "shape": [-1, 4]}]


def test_what_lepton_saved_is_packed_as_it_packs_itself(tmp_path: Path) -> None:
    model = MLP(hidden=(4,))
    model.fit(np.random.default_rng(0).random((40, 3)), np.arange(40) % 2, epochs=1, progress=False)
    model.save(tmp_path / "mine.pth")
    package = init_package(tmp_path / "mine.pth", tmp_path / "made")
    assert (package.description.name, package.description.preprocess is not None) == ("mine", True)
    assert all(not tried.problem for tried in DryRun(package).try_samples())


def test_safetensors_of_a_named_architecture_become_onnx(tmp_path: Path) -> None:
    config: dict[str, Any] = {"input_shape": [16, 16, 3], "num_classes": 3, "channels": [4, 8]}
    weights = {name: tensor.clone() for name, tensor in CNN(**config).network.state_dict().items()}
    metadata = {"architecture": "CNN", "config": json.dumps(config)}
    save_file(weights, tmp_path / "net.safetensors", metadata=metadata)
    found = document(made(tmp_path / "net.safetensors", labels=["a", "b", "c"]))
    assert found["model"]["format"] == "onnx" and found["preprocess"]["inputs"] == {"photo": "image"}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, "does not name its architecture"),
        ({"architecture": "os.system"}, "no architecture 'os.system'"),
        ({"architecture": "CNN", "config": "[]"}, "no arguments of CNN"),
        ({"architecture": "CNN", "config": '{"channels": [1000000, 1000000]}'}, "no weights of CNN"),
    ],
)
def test_other_safetensors_are_refused(tmp_path: Path, metadata: dict[str, str] | None, said: str) -> None:
    save_file({"w": torch.zeros(2)}, tmp_path / "f.safetensors", metadata=metadata)
    with pytest.raises(InvalidInput, match=said):
        init_package(tmp_path / "f.safetensors", tmp_path / "made")


@pytest.fixture
def torchscript(tmp_path: Path) -> Path:
    torch.jit.script(torch.nn.Linear(4, 2)).save(tmp_path / "s.pt")  # type: ignore[no-untyped-call]
    return tmp_path / "s.pt"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_converted_only_when_it_is_allowed_and_described(torchscript: Path) -> None:
    for allowed, reason in ((False, "TORCHSCRIPT"), (True, "UNKNOWN_INPUTS")):
        with pytest.raises(InvalidInput) as caught:
            init_package(torchscript, torchscript.parent / "made", InitOptions(torchscript_allowed=allowed))
        assert caught.value.reason == reason
    package = made(torchscript, torchscript_allowed=True, inputs=[InputSpec.parse("x:FP32:-1x4")])
    assert (package.description.model.format, package.description.inputs[0].shape) == ("onnx", (-1, 4))


@pytest.mark.parametrize("text", ["", "x", "x:FP32", "x:FP33:-1x4", "x:FP32:4", "x:FP32:-1x0", ":FP32:-1"])
def test_inputs_are_described_in_one_way(text: str) -> None:
    with pytest.raises(InvalidInput, match="describes no input"):
        InputSpec.parse(text)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx_model().SerializeToString())
    with pytest.raises(FailedPrecondition, match="not empty"):
        init_package(tmp_path / "m.onnx", tmp_path)
