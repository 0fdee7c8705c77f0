"""Photos end to end by the best variant of EfficientNet-lite0, beside the bare loop of the original in 32 bits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import lepton_ai as la
from benchmarks import photos
from benchmarks.optimisation.variants import MODELS
from benchmarks.report import Report
from lepton_ai.errors import FailedPrecondition
from lepton_ai.optimize import Optimisation
from tests.platform import Platform

_MODEL = "EfficientNet-lite0, crops of photos"
_METHODS = ("int8", "reduced-decoder")
_BUDGET_S = 600.0


def measure(platform: Platform, directory: Path, *, seconds: float) -> list[Report]:
    """Search, push the original and the best variant as the next version, and let callers ask."""
    original, train, judged = MODELS[_MODEL](directory)
    out = directory / "variants"
    found = la.optimise(original, judged, train=train, methods=_METHODS, out=out, budget_s=_BUDGET_S)
    best = found.package
    if best is None:
        raise FailedPrecondition("No variant is within the bound.", reason="NO_VARIANT", fix=f"See {out}.")
    asyncio.run(_deploy(platform, original.directory, best.directory))
    reports = asyncio.run(photos.measure(platform, original.path("model.onnx"), seconds=seconds))
    return [replace(each, title=f"{each.title}, a lighter variant", note=_note(found, each.note)) for each in reports]


async def _deploy(platform: Platform, *packages: Path) -> None:
    async with platform.client() as client:
        for package in packages:
            version = await client.push(package)
            await client.deploy(f"{version.model}@{version.version}")


def _note(found: Optimisation, note: str) -> str:
    best = found.best
    if best is None or best.measured is None:
        return note
    accuracy = best.measured.accuracy
    loss, same = accuracy.loss, accuracy.agreement
    return (
        f"{note} Variant: {best.name}. Over {accuracy.rows} crops it loses {100 * loss.value:.2f} points "
        f"[{100 * loss.low:.2f}, {100 * loss.high:.2f}] and answers {100 * same.value:.1f} % "
        f"[{100 * same.low:.1f}, {100 * same.high:.1f}] as the original does."
    )
