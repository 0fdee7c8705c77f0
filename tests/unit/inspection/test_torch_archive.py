"""torch.export archives: real ones pass, and none that would run code when it is loaded."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lepton_ai.errors import InvalidInput
from lepton_ai.inspection.torch_archive import check_torch_export
from tests.sample_packages import rewrite_zip, torch_package

Change = Callable[[dict[str, Any]], object]
VECTOR = [{"name": "x", "dtype": "FP32", "shape": [-1, 4]}]


class Doubler(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Linear(4, 4)
        self.register_buffer("offset", torch.ones(4))
        self.constant = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled: torch.Tensor = self.scale(x) * self.offset
        return scaled + self.constant


class Convolution(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.layers(x).flatten(1)
        return {"y": features, "p": features.softmax(-1)}


class Attention(torch.nn.Module):
    """Two inputs, a free length, integers, and guards about them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(100, 16)
        self.layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if ids.shape[1] > 4:
            ids = ids[:, : mask.shape[1]]
        hidden = self.layer(self.embedding(ids))
        return hidden.mean(1), (hidden * mask[:, : hidden.shape[1]].unsqueeze(-1)).sum(1)


def export(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, **options: Any) -> Path:
    torch.export.save(torch.export.export(module.eval(), inputs, **options), path)
    return path


@pytest.fixture(scope="module")
def doubler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    batch = ({0: torch.export.Dim("batch")},)
    return export(Doubler(), (torch.zeros(2, 4),), tmp_path_factory.mktemp("pt2") / "m.pt2", dynamic_shapes=batch)


def refuse(directory: Path, archive: Path) -> InvalidInput:
    package = torch_package(directory / "p", archive)
    with pytest.raises(InvalidInput) as caught:
        check_torch_export(package)
    return caught.value


def member(archive: Path, name: str) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        return opened.read(f"{opened.namelist()[0].split('/')[0]}/{name}")


def with_program(doubler: Path, target: Path, change: Change) -> Path:
    document = json.loads(member(doubler, "models/model.json"))
    change(document)
    return rewrite_zip(doubler, target, {"models/model.json": json.dumps(document).encode()})


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_a_real_export_is_accepted(doubler: Path, tmp_path: Path) -> None:
    check_torch_export(torch_package(tmp_path / "p", doubler))


