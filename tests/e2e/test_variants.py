"""A trained network and its int8 variant on the whole platform: which of both answers, and that everybody says so."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lepton_ai import AsyncClient
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.measure.trying import Judging, measure_variant
from lepton_ai.optimize.methods import Workpiece
from lepton_ai.optimize.recording import section
from lepton_ai.optimize.rows import Rows
from lepton_ai.optimize.search.making import make_variant
from lepton_ai.optimize.search.space import single_methods
from lepton_ai.optimize.search.task import Task
from lepton_ai.optimize.variant import record_measurement
from lepton_ai.package import Package, copy_package, write_package
from lepton_ai.prediction import Answer
from lepton_ai.tensors import Array
from lepton_ai.testing import eventually
from tests.platform import Platform, running_platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
MODEL = "patterns"
WIDTH, HIDDEN, CLASSES = 64, 2048, 10
_generator = np.random.default_rng(0)
PATTERNS = _generator.normal(size=(CLASSES, WIDTH)).astype(np.float32)


def rows(count: int, seed: int) -> Array:
    """Noisy patterns, each of some class."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(scale=0.3, size=(count, WIDTH))
    patterns: Array = (PATTERNS[np.arange(count) % CLASSES] + noise).astype(np.float32)
    return patterns


def network() -> bytes:
    """Three dense layers, wide enough that 8 bits pay, which answer what pattern a row is most like."""
    first, second = (
        (_generator.normal(size=(width, HIDDEN)) / np.sqrt(width)).astype(np.float32) for width in (WIDTH, HIDDEN)
    )
    features = np.maximum(np.maximum(PATTERNS @ first, 0) @ second, 0)
    last = (features / np.linalg.norm(features, axis=1, keepdims=True)).T
    names = ("first", "second", "last")
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "last"], ["y"]),
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in zip(names, (first, second, last), strict=True)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])]
    graph = helper.make_graph(nodes, "patterns", inputs, outputs, weights)
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    return content


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A network whose package allows a cache."""
    document = {
        "format": 1,
        "name": MODEL,
        "model": {"file": "model.onnx", "format": "onnx"},
        "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1, WIDTH]}],
        "outputs": [{"name": "y", "dtype": "FP32", "shape": [-1, CLASSES]}],
        "max_batch_size": 4,
        "cache": {"answers": True},
    }
    return write_package(tmp_path_factory.mktemp("packages") / MODEL, document, {"model.onnx": network()})


@pytest.fixture(scope="module")
def variant(original: Package, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """It with 8 bits, measured beside it here, as `lepton optimise` makes and measures it."""
    folder = tmp_path_factory.mktemp("searches")
    calibration, judging = Rows({"x": rows(100, 1)}), Judging(Rows({"x": rows(400, 2)}), folder / "answers.npz")
    candidate = single_methods(this_cpu(), trainable=False, methods=["int8"])[0]
    task = Task(original.digest, judging.rows.digest, "latency", 0.5, this_cpu())
    piece = Workpiece(calibration, task.cpu, task.max_loss, end_s=time.monotonic() + 300)
    made = make_variant(original, candidate, folder / "int8", piece)
    measured = measure_variant(original, made, judging, target=task.target, max_loss=task.max_loss)
    return record_measurement(made.directory, section(task, candidate.name, measured))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("variants") / ".lepton", timeout_s=240) as running:
        yield running


@pytest.fixture
async def client(original: Package, variant: Package, platform: Platform) -> AsyncIterator[AsyncClient]:
    """Version 1 is served and has the variant int8; nothing says that it may answer."""
    async with platform.client(timeout_s=30.0) as client:
        await client.push(original.directory)
        await client.push(variant.directory, variant_of=f"{MODEL}@1", variant="int8")
        await client.deploy(f"{MODEL}@1", variants="exact", wait_s=180)
        yield client


async def ask(client: AsyncClient, seed: int) -> Answer:
    """One row, the same for the same seed."""
    return await client.infer(MODEL, {"x": rows(1, 1000 + seed)})


async def answered_by(client: AsyncClient, variant: str, seed: int) -> Answer:
    """Ask other pictures until the variant answers; the last answer."""
    answers: list[Answer] = []

    async def is_it() -> bool:
        answers.append(await ask(client, seed + len(answers)))
        return answers[-1].variant == variant

    await eventually(is_it, timeout_s=180, description=f"{variant or 'the original'} answers")
    return answers[-1]


def paths(platform: Platform) -> dict[str, Any]:
    run = platform.lepton("paths", MODEL, "--json")
    assert run.returncode == 0, run.stderr
    (document,) = json.loads(run.stdout).values()
    return dict(document)


async def test_only_the_original_answers_unless_the_model_allows_more(
    platform: Platform, client: AsyncClient, original: Package
) -> None:
    answer = await ask(client, 1)
    assert (answer.version, answer.variant) == (1, "")
    assert paths(platform)["variant_policy"] == "exact"


async def test_under_auto_the_faster_variant_answers_and_says_so(
    platform: Platform, client: AsyncClient, original: Package
) -> None:
    await client.deploy(f"{MODEL}@1", variants="auto", wait_s=180)
    answer = await answered_by(client, "int8", 100)
    assert answer.version == 1
    assert answer.tensors["y"].shape == (1, CLASSES)
    described = paths(platform)
    assert described["variant_policy"] == "auto"
    assert {each["name"]: each["serving"] for each in described["variants"]}["int8"]
    assert "yes" in platform.lepton("paths", MODEL).stdout


async def test_callers_that_want_the_original_never_get_a_variants_answer_from_the_cache_either(
    platform: Platform, client: AsyncClient, original: Package
) -> None:
    await client.deploy(f"{MODEL}@1", variants="auto", wait_s=180)
    await answered_by(client, "int8", 200)
    async with AsyncClient(platform.addresses, exact=True, timeout_s=30.0) as exact:
        light, heavy = await ask(client, 7), await ask(exact, 7)
        assert (light.variant, heavy.variant) == ("int8", "")
        assert heavy.cached_rows == 0
        for caller, answer in ((client, light), (exact, heavy)):
            again = await ask(caller, 7)
            assert again.variant == answer.variant
            np.testing.assert_array_equal(again.tensors["y"], answer.tensors["y"])
    assert (light.tensors["y"] != heavy.tensors["y"]).any()


async def test_a_variant_of_another_processor_does_not_answer_however_fast_it_is(
    platform: Platform, client: AsyncClient, original: Package, variant: Package, tmp_path: Path
) -> None:
    assert variant.description.optimised is not None
    elsewhere = copy_package(variant, tmp_path / "elsewhere")
    section = variant.description.optimised.model_dump(mode="json")
    faster = {"flags": ["sve"], "cpu": "Another", "speed_up": 99.0, "speed_up_interval": [98.0, 100.0]}
    record_measurement(elsewhere.directory, section | faster)
    await client.push(elsewhere.directory, variant_of=f"{MODEL}@1", variant="elsewhere")
    await client.deploy(f"{MODEL}@1", variants="auto", wait_s=180)
    await answered_by(client, "int8", 300)
    messages = {each["name"]: each["message"] for each in paths(platform)["variants"]}
    assert "measured on another processor" in messages["elsewhere"]
    assert "does not answer here" in platform.lepton("logs", "inference").stdout


async def test_the_registry_shows_where_a_variant_comes_from_and_what_was_measured(
    platform: Platform, client: AsyncClient, original: Package
) -> None:
    run = platform.lepton("models", f"{MODEL}@1", "--json")
    shown = json.loads(run.stdout)["variants"][0]
    assert (shown["name"], shown["parent"], shown["of_digest"]) == ("int8", f"{MODEL}@1", original.digest)
    assert shown["method"].startswith("int8")
    assert shown["measured"]["speed_up"] > 1.0
    assert "int8" in platform.lepton("models", f"{MODEL}@1").stdout
