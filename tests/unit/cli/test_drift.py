"""What `lepton drift` prints."""

from __future__ import annotations

import pytest

from lepton_ai.cli.monitoring import drift
from lepton_ai.v1 import drift_pb2 as pb


def version(verdict: pb.DriftVerdict.ValueType) -> pb.VersionDrift:
    compared = pb.DriftComparison(
        what="label",
        verdict=verdict,
        golden=5000,
        latest=4000,
        statistics=[pb.DriftStatistic(name="psi", value=0.412, threshold=0.1)],
        shares=[pb.DriftShare(name="猫", golden=0.7, latest=0.2)],
    )
    return pb.VersionDrift(version=2, verdict=verdict, comparisons=[compared])


def test_a_row_says_what_was_compared_and_where_it_differs(capsys: pytest.CaptureFixture[str]) -> None:
    drift.show([version(pb.DRIFT_VERDICT_DRIFTED)])
    printed = capsys.readouterr()
    for text in ("drifted", "5,000", "4,000", "0.412 / 0.10", "猫: 70.0 % → 20.0 %"):
        assert text in printed.out
    assert printed.err == ""


def with_inputs() -> pb.VersionDrift:
    found = version(pb.DRIFT_VERDICT_STABLE)
    found.inputs.add(
        what="charges",
        verdict=pb.DRIFT_VERDICT_DRIFTED,
        golden=5000,
        latest=1200,
        statistics=[
            pb.DriftStatistic(name="psi", value=0.512, threshold=0.1),
            pb.DriftStatistic(name="ks", value=0.31, threshold=0.1),
        ],
        shares=[pb.DriftShare(name="> 90", golden=0.05, latest=0.4)],
        bins=[pb.DriftShare(name="< 90", golden=1.0, latest=0.5), pb.DriftShare(name="> 90", golden=0.0, latest=0.5)],
        reference=pb.DRIFT_REFERENCE_TRAINING,
    )
    found.inputs.add(what="new", verdict=pb.DRIFT_VERDICT_INCONCLUSIVE, golden=40, reference=pb.DRIFT_REFERENCE_FIRST)
    return found


def test_inputs_are_a_table_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    drift.show([with_inputs()])
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if "charges" in line)
    for text in ("drifted", "training", "5,000", "1,200", "PSI 0.512 / 0.10", "[█ ] → [▄▄]", "> 90: 5.0 % → 40.0 %"):
        assert text in line
    assert "first" in next(line for line in printed.splitlines() if "new" in line)


def test_the_document_has_the_inputs_with_their_bins() -> None:
    charges, new = drift._document(with_inputs())["inputs"]
    assert (charges["what"], charges["reference"], charges["verdict"]) == ("charges", "training", "drifted")
    assert charges["statistics"]["ks"] == {"value": 0.31, "threshold": 0.1}
    assert [each["latest"] for each in charges["bins"]] == [0.5, 0.5]
    assert (new["reference"], new["bins"]) == ("first", [])


def test_what_is_inconclusive_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    drift.show([version(pb.DRIFT_VERDICT_INCONCLUSIVE)])
    assert "1,000 predictions on both sides" in capsys.readouterr().err


def test_the_document_names_everything() -> None:
    (comparison,) = drift._document(version(pb.DRIFT_VERDICT_STABLE))["comparisons"]
    assert comparison["statistics"] == {"psi": {"value": 0.412, "threshold": 0.1}}
    assert (comparison["what"], comparison["verdict"], comparison["shares"][0]["name"]) == ("label", "stable", "猫")
