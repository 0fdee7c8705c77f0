"""`python -m benchmarks`: measures, prints tables, writes them as Markdown or JSON; starts a platform if need be."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import click

from benchmarks import (
    cache,
    data,
    feedback,
    flips,
    log_records,
    memory,
    photos,
    rows,
    signing,
    startup,
    training,
    transports,
)
from benchmarks.balancing import tables as balancing
from benchmarks.flat import tables as flat
from benchmarks.health import faults, measurements
from benchmarks.judging import tables as judging
from benchmarks.leaks import tables as leaks
from benchmarks.optimisation import exhaustive, served, students, variants
from benchmarks.overload import model as overload_model
from benchmarks.overload import tables as overload
from benchmarks.registry import mlflow_beside, scale, transfers
from benchmarks.report import Report, as_json, markdown, show
from examples.efficientnet_lite0 import NAME, write_package
from lepton_ai.local.processes.table import PARTS
from tests.platform import Platform, running_platform

PLATFORM_SUITES = ("photos", "rows", "cache", "startup")
FAULT_SUITES = ("overload", "leaks", "flat", "faults", "lighter")
"""Each on a platform of its own, which it may spoil for the others."""
PLAIN_SUITES: Mapping[str, Callable[[], list[Report]]] = {
    "balancing": balancing.measure,
    "judge": judging.measure,
    "flips": flips.measure,
    "data": data.measure,
    "signing": signing.measure,
    "logs": log_records.measure,
    "optimise": variants.measure,
    "students": students.measure,
    "exhaustive": exhaustive.measure,
}
"""Those that are told nothing."""
SERVICE_SUITES = {
    "mlflow": mlflow_beside.measure,
    "registry": scale.measure,
    "measurements": measurements.measure,
    "feedback": feedback.measure,
}
"""Each with a folder of its own."""
SDK_SUITES = (*PLAIN_SUITES, "transports", "training", "memory", *SERVICE_SUITES, "transfers")
SUITES = PLATFORM_SUITES + FAULT_SUITES + SDK_SUITES


@dataclass(frozen=True)
class _Size:
    """How much is measured."""

    seconds: float
    gigabytes: float
    requests: int
    leak: bool


@click.command()
@click.argument("suites", nargs=-1, type=click.Choice(SUITES))
@click.option("--seconds", default=6.0, show_default=True, help="Length of each measurement; of overload ten times.")
@click.option(
    "--gigabytes", default=1.0, show_default=True, help="Size of the table of the memory suite, and of a transfer."
)
@click.option("--requests", default=leaks.REQUESTS, show_default=True, help="How many the leaks suite makes.")
@click.option("--leak", is_flag=True, help="Plant a leak of 1 KB a request for the leaks suite to find.")
@click.option("--markdown", "document", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables here.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write them here for programs.")
def main(
    suites: tuple[str, ...],
    seconds: float,
    gigabytes: float,
    requests: int,
    leak: bool,
    document: Path | None,
    file: Path | None,
) -> None:
    """Measure all SUITES, or those that are named."""
    chosen, size = suites or SUITES, _Size(seconds, gigabytes, requests, leak)
    reports: list[Report] = []
    if set(chosen) & set(PLATFORM_SUITES):
        with _directory() as directory:
            reports += _measure_platform(Path(directory), chosen, seconds)
    for suite in FAULT_SUITES:
        if suite in chosen:
            with _directory() as directory:
                reports += _shown(_measure_alone(suite, Path(directory), size))
    reports += _measure_sdk(chosen, seconds, gigabytes)
    for suite in SERVICE_SUITES.keys() & set(chosen):
        with _directory() as directory:
            reports += _shown(asyncio.run(SERVICE_SUITES[suite](Path(directory))))
    if document is not None:
        document.write_text("\n".join(markdown(report) for report in reports), encoding="utf-8")
    if file is not None:
        file.write_text(as_json(reports), encoding="utf-8")


def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lepton-bench-")


def _measure_platform(directory: Path, suites: tuple[str, ...], seconds: float) -> list[Report]:
    reports: list[Report] = []
    package, kept = _write_photo_models(directory)
    home = directory / ".lepton"
    with running_platform(home, trace_ratio=0.0) as platform:
        asyncio.run(_deploy(platform, package, kept, rows.write(directory / rows.NAME)))
        if "photos" in suites:
            reports += _shown(asyncio.run(photos.measure(platform, package / "model.onnx", seconds=seconds)))
        if "rows" in suites:
            reports += _shown(asyncio.run(rows.measure(platform, seconds=seconds)))
        if "cache" in suites:
            reports += _shown(asyncio.run(cache.measure(platform, seconds=seconds)))
    if "startup" in suites:
        reports += _shown(asyncio.run(startup.measure(home)))
    return reports


def _write_photo_models(directory: Path) -> tuple[Path, Path]:
    """EfficientNet-lite0, and the same whose answers may be kept."""
    package = write_package(directory / NAME)
    return package, cache.write_kept(Path(shutil.copytree(package, directory / cache.NAME)))


def _measure_alone(suite: str, directory: Path, size: _Size) -> list[Report]:
    parts = leaks.leaky_parts() if suite == "leaks" and size.leak else PARTS
    environment = overload_model.ENVIRONMENT if suite == "overload" else {}
    with (
        patch.dict(os.environ, environment),
        running_platform(directory / ".lepton", parts=parts, trace_ratio=0.0) as platform,
    ):
        if suite == "overload":
            asyncio.run(_deploy(platform, overload_model.write(directory / overload_model.NAME)))
            return overload.measure(platform, directory, seconds=10 * size.seconds)
        if suite == "leaks":
            _, kept = _write_photo_models(directory)
            asyncio.run(_deploy(platform, kept, rows.write(directory / rows.NAME)))
            return asyncio.run(leaks.measure(platform, requests=size.requests))
        if suite == "lighter":
            return served.measure(platform, directory, seconds=size.seconds)
        if suite == "faults":
            asyncio.run(_deploy(platform, write_package(directory / NAME)))
            return asyncio.run(faults.measure(platform))
        return asyncio.run(flat.measure(platform, directory, seconds=size.seconds))


def _measure_sdk(suites: tuple[str, ...], seconds: float, gigabytes: float) -> list[Report]:
    reports: list[Report] = []
    for suite in (each for each in PLAIN_SUITES if each in suites):
        reports += _shown(PLAIN_SUITES[suite]())
    if "transports" in suites:
        reports += _shown(transports.measure(seconds=seconds))
    if "training" in suites:
        reports += _shown(training.measure(seconds=seconds))
    if "transfers" in suites:
        with _directory() as directory:
            reports += _shown(transfers.measure(Path(directory), gigabytes=gigabytes))
    if "memory" in suites:
        reports += _shown(memory.measure(gigabytes=gigabytes))
    return reports


async def _deploy(platform: Platform, *packages: Path) -> None:
    async with platform.client() as client:
        for package in packages:
            version = await client.push(package)
            await client.deploy(version.model)


def _shown(reports: list[Report]) -> list[Report]:
    for report in reports:
        show(report)
    return reports


if __name__ == "__main__":
    main()
