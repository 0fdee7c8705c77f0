"""A trained network and its int8 variant on the whole platform: which of both answers, and that everybody says so; and
how the variant comes in step by step."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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
from lepton_ai.v1 import registry_pb2
from tests.chaos.load import load
from tests.chaos.rollouts import LONG_S, PROMOTED, ROLLED_BACK, RUNNING, until_state
from tests.platform import Platform, running_platform
from tests.sample_packages import variant_package

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


def network(*, detours: int = 0) -> bytes:
    """Three dense layers, wide enough that 8 bits pay, which answer what pattern a row is most like.

    `detours`: further layers that cost time and change nothing.
    """
    first, second = (
        (_generator.normal(size=(width, HIDDEN)) / np.sqrt(width)).astype(np.float32) for width in (WIDTH, HIDDEN)
    )
    features = np.maximum(np.maximum(PATTERNS @ first, 0) @ second, 0)
    last = (features / np.linalg.norm(features, axis=1, keepdims=True)).T
    names = ("first", "second", "last")
    nodes = [helper.make_node("MatMul", ["x", "first"], ["a0"])]
    for number in range(detours):
        nodes.append(helper.make_node("MatMul", [f"a{number}", "second"], [f"long{number}"]))
        nodes.append(helper.make_node("Mul", [f"long{number}", "nothing"], [f"zero{number}"]))
        nodes.append(helper.make_node("Add", [f"a{number}", f"zero{number}"], [f"a{number + 1}"]))
    nodes += [
        helper.make_node("Relu", [f"a{detours}"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "last"], ["y"]),
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in zip(names, (first, second, last), strict=True)]
    weights.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
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
        newest = (await client.rollouts(MODEL))[:1]
        if newest and newest[0].state in (registry_pb2.ROLLOUT_STATE_WAITING, RUNNING, registry_pb2.ROLLOUT_STATE_HELD):
            await client.control_rollout(MODEL, "abort")


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


def caller(client: AsyncClient, seen: Counter[str]) -> Callable[[], Awaitable[None]]:
    """Asks other rows each time, and counts who answers."""
    seeds = itertools.count(10_000)

    async def call() -> None:
        answer = await ask(client, next(seeds))
        assert answer.version == 1
        seen[answer.variant] += 1

    return call


async def test_a_variant_comes_in_step_by_step_is_promoted_and_goes_back_and_no_call_fails(
    platform: Platform, client: AsyncClient, original: Package
) -> None:
    seen = Counter[str]()
    async with load(caller(client, seen), callers=4) as running:
        started = await client.start_rollout(f"{MODEL}@1+int8", [10, 30, 60], step_s=3.0, bake_s=LONG_S, judged=False)
        assert (started.version, started.old_version, started.variant) == (1, 1, "int8")
        await until_state(client, PROMOTED, model=MODEL)
        assert seen[""] and seen["int8"]
        await client.rollback(MODEL)
        await answered_by(client, "", 300)
        await client.start_rollout(f"{MODEL}@1+int8", [30], step_s=LONG_S, bake_s=LONG_S, judged=False)
        await until_state(client, RUNNING, share=3000, model=MODEL)
        await answered_by(client, "int8", 350)
        seen.clear()
        await running.more(400, timeout_s=120)
        assert seen["int8"] / seen.total() == pytest.approx(0.3, abs=0.12)
        await client.control_rollout(MODEL, "promote")
        await answered_by(client, "int8", 400)
        assert {(await ask(client, 500 + number)).variant for number in range(20)} == {"int8"}
        assert paths(platform)["variant_policy"] == "pinned"
        assert "int8 (answers)" in platform.lepton("models", f"{MODEL}@1").stdout
        await client.rollback(MODEL)
        await answered_by(client, "", 600)
        assert {(await ask(client, 700 + number)).variant for number in range(20)} == {""}
    assert not running.failures


async def test_a_variant_that_is_slower_than_its_original_is_taken_back_by_the_judge(
    platform: Platform, client: AsyncClient, original: Package, tmp_path: Path
) -> None:
    slow = variant_package(tmp_path / "slow", original, model=network(detours=12))
    await client.push(slow.directory, variant_of=f"{MODEL}@1", variant="slow")
    seen = Counter[str]()
    async with load(caller(client, seen), callers=2) as running:
        run = platform.lepton("deploy", f"{MODEL}@1+slow", "--canary", "50%", "--every", "1h", "--detach", "--json")
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["variant"] == "slow"
        ended = await until_state(client, ROLLED_BACK, model=MODEL)
    assert "latency" in ended.reason
    assert "of variant slow" in ended.reason
    assert seen["slow"]
    assert not running.failures
    await answered_by(client, "", 800)


async def test_of_a_variant_that_was_measured_elsewhere_the_rollout_ends_and_says_why(
    client: AsyncClient, original: Package, tmp_path: Path
) -> None:
    elsewhere = variant_package(tmp_path / "other", original, model=network(detours=1), flags=["sve"], cpu="Another")
    await client.push(elsewhere.directory, variant_of=f"{MODEL}@1", variant="other-cpu")
    await client.start_rollout(f"{MODEL}@1+other-cpu", [50], step_s=LONG_S)
    ended = await until_state(client, ROLLED_BACK, model=MODEL)
    assert "measured on another processor" in ended.reason
