"""Calls whose right answer is known: photos of known labels, and rows of numbers that the model multiplies."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from examples.efficientnet_lite0 import NAME, photos
from lepton_ai import AsyncClient
from lepton_ai.package import Package
from lepton_ai.tensors import to_proto
from lepton_ai.v1 import common_pb2, inference_pb2
from tests.chaos.load import Ask
from tests.sample_packages import onnx_bytes, onnx_package

PHOTOS = NAME
LABELLED = "labelled"
ROWS = "rows"
"""A model that multiplies rows of four numbers; the deployed version's factor tells which version answered."""
_SCORE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class KnownPhoto:
    """A photo and what the platform says about it on a quiet day."""

    content: bytes
    label: int
    score: float


async def learn_photos(client: AsyncClient) -> tuple[KnownPhoto, ...]:
    """The answers to the twenty photos, for comparison with those under faults."""
    known = []
    for photo in photos():
        content = photo.path.read_bytes()
        best = (await client.predict(PHOTOS, content)).labels[0]
        known.append(KnownPhoto(content, best.index, best.score))
    assert len({photo.label for photo in known}) >= 15  # or a mixed-up answer would not show
    return tuple(known)


def photo_calls(client: AsyncClient, known: tuple[KnownPhoto, ...], *, timeout_s: float | None = None) -> Ask:
    """Asks for one photo after the other; each must get its own label with its own score."""
    following = itertools.cycle(known)

    async def ask() -> None:
        photo = next(following)
        best = (await client.predict(PHOTOS, photo.content, timeout_s=timeout_s)).labels[0]
        assert best.index == photo.label
        assert abs(best.score - photo.score) < _SCORE_TOLERANCE

    return ask


def row_calls(
    client: AsyncClient,
    *,
    factors: Mapping[int, float],
    max_rows: int = 20,
    seed: int = 0,
    timeout_s: float | None = None,
) -> Ask:
    """Asks with 1 to `max_rows` rows that nobody else sends; `factors` says what each version multiplies with."""
    dice = random.Random(seed)

    async def ask() -> int:
        rows = np.random.default_rng(dice.randrange(1 << 30)).normal(size=(dice.randint(1, max_rows), 4))
        sent = rows.astype(np.float32)
        answer = await client.infer(ROWS, {"x": sent}, timeout_s=timeout_s)
        assert answer.version in factors
        np.testing.assert_array_equal(answer.tensors["y"], sent * np.float32(factors[answer.version]))
        return answer.version

    return ask


def rows_package(directory: Path, *, factor: float = 2.0) -> Package:
    """y = x · factor."""
    return onnx_package(directory, model=onnx_bytes(factor=factor), name=ROWS, description=f"x · {factor:g}")


def wide_package(directory: Path, *, name: str, factor: float = 2.0, kept: bool = False) -> Package:
    """y = x · factor, many rows at a time; replicas may keep the answers if `kept`."""
    model = onnx_bytes(factor=factor)
    return onnx_package(directory, model=model, name=name, max_batch_size=256, cache={"answers": kept})


