"""Models in the real Triton: what our configuration and runner make of ONNX and torch.export files."""

from __future__ import annotations

import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import pytest_asyncio
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2

from lepton_ai import tensors
from lepton_ai.errors import DeadlineExceeded, InternalError, InvalidInput, Unavailable
from lepton_ai.testing.running_triton import LocalTriton
from services.inference.triton.client import Triton
from services.inference.triton.errors import LOAD_FAILED, MODEL_FAILED, MODEL_NOT_LOADED, TRITON_REJECTED
from services.inference.triton.repository import ModelRepository, TritonModel
from tests.sample_packages import onnx_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def triton(shared_triton: LocalTriton) -> AsyncIterator[Triton]:
    triton = Triton(shared_triton.address)
    yield triton
    await triton.close()


@dataclass(frozen=True)
class Spec:
    name: str
    dtype: str
    shape: Sequence[int]


X, Y = Spec("x", "FP32", (-1, 4)), Spec("y", "FP32", (-1, 4))


def add(shared_triton: LocalTriton, file: Path, **changes: Any) -> str:
    settings: dict[str, Any] = {
        "model": f"m{uuid.uuid4().hex}",
        "version": 1,
        "format": "onnx",
        "inputs": [X],
        "outputs": [Y],
    }
    return ModelRepository(shared_triton.model_repository).add(
        TritonModel(file=file, instances=1, **(settings | changes))
    )


@pytest.fixture
def doubler(tmp_path: Path) -> Path:
    path = tmp_path / "doubler.onnx"
    path.write_bytes(onnx_bytes())
    return path


@pytest.fixture
def doubler_in_two_files(tmp_path: Path) -> tuple[Path, Path]:
    model, weights = tmp_path / "doubler.onnx", tmp_path / "w.data"
    model.write_bytes(onnx_bytes(location="w.data"))
    weights.write_bytes(np.array([2.0], dtype=np.float32).tobytes())
    return model, weights


def request(name: str, **inputs: Any) -> service_pb2.ModelInferRequest:
    message = service_pb2.ModelInferRequest(model_name=name)
    for tensor, values in inputs.items():
        dtype, shape, raw = tensors.to_wire(values)
        message.inputs.add(name=tensor, datatype=dtype, shape=shape)
        message.raw_input_contents.append(raw)
    return message


def outputs(response: service_pb2.ModelInferResponse) -> dict[str, Any]:
    return {
        output.name: tensors.from_wire(output.datatype, output.shape, raw)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


async def test_an_onnx_model_answers_batches_of_any_size(
    shared_triton: LocalTriton, triton: Triton, doubler: Path
) -> None:
    name = add(shared_triton, doubler)
    await triton.load(name)
    for rows in (ROWS, ROWS[:1], np.zeros((0, 4), np.float32)):
        answer = outputs(await triton.infer(request(name, x=rows), timeout_s=5))
        np.testing.assert_array_equal(answer["y"], rows * 2)
    assert (await triton.index())[name] == "READY"
    (statistics,) = await triton.statistics(name)
    assert statistics.inference_count >= 2
    metadata = await triton.metadata(name)
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.inputs] == [("x", "FP32", [-1, 4])]


async def test_an_onnx_model_finds_its_weights_in_another_file(
    shared_triton: LocalTriton, triton: Triton, doubler_in_two_files: tuple[Path, Path]
) -> None:
    model, weights = doubler_in_two_files
    name = add(shared_triton, model, weights=[weights])
    await triton.load(name)
    answer = outputs(await triton.infer(request(name, x=ROWS), timeout_s=5))
    np.testing.assert_array_equal(answer["y"], ROWS * 2)