def test_convolutions_and_named_outputs_are_accepted(tmp_path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    archive = export(Convolution(), (torch.zeros(2, 3, 8, 8),), tmp_path / "m.pt2", dynamic_shapes=batch)
    inputs = [{"name": "x", "dtype": "FP32", "shape": [-1, 3, 8, 8]}]
    for number, names in enumerate((("y", "p"), ("p", "y"), ("p",))):
        outputs = [{"name": name, "dtype": "FP32", "shape": [-1, 8]} for name in names]
        check_torch_export(torch_package(tmp_path / str(number), archive, inputs=inputs, outputs=outputs))
    unknown = [{"name": "z", "dtype": "FP32", "shape": [-1, 8]}]
    with pytest.raises(InvalidInput) as caught:
        check_torch_export(torch_package(tmp_path / "unknown", archive, inputs=inputs, outputs=unknown))
    assert caught.value.fields[0].field == "outputs[0].name"


def test_free_lengths_with_guards_are_accepted(tmp_path: Path) -> None:
    batch, length = torch.export.Dim("batch", min=2, max=64), torch.export.Dim.DYNAMIC
    archive = export(
        Attention(),
        (torch.zeros(3, 16, dtype=torch.int64), torch.zeros(3, 32)),
        tmp_path / "m.pt2",
        dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
    )
    assert json.loads(member(archive, "models/model.json"))["guards_code"], "this one is meant to have guards"
    check_torch_export(
        torch_package(
            tmp_path / "p",
            archive,
            inputs=[
                {"name": "ids", "dtype": "INT64", "shape": [-1, -1]},
                {"name": "mask", "dtype": "FP32", "shape": [-1, -1]},
            ],
            outputs=[{"name": name, "dtype": "FP32", "shape": [-1, 16]} for name in ("mean", "sum")],
        )
    )


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip" * 100, pickle.dumps([1])])
def test_what_is_not_an_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.pt2").write_bytes(content)
    assert refuse(tmp_path, tmp_path / "m.pt2").reason == "INVALID_MODEL"


def test_a_plain_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(saved({"weight": torch.zeros(2)}))
    assert refuse(tmp_path, tmp_path / "m.pt2").reason == "FORBIDDEN_MEMBER"


@pytest.mark.parametrize(
    "name",
    ["data/weights/model.pt", "data/constants/model.pt", "data/aotinductor/model/m.so", "data/constants/custom_obj_0",
     "../../escaped", "data/weights/../../x", "models/other.json", "code/__torch__.py", "data/WEIGHTS/weight_0",
     "constants.pkl"],
)  # fmt: skip
def test_members_that_load_would_run_or_misplace_are_refused(doubler: Path, tmp_path: Path, name: str) -> None:
    archive = rewrite_zip(doubler, tmp_path / "m.pt2", {name: b"x"})
    assert refuse(tmp_path, archive).reason == "FORBIDDEN_MEMBER"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_with_equal_names_are_refused(doubler: Path, tmp_path: Path) -> None:
    archive = rewrite_zip(doubler, tmp_path / "m.pt2", {})
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(opened.namelist()[0], b"other")
    assert "equal names" in refuse(tmp_path, archive).message


def test_a_compressed_bomb_is_refused_by_its_names_and_sizes(doubler: Path, tmp_path: Path) -> None:
    zeros = {"data/weights/weight_99": bytes(64 << 20)}
    archive = rewrite_zip(doubler, tmp_path / "m.pt2", zeros, compression=zipfile.ZIP_DEFLATED)
    assert archive.stat().st_size < 1 << 20
    assert "compressed" in refuse(tmp_path, archive).message


def test_something_before_the_archive_is_refused(doubler: Path, tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"#!/bin/sh\n" + doubler.read_bytes())
    assert refuse(tmp_path, tmp_path / "m.pt2").reason == "INVALID_MODEL"


def test_torch_would_run_pickled_weights_and_we_refuse_them(doubler: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    config = json.loads(member(doubler, "data/weights/model_weights_config.json"))
    config["config"]["offset"]["use_pickle"] = True
    path_name = config["config"]["offset"]["path_name"]
    archive = rewrite_zip(
        doubler,
        tmp_path / "m.pt2",
        {
            "data/weights/model_weights_config.json": json.dumps(config).encode(),
            f"data/weights/{path_name}": saved(Payload(canary)),
        },
    )
    assert refuse(tmp_path, archive).reason == "PICKLED_CONTENT"
    assert not canary.exists(), "checking ran the payload"
    torch.export.load(archive)
    assert canary.exists(), "the danger is not what this test thinks it is"


def test_torch_would_run_pickled_sample_inputs_and_we_refuse_them(
    doubler: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    canary = tmp_path / "canary"
    archive = rewrite_zip(doubler, tmp_path / "m.pt2", {"data/sample_inputs/model.pt": saved((Payload(canary),))})
    assert refuse(tmp_path, archive).reason == "PICKLED_CONTENT"
    assert not canary.exists(), "checking ran the payload"
    # torch's own warning about what it has just done cannot be formatted.
    caplog.set_level("CRITICAL", logger="torch._export.serde.serialize")
    torch.export.load(archive)
    assert canary.exists(), "the danger is not what this test thinks it is"


@pytest.mark.parametrize("content", [b"x", pickle.dumps(1), b"PK\x03\x04", saved([1, "a", {"b": 2.5}])[:-30]])
def test_sample_inputs_that_are_no_tensors_are_refused(doubler: Path, tmp_path: Path, content: bytes) -> None:
    archive = rewrite_zip(doubler, tmp_path / "m.pt2", {"data/sample_inputs/model.pt": content})
    assert refuse(tmp_path, archive).reason == "PICKLED_CONTENT"


@pytest.mark.parametrize("name", ["custom_obj_0", "opaque_obj_0", "../weights/weight_0", "tensor_x", ""])
def test_constants_that_are_not_tensors_are_refused(doubler: Path, tmp_path: Path, name: str) -> None:
    config = json.loads(member(doubler, "data/constants/model_constants_config.json"))
    config["config"]["constant"]["path_name"] = name
    changes = {"data/constants/model_constants_config.json": json.dumps(config).encode()}
    assert refuse(tmp_path, rewrite_zip(doubler, tmp_path / "m.pt2", changes)).reason == "PICKLED_CONTENT"


def first_node(document: dict[str, Any]) -> dict[str, Any]:
    node: dict[str, Any] = document["graph_module"]["graph"]["nodes"][0]
    return node


@pytest.mark.parametrize(
    "operator",
    ["torch.load", "torch.hub.load", "torch.utils.cpp_extension.load", "torch.ops.aten.__class__.default",
     "os.system", "torch.ops.aten.from_file.default", "torch.ops.load_library", "_operator.methodcaller",
     "_operator.attrgetter", "#custom", "math.__loader__", "torch.ops.higher_order.triton_kernel_wrapper_mutation",
     "torch.ops.evil.op.default"],
)  # fmt: skip
def test_operators_that_are_more_than_arithmetic_are_refused(doubler: Path, tmp_path: Path, operator: str) -> None:
    archive = with_program(doubler, tmp_path / "m.pt2", lambda program: first_node(program).update(target=operator))
    assert refuse(tmp_path, archive).reason == "FORBIDDEN_OPERATOR"


EXPRESSIONS = [
    "__import__('os').system('true')", "().__class__", "lambda: 0", "[x for x in (1,)]", "exec('1')",
    "Symbol.__class__", "open('/etc/passwd')", "Symbol('a b')", "s0 if s1 else s2", "9**9**9**9", "f'{s0}'",
    "(s0 := 1)", "1 +", "s0" * 600, "Symbol('s0')()", "s0.size", "print(1)",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shape_expressions_that_are_more_than_arithmetic_are_refused(
    doubler: Path, tmp_path: Path, expression: str
) -> None:
    def change(program: dict[str, Any]) -> None:
        sizes = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = expression

    assert refuse(tmp_path, with_program(doubler, tmp_path / "m.pt2", change)).reason == "FORBIDDEN_EXPRESSION"


@pytest.mark.parametrize("guard", [*EXPRESSIONS[:6], "L['x'].__class__", "L['x'].size(0)", "L.clear()", "L['x'].data"])
def test_guards_that_are_more_than_comparisons_are_refused(doubler: Path, tmp_path: Path, guard: str) -> None:
    archive = with_program(doubler, tmp_path / "m.pt2", lambda program: program.update(guards_code=[guard]))
    assert refuse(tmp_path, archive).reason == "FORBIDDEN_EXPRESSION"


@pytest.mark.parametrize(
    "spec",
    [
        [1, {"type": "collections.namedtuple", "context": '"os"', "children_spec": []}],
        [1, {"type": "builtins.dict", "context": '[{"__enum__": true, "fqn": "os:system"}]', "children_spec": []}],
        [1, {"type": "builtins.dict", "context": '{"a": 1}', "children_spec": []}],
        [1, {"type": "collections.defaultdict", "context": "null", "children_spec": []}],
        [1, {"type": "builtins.tuple", "context": "null", "children_spec": [{"type": "evil", "context": None}]}],
    ],
)
def test_signatures_that_import_something_are_refused(doubler: Path, tmp_path: Path, spec: object) -> None:
    def change(program: dict[str, Any]) -> None:
        program["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps(spec)

    assert "more than tensors" in refuse(tmp_path, with_program(doubler, tmp_path / "m.pt2", change)).message


def test_a_signature_other_than_the_described_one_is_refused(doubler: Path, tmp_path: Path) -> None:
    wrong = torch_package(tmp_path / "dtype", doubler, inputs=[VECTOR[0] | {"dtype": "FP64"}])
    two = torch_package(tmp_path / "count", doubler, inputs=[VECTOR[0], VECTOR[0] | {"name": "z"}])
    for package, field in ((wrong, "inputs[0].dtype"), (two, "inputs")):
        with pytest.raises(InvalidInput) as caught:
            check_torch_export(package)
        assert (caught.value.fields[0].field, caught.value.reason) == (field, "SIGNATURE_MISMATCH")


@pytest.mark.parametrize("name", ["models/model.json", "data/weights/model_weights_config.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, None, b"{}"])
def test_damaged_documents_are_refused(doubler: Path, tmp_path: Path, name: str, content: bytes | None) -> None:
    assert refuse(tmp_path, rewrite_zip(doubler, tmp_path / "m.pt2", {name: content})).fields[0].field == "model.file"
