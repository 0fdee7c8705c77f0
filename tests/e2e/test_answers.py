"""Answers of trained models as callers get them: one by one, of a table, and from the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
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


async def deploy(platform: Platform, model: Any, name: str) -> None:
    await asyncio.to_thread(la.deploy, model, name=name, addresses=platform.addresses)


async def test_a_classifier_of_several_labels_names_none_one_or_several(platform: Platform) -> None:
    labels = [["大"] * (size > 11) + ["北方"] * (city == "北京") for size, city in HOUSES.itertuples(index=False)]
    model = MLP()
    model.fit(HOUSES, labels, epochs=60, learning_rate=0.05, validation=None, progress=False)
    expected = model.predict(HOUSES)
    assert {len(each.labels) for each in expected} == {0, 1, 2}
    await deploy(platform, model, "tags")
    await asyncio.to_thread(assert_answered, platform, "tags", HOUSES, expected, outputs=["logits"])


async def test_a_regressor_of_several_targets_gives_numbers_with_names_and_units(
    platform: Platform, tmp_path: Path
) -> None:
    targets = pd.DataFrame({"价格": HOUSES["面积"] * 5, "采光": 30 - HOUSES["面积"]})
    model = MLP()
    model.fit(HOUSES, targets, epochs=5, validation=None, progress=False)
    package = model.package(tmp_path / "houses", name="houses").path("lepton.yaml")
    document = yaml.safe_load(package.read_text(encoding="utf-8"))
    document["postprocess"][0]["units"] = ["万元", ""]
    package.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    async with platform.client() as client:
        version = await client.push(package.parent)
        await client.deploy(f"houses@{version.version}")
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
    form: type, other: str, platform: Platform, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = la.wrap(Several(form))
    x = np.array(POINTS["x"].tolist(), np.float32)
    model.fit(x, np.where(x[:, 0] > 0, "右", "左"), epochs=30, learning_rate=0.05, validation=None, progress=False)
    saved = Wrapped.load(model.save(tmp_path / "模型.pth"), module=Several(form))
    name = f"several-{form.__name__}"
    await deploy(platform, saved, name)
    expected = model.predict(x)
    await asyncio.to_thread(assert_answered, platform, name, POINTS, expected, outputs=[other, "logits"])

    printed = await asyncio.to_thread(platform.lepton, "predict", name, "--input", "x=[2, 1, -1]", "--output", other)
    assert printed.stdout.split()[:4] == ["Input", "Label", "Probability", other]
    assert "shape [4]" in printed.stdout.splitlines()[1]
    refused = await asyncio.to_thread(platform.lepton, "predict", name, "--input", "x=[2, 1, -1]", "--output", "nope")
    assert refused.returncode != 0 and "no output 'nope'" in refused.stderr and other in refused.stderr


async def test_whole_numbers_are_taken_for_floats_but_never_bent(platform: Platform, tmp_path: Path) -> None:
    steps = [{"op": "tensor", "dtype": "FP32", "shape": [4], "output": "x"}]
    onnx_package(tmp_path / "package", name="wholes", preprocess={"inputs": {"数": "tensor"}, "steps": steps})
    async with platform.client() as client:
        await client.push(tmp_path / "package")
        await client.deploy("wholes")
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


async def test_the_command_draws_a_mask_over_the_photo(platform: Platform, tmp_path: Path) -> None:
    steps = [{"op": "decode_image", "input": "photo"}, {"op": "resize", "size": [8, 16]}]
    onnx_package(
        tmp_path / "package",
        model=areas_model(),
        files={"labels.txt": "红\n绿\n蓝\n".encode()},
        name="areas",
        inputs=[{"name": "x", "dtype": "FP32", "shape": [-1, 3, 8, 16]}],
        outputs=[{"name": "y", "dtype": "FP32", "shape": [-1, 3, 8, 16]}],
        preprocess={"inputs": {"photo": "image"}, "steps": [*steps, {"op": "to_tensor", "output": "x"}]},
        postprocess=[{"op": "mask", "labels": "labels.txt"}],
    )
    pixels = np.zeros((80, 160, 3), np.uint8)
    pixels[:, :80, 0], pixels[:, 80:, 2] = 200, 200
    photo, target = tmp_path / "照片.png", tmp_path / "画.png"
    Image.fromarray(pixels).save(photo)
    async with platform.client() as client:
        await client.push(tmp_path / "package")
        await client.deploy("areas")
        mask = (await client.predict("areas", photo)).mask
    assert mask is not None and [mask.name_of(index) for index, _ in mask.areas()] == ["蓝", "红"]
    done = await asyncio.to_thread(platform.lepton, "predict", "areas", str(photo), "--draw", str(target))
    assert done.returncode == 0 and "50.0%" in done.stdout, done.stderr
    with Image.open(target) as drawn:
        assert drawn.size == (160, 80)
        for x, index in ((70, 0), (150, 2)):
            mixed = (pixels[70, x].astype(int) + COLOURS[index]) // 2
            np.testing.assert_allclose(np.asarray(drawn)[70, x], mixed, atol=1)
