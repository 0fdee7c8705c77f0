"""One platform with EfficientNet-lite0 deployed for all end-to-end tests that only look at it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.efficientnet_lite0 import NAME, write_package
from tests.platform import Platform, running_platform

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""For programs that train: files of tests run side by side, and threads that wait for one another by spinning take the
cores from all of them."""


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EfficientNet-lite0 with its real weights, converted to ONNX."""
    return write_package(tmp_path_factory.mktemp("packages") / NAME)


@pytest.fixture(scope="session")
def platform(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A running stack that serves EfficientNet-lite0, and tells of drift at once."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LEPTON_DRIFT_INTERVAL_S", "1")
        environment.setenv("LEPTON_DRIFT_PENDING_S", "1")
        environment.setenv("LEPTON_JUDGE_INTERVAL_S", "1")
        with running_platform(tmp_path_factory.mktemp("平台") / ".lepton") as running:
            asyncio.run(_deploy(running, package))
            yield running


async def _deploy(running: Platform, package: Path) -> None:
    async with running.client() as client:
        await client.push(package)
        await client.deploy(NAME)