async def test_a_torch_export_model_answers(shared_triton: LocalTriton, triton: Triton, tmp_path: Path) -> None:
    import torch

    class Both(torch.nn.Module):
        def forward(self, x: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": x * scale, "rounded": x.to(torch.int64)}

    batch = torch.export.Dim("batch")
    program = torch.export.export(
        Both(), (torch.zeros(2, 4), torch.zeros(2, 1)), dynamic_shapes=({0: batch}, {0: batch})
    )
    torch.export.save(program, tmp_path / "both.pt2")
    name = add(
        shared_triton,
        tmp_path / "both.pt2",
        format="torch_export",
        inputs=[X, Spec("scale", "FP32", (-1, 1))],
        outputs=[Spec("rounded", "INT64", (-1, 4)), Y],
    )
    await triton.load(name)
    scale = np.array([[3], [5]], np.float32)
    for _ in range(2):
        answer = outputs(await triton.infer(request(name, x=ROWS, scale=scale), timeout_s=10))
        np.testing.assert_array_equal(answer["y"], ROWS * scale)
        np.testing.assert_array_equal(answer["rounded"], ROWS.astype(np.int64))
    only = request(name, x=ROWS, scale=scale)
    only.outputs.add(name="rounded")
    assert list(outputs(await triton.infer(only, timeout_s=10))) == ["rounded"]


@pytest.mark.parametrize("dtype", ["BOOL", "UINT8", "INT8", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"])
async def test_every_dtype_passes_through_unchanged(
    shared_triton: LocalTriton, triton: Triton, tmp_path: Path, dtype: str
) -> None:
    kinds = {"BYTES": TensorProto.STRING, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT}
    kinds["FP64"] = TensorProto.DOUBLE
    kind = kinds[dtype] if dtype in kinds else TensorProto.DataType.Value(dtype)
    infos = [helper.make_tensor_value_info(name, kind, ["batch", 3]) for name in ("输入", "输出")]
    graph = helper.make_graph([helper.make_node("Identity", ["输入"], ["输出"])], "g", infos[:1], infos[1:])
    path = tmp_path / "identity.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    specs = {"inputs": [Spec("输入", dtype, (-1, 3))], "outputs": [Spec("输出", dtype, (-1, 3))]}
    name = add(shared_triton, path, **specs)
    await triton.load(name)
    values: Any = np.array([[0, 1, 1], [1, 0, 1]], dtype=tensors.numpy_dtype(dtype))
    if dtype == "BYTES":
        values = np.array([["猫", "", "a\0b"], ["x", "y", "z"]], dtype=np.object_)
    answer = outputs(await triton.infer(request(name, 输入=values), timeout_s=5))["输出"]
    expected = [[text.encode() for text in row] for row in values.tolist()] if dtype == "BYTES" else values.tolist()
    assert answer.tolist() == expected
    assert answer.dtype == values.dtype


async def test_what_is_not_a_model_fails_to_load_with_a_neutral_text(
    shared_triton: LocalTriton, triton: Triton, tmp_path: Path
) -> None:
    (tmp_path / "bad").write_bytes(b"not a model")
    for number, kind in enumerate(("onnx", "torch_export"), start=1):
        name = add(shared_triton, tmp_path / "bad", format=kind, version=number)
        with pytest.raises(InternalError, match=f"The {kind} model cannot be opened") as caught:
            await triton.load(name)
        assert caught.value.reason == LOAD_FAILED
        assert str(tmp_path) not in str(caught.value)
        assert "model.py" not in str(caught.value)


async def test_a_model_that_fails_on_an_input_fails_that_request_alone(
    shared_triton: LocalTriton, triton: Triton, tmp_path: Path
) -> None:
    index = helper.make_tensor_value_info("i", TensorProto.INT64, ["n"])
    row = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [10.0, 20.0, 30.0])
    graph = helper.make_graph([helper.make_node("Gather", ["table", "i"], ["y"])], "g", [index], [row], [table])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m")
    specs = {"inputs": [Spec("i", "INT64", (-1,))], "outputs": [Spec("y", "FP32", (-1,))]}
    name = add(shared_triton, tmp_path / "m", **specs)
    await triton.load(name)
    with pytest.raises(InternalError, match="The model failed on this input") as caught:
        await triton.infer(request(name, i=np.array([7])), timeout_s=5)
    assert caught.value.reason == MODEL_FAILED
    assert outputs(await triton.infer(request(name, i=np.array([2])), timeout_s=5))["y"].tolist() == [30.0]


async def test_text_that_is_not_utf_8_is_its_callers_mistake(
    shared_triton: LocalTriton, triton: Triton, tmp_path: Path
) -> None:
    infos = [helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in ("s", "t")]
    graph = helper.make_graph([helper.make_node("Identity", ["s"], ["t"])], "g", infos[:1], infos[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m")
    specs = {"inputs": [Spec("s", "BYTES", (-1,))], "outputs": [Spec("t", "BYTES", (-1,))]}
    name = add(shared_triton, tmp_path / "m", **specs)
    await triton.load(name)
    with pytest.raises(InvalidInput, match="'s' has an element that is not UTF-8") as caught:
        await triton.infer(request(name, s=np.array([b"\xff\xfe"], np.object_)), timeout_s=5)
    assert caught.value.reason == TRITON_REJECTED
    answer = await triton.infer(request(name, s=np.array(["é".encode()], np.object_)), timeout_s=5)
    assert outputs(answer)["t"].tolist() == ["é".encode()]


async def test_an_output_of_another_type_than_declared_is_an_error(
    shared_triton: LocalTriton, triton: Triton, doubler: Path
) -> None:
    name = add(shared_triton, doubler, outputs=[Spec("y", "FP64", (-1, 4))])
    await triton.load(name)
    with pytest.raises(InternalError, match="'y' is float32, but the package says float64"):
        await triton.infer(request(name, x=ROWS), timeout_s=5)


async def test_errors_say_what_is_wrong_and_hide_what_is_inside(
    shared_triton: LocalTriton, triton: Triton, doubler: Path
) -> None:
    with pytest.raises(Unavailable) as caught:
        await triton.infer(request("nobody--v1", x=ROWS), timeout_s=5)
    assert (caught.value.reason, caught.value.retry_after_s) == (MODEL_NOT_LOADED, 1.0)
    name = add(shared_triton, doubler)
    await triton.load(name)
    for wrong in (request(name, z=ROWS), request(name, x=ROWS[:, :3]), request(name, x=ROWS.astype(int))):
        with pytest.raises(InvalidInput) as rejected:
            await triton.infer(wrong, timeout_s=5)
        assert rejected.value.reason == TRITON_REJECTED
    with pytest.raises(DeadlineExceeded):
        await triton.infer(request(name, x=ROWS), timeout_s=1e-6)
    await triton.unload(name)
    with pytest.raises(Unavailable):
        await triton.metadata(name)
    await triton.unload("never--v1")


async def test_a_triton_that_is_not_there_is_away() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers, and nobody else can take it
        triton = Triton(f"127.0.0.1:{reserved.getsockname()[1]}")
        assert not await triton.ready()
        with pytest.raises(Unavailable, match="Triton does not answer"):
            await triton.index()
        await triton.close()
