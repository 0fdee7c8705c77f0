"""`python -m benchmarks`: measures, prints tables, writes them as Markdown if asked; starts a platform if need be."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import click

from benchmarks import cache, data, memory, photos, rows, startup, training, transports
from benchmarks.balancing import tables as balancing
from benchmarks.report import Report, markdown, show
from examples.efficientnet_lite0 import NAME, write_package
from tests.platform import Platform, running_platform

PLATFORM_SUITES = ("photos", "rows", "cache", "startup")
SDK_SUITES = ("balancing", "transports", "training", "data", "memory")
SUITES = PLATFORM_SUITES + SDK_SUITES


@click.command()
@click.argument("suites", nargs=-1, type=click.Choice(SUITES))
@click.option("--seconds", default=6.0, show_default=True, help="Length of each measurement.")
@click.option("--gigabytes", default=1.0, show_default=True, help="Size of the table of the memory suite.")
@click.option("--markdown", "document", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables here.")
def main(suites: tuple[str, ...], seconds: float, gigabytes: float, document: Path | None) -> None:
    """Measure all SUITES, or those that are named."""
    chosen = suites or SUITES
    reports: list[Report] = []
    if set(chosen) & set(PLATFORM_SUITES):
        with tempfile.TemporaryDirectory(prefix="lepton-bench-") as directory:
            reports += _measure_platform(Path(directory), chosen, seconds)
    reports += _measure_sdk(chosen, seconds, gigabytes)
    if document is not None:
        document.write_text("\n".join(markdown(report) for report in reports), encoding="utf-8")


def _measure_platform(directory: Path, suites: tuple[str, ...], seconds: float) -> list[Report]:
    reports: list[Report] = []
    package = write_package(directory / NAME)
    home = directory / ".lepton"
    kept = cache.write_kept(Path(shutil.copytree(package, directory / cache.NAME)))
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


def _measure_sdk(suites: tuple[str, ...], seconds: float, gigabytes: float) -> list[Report]:
    reports: list[Report] = []
    if "balancing" in suites:
        reports += _shown(balancing.measure())
    if "transports" in suites:
        reports += _shown(transports.measure(seconds=seconds))
    if "training" in suites:
        reports += _shown(training.measure(seconds=seconds))
    if "data" in suites:
        reports += _shown(data.measure())
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
