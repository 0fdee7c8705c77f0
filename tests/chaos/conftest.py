"""One platform for all faults that it heals from by itself, and the measurements of how soon it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from examples.efficientnet_lite0 import write_package
from tests.chaos.calls import PHOTOS, ROWS, KnownPhoto, learn_photos, rows_package
from tests.chaos.faults import until_healthy
from tests.chaos.recoveries import Recoveries
from tests.platform import Platform, running_platform

MAX_QUEUE_ROWS = 128
_RECOVERIES = pytest.StashKey[Recoveries]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RECOVERIES] = Recoveries()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    recoveries = config.stash[_RECOVERIES]
    if recoveries.rows:
        terminalreporter.section("recovery, measured")
        for line in recoveries.lines():
            terminalreporter.write_line(line)


@pytest.fixture
def recoveries(request: pytest.FixtureRequest) -> Recoveries:
    """Where to note what was measured."""
    return request.config.stash[_RECOVERIES]


@pytest.fixture(scope="session")
def photo_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EfficientNet-lite0 with its real weights."""
    return write_package(tmp_path_factory.mktemp("packages") / PHOTOS)


@pytest.fixture(scope="session")
def row_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 of the model that multiplies rows, by 2."""
    return rows_package(tmp_path_factory.mktemp("packages") / ROWS).directory


@pytest.fixture(scope="session")
def shared_platform(
    photo_package: Path, row_package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """One inference replica, two of preprocess; queues are short, so that they can be filled."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LEPTON_MAX_QUEUE_ROWS", str(MAX_QUEUE_ROWS))
        environment.setenv("LEPTON_DRY_RUN", "off")  # broken versions are wanted
        with running_platform(tmp_path_factory.mktemp("混沌") / ".lepton", preprocess=2) as running:
            asyncio.run(deploy(running, photo_package, row_package))
            yield running


@pytest.fixture(scope="session")
def shared_pair(photo_package: Path, row_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LEPTON_DRY_RUN", "off")
        with running_platform(tmp_path_factory.mktemp("双") / ".lepton", inference=2, preprocess=2) as running:
            asyncio.run(deploy(running, photo_package, row_package))
            yield running


@pytest.fixture
async def pair(shared_pair: Platform) -> AsyncIterator[Platform]:
    """Two replicas of inference and of preprocess, which every test must leave healthy."""
    yield shared_pair
    await until_healthy(shared_pair)


@pytest.fixture
async def platform(shared_platform: Platform) -> AsyncIterator[Platform]:
    """The shared platform, which every test must leave healthy."""
    yield shared_platform
    await until_healthy(shared_platform)


@pytest.fixture(scope="session")
def known_photos(shared_platform: Platform) -> tuple[KnownPhoto, ...]:
    """The right answers, asked before anything is broken."""

    async def learn() -> tuple[KnownPhoto, ...]:
        async with shared_platform.client() as client:
            return await learn_photos(client)

    return asyncio.run(learn())


async def deploy(running: Platform, *packages: Path) -> None:
    """Push and serve packages, until the platform says that all is well."""
    async with running.client() as client:
        for package in packages:
            version = await client.push(package)
            await client.deploy(version.model)
    await until_healthy(running)
