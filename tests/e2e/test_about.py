"""What a version is, where it comes from, and how it differs from another: as the command line shows it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.platform import Platform
from tests.sample_packages import onnx_bytes, onnx_package

pytestmark = pytest.mark.e2e
NAME = "about-doubler"


async def test_versions_tell_their_differences_their_lineage_and_their_card(platform: Platform, tmp_path: Path) -> None:
    first = {"data": "folder 猫狗", "data_digest": "ab" * 32, "rows": 1200, "parameters": {"epochs": 10}}
    one = onnx_package(tmp_path / "1", name=NAME, metrics={"accuracy": 0.9}, lineage=first)
    second = {"parent": f"{NAME}@1", "parameters": {"quantised": "int8"}}
    files = {"README.md": "# 加倍器\n\nDoubles *four* numbers.".encode()}
    model = onnx_bytes(factor=2.5)
    two = onnx_package(tmp_path / "2", name=NAME, model=model, metrics={"accuracy": 0.88}, lineage=second, files=files)
    async with platform.client() as client:
        for package in (one, two):
            await client.push(package.directory)
        version = await client.version(NAME)
    assert (version.version, version.model) == (2, NAME)

    async def lepton(*arguments: str, ends_with: int = 0) -> str:
        done = await asyncio.to_thread(platform.lepton, *arguments)
        assert done.returncode == ends_with, done.stderr
        return done.stdout

    found = json.loads(await lepton("diff", f"{NAME}@1", f"{NAME}@2", "--json", ends_with=1))
    assert {"section": "metrics", "what": "metrics.accuracy", "before": 0.9, "after": 0.88} in found
    assert {each["what"] for each in found if each["section"] == "files"} >= {"model.onnx", "README.md"}
    assert await lepton("diff", f"{NAME}@2", str(two.directory)) == ""
    line = json.loads(await lepton("lineage", NAME, "--json"))
    assert [each["version"] for each in line] == [f"{NAME}@2", f"{NAME}@1"]
    shown = await lepton("lineage", NAME)
    assert "1,200 rows" in shown
    assert "quantised int8" in shown
    card = await lepton("card", NAME)
    assert "加倍器" in card
    assert "accuracy 0.88" in card
