"""Inputs that come again, on a running platform: `lepton cache`, and no old answer once `deploy` has returned."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np

from lepton_ai import AsyncClient
from lepton_ai.errors import NotFound
from lepton_ai.prediction import Answer
from lepton_ai.testing import eventually
from tests.platform import Platform
from tests.sample_packages import onnx_bytes, onnx_package

NAME = "repeated"
ROW = {"x": np.array([[1, 2, 3, 4]], np.float32)}


def package(directory: Path, factor: float) -> Path:
    made = onnx_package(
        directory / f"factor-{factor:g}", model=onnx_bytes(factor=factor), name=NAME, cache={"answers": True}
    )
    return made.directory


def factor(answer: Answer) -> float:
    return float(answer.tensors["y"][0, 0])


async def test_once_deploy_has_returned_no_answer_is_the_old_versions(platform: Platform, tmp_path: Path) -> None:
    async with platform.client() as client:
        await client.push(package(tmp_path, 2.0))
        await client.deploy(NAME)
        answers: list[tuple[float, Answer]] = []
        callers = [asyncio.create_task(_call(client, answers)) for _ in range(4)]
        try:
            moved: list[tuple[float, float, int]] = []
            await client.push(package(tmp_path, 3.0))
            for version in (2, 1, 2):
                await client.deploy(f"{NAME}@{version}")
                since_s = asyncio.get_running_loop().time()
                await _some_more(answers)
                moved.append((since_s, asyncio.get_running_loop().time(), version))
        finally:
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
        assert sum(answer.cached_rows for _, answer in answers) > 100
        _check(answers, moved)
        shown = platform.lepton("cache", "--model", NAME)
        assert f"{NAME}@2" in shown.stdout
        assert "answers" in shown.stdout
        (replica,) = json.loads(platform.lepton("cache", "--json").stdout).values()
        mine = next(each for each in replica["caches"] if each["model"] == NAME)
        assert mine["on"]
        assert mine["local_hits"] > 0
        assert "let go by 1 replica" in platform.lepton("cache", "clear", NAME).stdout
        assert (await client.infer(NAME, ROW)).cached_rows == 0
        await client.undeploy(NAME)
        assert NAME not in platform.lepton("cache").stdout


async def _call(client: AsyncClient, answers: list[tuple[float, Answer]]) -> None:
    while True:
        began = asyncio.get_running_loop().time()
        try:
            answers.append((began, await client.infer(NAME, ROW)))
        except NotFound:
            await asyncio.sleep(0.01)


async def _some_more(answers: list[tuple[float, Answer]]) -> None:
    count = len(answers)
    await eventually(lambda: len(answers) > count + 100, timeout_s=20, description="more answers")


def _check(answers: list[tuple[float, Answer]], moved: list[tuple[float, float, int]]) -> None:
    """Every answer is its version's own, and that of the version whose deployment had returned when its call began."""
    for began, answer in answers:
        assert factor(answer) == {1: 2.0, 2: 3.0}[answer.version]
        for since_s, until_s, version in moved:
            if since_s <= began < until_s:
                assert answer.version == version
    since_s, _, version = moved[-1]
    late = [answer.version for began, answer in answers if began >= since_s]
    assert len(late) > 50
    assert set(late) == {version}


async def test_clearing_needs_a_name_or_the_wish_for_all(platform: Platform) -> None:
    assert platform.lepton("cache", "clear").returncode == 2
    assert platform.lepton("cache", "clear", "--all", "--json").returncode == 0
