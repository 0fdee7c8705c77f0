"""`lepton drift`: whether versions are given what they were trained on, and answer as they did at first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table, style_state
from lepton_ai.cli.platform import client_for
from lepton_ai.inputs.bars import bars
from lepton_ai.v1 import drift_pb2 as pb

_COLUMNS = (
    Column("version", "right"),
    Column("what"),
    Column("verdict"),
    Column("then", "right"),
    Column("of late", "right"),
    Column("PSI", "right"),
    Column("JS", "right"),
    Column("KS", "right"),
    Column("greatest differences"),
)
_INPUT_COLUMNS = (
    Column("version", "right"),
    Column("input"),
    Column("verdict"),
    Column("reference"),
    Column("then", "right"),
    Column("of late", "right"),
    Column("distance", "right"),
    Column("then → of late"),
    Column("greatest differences"),
)
_REFERENCES = {pb.DRIFT_REFERENCE_FIRST: "first", pb.DRIFT_REFERENCE_TRAINING: "training"}
_SHOWN = 3


@click.command(epilog="Examples: lepton drift spam · lepton drift spam --json")
@click.argument("model")
@json_option
@home_option
def drift(*, model: str, as_json: bool, home: Path) -> None:
    """Compare the latest predictions of each version of MODEL with the first 5,000 after its deployment, and its latest
    inputs with the training data, or with the first 2,000 where the package does not say what that was like.

    A distance (PSI, Jensen-Shannon, Kolmogorov-Smirnov) counts when it exceeds 0.1 and what chance gives in 99 of 100
    cases. With fewer than 1,000 predictions on one side nothing is said.
    """
    with client_for(home) as client:
        versions = client.drift(model)
    if as_json:
        print_json([_document(version) for version in versions])
        return
    show(versions)


def show(versions: Sequence[pb.VersionDrift]) -> None:
    """Print what was compared."""
    print_table(_COLUMNS, [row for version in versions for row in _rows(version)])
    if inputs := [row for version in versions for row in _input_rows(version)]:
        print_table(_INPUT_COLUMNS, inputs)
    comparisons = [found for version in versions for found in (*version.comparisons, *version.inputs)]
    if any(each.verdict == pb.DRIFT_VERDICT_INCONCLUSIVE for each in comparisons):
        print_note("Inconclusive: a comparison needs 1,000 predictions on both sides.")


def _rows(version: pb.VersionDrift) -> Iterator[Sequence[object]]:
    for found in version.comparisons:
        statistics = {each.name: f"{each.value:.3f} / {each.threshold:.2f}" for each in found.statistics}
        yield (
            version.version,
            found.what,
            style_state(_verdict(found.verdict)),
            f"{found.golden:,}",
            f"{found.latest:,}",
            *(statistics.get(name, "") for name in ("psi", "js", "ks")),
            _differences(found),
        )


def _input_rows(version: pb.VersionDrift) -> Iterator[Sequence[object]]:
    """The distance that is the farthest beyond its threshold, and both distributions as bars, missing values first."""
    for found in version.inputs:
        worst = max(found.statistics, key=lambda each: each.value / each.threshold, default=None)
        before, now = bars([each.golden for each in found.bins], [each.latest for each in found.bins])
        yield (
            version.version,
            found.what,
            style_state(_verdict(found.verdict)),
            _REFERENCES.get(found.reference, ""),
            f"{found.golden:,}",
            f"{found.latest:,}",
            "" if worst is None else f"{worst.name.upper()} {worst.value:.3f} / {worst.threshold:.2f}",
            f"[{before}] → [{now}]" if found.bins else "",
            _differences(found),
        )


def _differences(found: pb.DriftComparison) -> str:
    return ", ".join(
        f"{each.name}: {each.golden:.1%} → {each.latest:.1%}".replace("%", " %") for each in found.shares[:_SHOWN]
    )


def _document(version: pb.VersionDrift) -> dict[str, Any]:
    return {
        "version": version.version,
        "verdict": _verdict(version.verdict),
        "comparisons": [_comparison(found) for found in version.comparisons],
        "inputs": [
            {
                **_comparison(found),
                "reference": _REFERENCES.get(found.reference, ""),
                "bins": [_share(each) for each in found.bins],
            }
            for found in version.inputs
        ],
    }


def _comparison(found: pb.DriftComparison) -> dict[str, Any]:
    return {
        "what": found.what,
        "verdict": _verdict(found.verdict),
        "golden": found.golden,
        "latest": found.latest,
        "statistics": {each.name: {"value": each.value, "threshold": each.threshold} for each in found.statistics},
        "shares": [_share(each) for each in found.shares],
    }


def _share(share: pb.DriftShare) -> dict[str, Any]:
    return {"name": share.name, "golden": share.golden, "latest": share.latest}


def _verdict(verdict: pb.DriftVerdict.ValueType) -> str:
    return pb.DriftVerdict.Name(verdict).removeprefix("DRIFT_VERDICT_").lower()
