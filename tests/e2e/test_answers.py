"""Answers of trained models as callers get them: one by one, of a table, and from the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
import torch
import yaml
from onnx import TensorProto, helper
from PIL import Image
from torch import Tensor, nn

import lepton_ai as la
from lepton_ai.cli.answers import answer_document
from lepton_ai.client import Client
from lepton_ai.drawing.plates import COLOURS
from lepton_ai.models import MLP, Wrapped
from lepton_ai.outputs import Outputs
from lepton_ai.package import Package
from tests.platform import Platform
from tests.sample_packages import onnx_package

HOUSES = pd.DataFrame({"面积": np.arange(24.0) * 5 % 24, "城市": ["上海", "北京"] * 12})
POINTS = pd.DataFrame({"x": [[x, y, 1 - x] for x in (-2, -1, 1, 2) for y in (-1, 0, 1)]})
"""Whole numbers, which JSON and data frames hold as such, for models that take floats."""


def assert_answered(
    platform: Platform, model: str, rows: pd.DataFrame, expected: Sequence[Outputs], *, outputs: Sequence[str]
) -> None:
    """The platform answers what the model answers in Python, whichever way it is asked."""
    names = [""] * len(rows)
    with Client(platform.addresses) as client:
        table = client.predict_batch(model, rows, outputs=outputs)
        single = [client.predict(model, row, outputs=outputs) for row in rows.to_dict("records")]
    file = platform.home / f"{model}.jsonl"
    rows.to_json(file, orient="records", lines=True, force_ascii=False)
    options = [option for name in outputs for option in ("--output", name)]
    done = platform.lepton("predict", model, str(file), "--json", *options)
    assert done.returncode == 0, done.stderr
    for document in (
        answer_document(names, [table]),
        answer_document(names, [replace(table, predictions=tuple(single))]),
        json.loads(done.stdout),
    ):
        for got, wanted in zip(document["predictions"], expected, strict=True):
            assert_alike(got, wanted, outputs)


def assert_alike(got: dict[str, Any], wanted: Outputs, outputs: Sequence[str]) -> None:
    assert got["error"] is None
    assert [each["name"] for each in got["labels"]] == [each.name for each in wanted.labels]
    assert [each["score"] for each in got["labels"]] == pytest.approx([each.score for each in wanted.labels], abs=1e-4)
    numbers = got.get("numbers", [])
    assert [each["name"] for each in numbers] == [each.name for each in wanted.numbers]
    assert [each["value"] for each in numbers] == pytest.approx([each.value for each in wanted.numbers], rel=1e-4)
    assert got["outputs"].keys() == set(outputs)
    for name in outputs:
        expected: Any = wanted.outputs[name]
        np.testing.assert_allclose(got["outputs"][name], expected, rtol=1e-3, atol=1e-3)


Serve = Callable[[Package], Awaitable[None]]


@pytest.fixture
async def serve(platform: Platform) -> AsyncIterator[Serve]:
    """Serves packages for the length of a test."""
    served: list[str] = []
    async with platform.client() as client:

        async def push_and_deploy(package: Package) -> None:
            version = await client.push(package.directory)
            await client.deploy(f"{version.model}@{version.version}")
            served.append(version.model)

        yield push_and_deploy
        for name in served:
            await client.undeploy(name)


async def test_a_classifier_of_several_labels_names_none_one_or_several(
    platform: Platform, serve: Serve, tmp_path: Path
) -> None:
    labels = [["大"] * (size > 11) + ["北方"] * (city == "北京") for size, city in HOUSES.itertuples(index=False)]
    model = MLP()
    model.fit(HOUSES, labels, epochs=60, learning_rate=0.05, validation=None, progress=False)
    expected = model.predict(HOUSES)
    assert {len(each.labels) for each in expected} == {0, 1, 2}
    await serve(model.package(tmp_path / "package", name="tags"))
    await asyncio.to_thread(assert_answered, platform, "tags", HOUSES, expected, outputs=["logits"])


async def test_a_regressor_of_several_targets_gives_numbers_with_names_and_units(
    platform: Platform, serve: Serve, tmp_path: Path
) -> None:
    targets = pd.DataFrame({"价格": HOUSES["面积"] * 5, "采光": 30 - HOUSES["面积"]})
    model = MLP()
    model.fit(HOUSES, targets, epochs=5, validation=None, progress=False)
    file = model.package(tmp_path / "package", name="houses").path("lepton.yaml")
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["postprocess"][0]["units"] = ["万元", ""]
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    await serve(Package.read(tmp_path / "package"))
    async with platform.client() as client:
        numbers = (await client.predict("houses", HOUSES.iloc[5])).numbers
    assert [(each.name, each.unit) for each in numbers] == [("价格", "万元"), ("采光", "")]
    expected = model.predict(HOUSES)
    await asyncio.to_thread(assert_answered, platform, "houses", HOUSES, expected, outputs=["values"])


class Several(nn.Module):
    """Answers of two kinds, in a tuple or by name."""

    def __init__(self, form: type) -> None:
        super().__init__()
        self.body, self.head, self.form = nn.Linear(3, 4), nn.Linear(4, 2), form

    def forward(self, x: Tensor) -> Any:
        inner = self.body(x)
        logits = self.head(inner.relu())
        return (logits, inner) if self.form is tuple else {"内": inner, "logits": logits}


@pytest.mark.parametrize(("form", "other"), [(tuple, "output_1"), (dict, "内")])
async def test_a_wrapped_module_answers_with_its_other_outputs_when_asked(
    form: type, other: str, platform: Platform, serve: Serve, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = la.wrap(Several(form))
    x = np.array(POINTS["x"].tolist(), np.float32)
    model.fit(x, np.where(x[:, 0] > 0, "右", "左"), epochs=30, learning_rate=0.05, validation=None, progress=False)
    saved = Wrapped.load(model.save(tmp_path / "模型.pth"), module=Several(form))
    name = f"several-{form.__name__}"
    await serve(saved.package(tmp_path / "package", name=name))
    expected = model.predict(x)
    await asyncio.to_thread(assert_answered, platform, name, POINTS, expected, outputs=[other, "logits"])

    printed = await asyncio.to_thread(platform.lepton, "predict", name, "--input", "x=[2, 1, -1]", "--output", other)
    assert printed.stdout.split()[:4] == ["Input", "Label", "Probability", other]
    assert "shape [4]" in printed.stdout.splitlines()[1]


async def test_whole_numbers_are_taken_for_floats_but_never_bent(
    platform: Platform, serve: Serve, tmp_path: Path
) -> None:
    steps = [{"op": "tensor", "dtype": "FP32", "shape": [4], "output": "x"}]
    doubled = {"inputs": {"数": {"values": [1, 2, 3, 4]}}, "expect": {"outputs": {"y": {"values": [2, 4, 6, 8]}}}}
    package = onnx_package(
        tmp_path / "package",
        name="wholes",
        preprocess={"inputs": {"数": "tensor"}, "steps": steps},
        golden=[doubled],
    )
    await serve(package)
    async with platform.client() as client:
        for numbers in ([0, 1, 2, 1 << 24], (0, 1, 2, 1 << 24), np.array([0, 1, 2, 1 << 24])):
            assert (await client.predict("wholes", numbers)).values.tolist() == [0, 2, 4, 1 << 25]
        many = await client.predict_batch("wholes", [[0, 1, 2, 3], [0, 1, 2, (1 << 24) + 1], [0.5, 1, 2, 3]])
    first, bent, mixed = many.predictions
    assert (first.values.tolist(), mixed.values.tolist()) == ([0, 2, 4, 6], [1, 2, 4, 6])
    assert bent.error is not None and "element [3] is a number that FP32 does not have" in str(bent.error)


def areas_model() -> bytes:
    """A picture's red, green and blue [N, 3, 8, 16] as the scores of three classes."""
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT, shape=["batch", 3, 8, 16])
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "areas", [value("x")], [value("y")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


async def test_the_command_draws_a_mask_over_the_photo(platform: Platform, serve: Serve, tmp_path: Path) -> None:
    pixels = np.zeros((80, 160, 3), np.uint8)
    pixels[:, :80, 0], pixels[:, 80:, 2] = 200, 200
    photo, target = tmp_path / "照片.png", tmp_path / "画.png"
    Image.fromarray(pixels).save(photo)
    steps = [{"op": "decode_image", "input": "photo"}, {"op": "resize", "size": [16, 8]}]
    package = onnx_package(
        tmp_path / "package",
        model=areas_model(),
        files={"labels.txt": "红\n绿\n蓝\n".encode(), "golden.png": photo.read_bytes()},
        name="areas",
        inputs=[{"name": "x", "dtype": "FP32", "shape": [-1, 3, 8, 16]}],
        outputs=[{"name": "y", "dtype": "FP32", "shape": [-1, 3, 8, 16]}],
        preprocess={"inputs": {"photo": "image"}, "steps": [*steps, {"op": "to_tensor", "output": "x"}]},
        postprocess=[{"op": "mask", "labels": "labels.txt"}],
        golden=[{"inputs": {"photo": "golden.png"}, "expect": {"label": "红", "top_k": 2}}],
    )
    await serve(package)
    async with platform.client() as client:
        mask = (await client.predict("areas", photo)).mask
    assert mask is not None and [mask.name_of(index) for index, _ in mask.areas()] == ["蓝", "红"]
    done = await asyncio.to_thread(platform.lepton, "predict", "areas", str(photo), "--draw", str(target))
    assert done.returncode == 0 and "50.0%" in done.stdout, done.stderr
    with Image.open(target) as drawn:
        assert drawn.size == (160, 80)
        for x, index in ((70, 0), (150, 2)):
            mixed = (pixels[70, x].astype(int) + COLOURS[index]) // 2
            np.testing.assert_allclose(np.asarray(drawn)[70, x], mixed, atol=1)