def piped_package(directory: Path) -> Package:
    """y = x · 2 of rows that are sent as raw items."""
    steps = [{"op": "tensor", "input": "row", "output": "x", "dtype": "FP32", "shape": [4]}]
    golden = {"inputs": {"row": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": [2, 4, 6, 8]}}}}
    pipeline = {"inputs": {"row": "tensor"}, "steps": steps}
    return onnx_package(directory, name="piped", preprocess=pipeline, golden=[golden])


def wrong_golden_package(directory: Path) -> Package:
    """A version whose golden sample expects what the model does not answer."""
    sample = {
        "inputs": {"x": {"values": [1, 2, 3, 4]}},
        "expect": {"outputs": {"y": {"values": [9, 9, 9, 9], "tolerance": 0.1}}},
    }
    return onnx_package(directory, name=ROWS, golden=[sample])


def crashing_package(directory: Path) -> Package:
    """A version whose model is a valid ONNX and fails on every input: four numbers do not fill seven rows."""
    shape = numpy_helper.from_array(np.array([7, 4], dtype=np.int64), name="shape")
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "crasher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx_package(directory, model=model.SerializeToString(), name=ROWS)


def slow_package(directory: Path, *, name: str, layers: int = 60, width: int = 1024) -> Package:
    """y = 2 · x, after some tens of milliseconds of matrix products that do not change it."""
    dice = np.random.default_rng(0)
    first = numpy_helper.from_array(dice.normal(size=(4, width)).astype(np.float32), name="first")
    weights = numpy_helper.from_array((dice.normal(size=(width, width)) / width).astype(np.float32), name="weights")
    nothing = numpy_helper.from_array(np.zeros((width, 4), dtype=np.float32), name="nothing")
    nodes = [helper.make_node("MatMul", ["x", "first"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{layer}", "weights"], [f"h{layer + 1}"]) for layer in range(layers)]
    nodes += [
        helper.make_node("MatMul", [f"h{layers}", "nothing"], ["zero"]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Add", ["twice", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [first, weights, nothing],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx_package(directory, model=model.SerializeToString(), name=name)


def flaky_package(directory: Path, *, beyond: float = 2.0) -> Package:
    """y = x · 2; a call fails whose first number is beyond this, which one in twenty normal ones is of 2."""
    only = numpy_helper.from_array(np.array([2.0], dtype=np.float32), name="only")
    limit = numpy_helper.from_array(np.array(beyond, dtype=np.float32), name="limit")
    bounds = [
        numpy_helper.from_array(np.array([bound], dtype=np.int64), name=name)
        for name, bound in (("zero", 0), ("one", 1), ("axis", 1))
    ]
    nodes = [
        helper.make_node("Slice", ["x", "zero", "one", "axis"], ["first"]),
        helper.make_node("Abs", ["first"], ["size"]),
        helper.make_node("Div", ["size", "limit"], ["parts"]),
        helper.make_node("Cast", ["parts"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["only", "index"], ["factor"]),  # there is only one
        helper.make_node("Mul", ["x", "factor"], ["y"]),
    ]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "flaky", sides[:1], sides[1:], [only, limit, *bounds])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx_package(directory, model=model.SerializeToString(), name=ROWS)


def labelled_package(directory: Path, *, says: Sequence[int] = (0, 1, 2, 3)) -> Package:
    """Names the greatest of a row's four numbers; `says` gives what it calls each of them."""
    matrix = np.zeros((4, 4), dtype=np.float32)
    for place, called in enumerate(says):
        matrix[place, called] = 1.0
    weights = numpy_helper.from_array(matrix, name="weights")
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])], "labelled", sides[:1], sides[1:], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    answers = [{"op": "softmax", "input": "y"}, {"op": "classify", "labels": "labels.txt", "top_k": 1}]
    labels = {"labels.txt": "甲\n乙\n丙\n丁\n".encode()}
    return onnx_package(directory, model=model.SerializeToString(), files=labels, name=LABELLED, postprocess=answers)


def labelled_calls(client: AsyncClient) -> Ask:
    """Asks for the label of one row of numbers after the other."""
    dice = np.random.default_rng(5)

    async def ask() -> None:
        row = np.zeros((1, 4), dtype=np.float32)
        row[0, dice.integers(4)] = 5.0
        request = inference_pb2.PredictRequest(model=common_pb2.ModelRef(name=LABELLED))
        request.options.top_k = 1
        request.tensors.append(to_proto("x", row))
        answer = await client._predict(request, 10.0, streamed=False)
        assert answer.predictions[0].labels

    return ask


def leaking_calls(client: AsyncClient, factors: Mapping[int, float], *, grows: Callable[[], float]) -> Ask:
    """Asks with rows whose numbers grow as `grows` says, so that a version that fails on large ones fails ever more."""
    dice = np.random.default_rng(6)

    async def ask() -> None:
        row = (dice.normal(size=(1, 4)) * grows()).astype(np.float32)
        answer = await client.infer(ROWS, {"x": row})
        np.testing.assert_array_equal(answer.tensors["y"], row * np.float32(factors[answer.version]))

    return ask
