"""Inputs of a version against its training profile or its first rows: what is called drift, and what is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.counts import Feature, InputCounts
from lepton_ai.inputs.messages import write_counts
from lepton_ai.inputs.profile import Profile
from lepton_ai.v1 import drift_pb2
from services.health.alerts.firing import ALERT_NAME
from services.health.detect.drift.book import MAX_VERSIONS, DriftBook
from services.health.detect.drift.inputs import GOLDEN_ROWS, InputTally
from services.health.detect.drift.judge import DriftJudge
from services.health.detect.drift.statistics import Verdict, compare
from services.health.detect.drift.tally import Source

PLANS = ("monthly", "yearly", "old")


def drawn(
    count: int,
    *,
    seed: int,
    charge: float = 70.0,
    spread: float = 20.0,
    shares: tuple[float, float, float] = (0.6, 0.3, 0.1),
    missing: float = 0.02,
) -> InputCounts:
    """Rows of a table with a number, a category, and a number that is missing now and then."""
    rng, counts = np.random.default_rng(seed), InputCounts()
    charges, plans = rng.normal(charge, spread, count), rng.choice(PLANS, count, p=list(shares))
    for row in range(count):
        income = None if rng.random() < missing else float(rng.lognormal(10.0))
        features: list[Feature] = [
            ("charge", "number", float(charges[row])),
            ("plan", "category", str(plans[row])),
            ("income", "number", income),
        ]
        counts.add(features)
    return counts


PROFILE = Profile.of(drawn(5000, seed=1))


def tally(*, profile: Profile | None = PROFILE) -> InputTally:
    return InputTally(profile, "" if profile is None else profile.digest)


def feed(known: InputTally, counts: InputCounts, now_s: float = 0.0) -> InputTally:
    """As replicas tell: a few rows at a time would be slow here, so some hundred."""
    known.add(counts, now_s)
    return known


def verdicts(known: InputTally, now_s: float = 0.0) -> Mapping[str, Verdict]:
    return {found.what: found.comparison.verdict for found in known.findings(now_s)}


def drifted(known: InputTally) -> set[str]:
    return {name for name, verdict in verdicts(known).items() if verdict is Verdict.DRIFTED}


def message(
    counts: InputCounts, *, version: int = 1, profile: Profile | None = None, told: bool = False
) -> drift_pb2.CountedInputs:
    counted = drift_pb2.CountedInputs(model="churn", version=version)
    write_counts(counts, counted)
    if profile is not None:
        counted.profile_digest = profile.digest
        counted.profile = profile.to_json() if told else b""
    return counted


def test_a_thousand_rows_like_those_of_training_are_stable() -> None:
    assert verdicts(feed(tally(), drawn(1000, seed=2))) == {
        "charge": Verdict.STABLE,
        "plan": Verdict.STABLE,
        "income": Verdict.STABLE,
    }


@pytest.mark.parametrize(
    ("shifted", "names"),
    [
        (drawn(1000, seed=3, charge=85.0), {"charge"}),
        (drawn(1000, seed=3, spread=35.0), {"charge"}),
        (drawn(1000, seed=3, shares=(0.3, 0.6, 0.1)), {"plan"}),
        (drawn(1000, seed=3, missing=0.12), {"income"}),
    ],
    ids=["number moves", "number spreads", "category moves", "more is missing"],
)
def test_what_shifts_is_named_and_nothing_else(shifted: InputCounts, names: set[str]) -> None:
    assert drifted(feed(tally(), shifted)) == names


def test_a_category_that_was_never_seen_is_drift() -> None:
    counts = drawn(1000, seed=4)
    for _ in range(60):
        counts.add([("plan", "category", "brand-new"), ("charge", "number", 70.0), ("income", "number", 20_000.0)])
    known = feed(tally(), counts)
    assert "plan" in drifted(known)
    plan = next(found for found in known.findings(0.0) if found.what == "plan")
    assert plan.shares[0][0] == "others"


def test_too_few_rows_are_inconclusive_however_far_they_are() -> None:
    assert set(verdicts(feed(tally(), drawn(900, seed=5, charge=500.0))).values()) == {Verdict.INCONCLUSIVE}


def test_chance_alone_is_hardly_ever_called_drift_among_thirty_features() -> None:
    """1 % of tables at most by the correction; the least distance of 0.1 makes it rarer still."""
    rng = np.random.default_rng(6)
    false = 0
    for _ in range(300):
        shares = rng.dirichlet(np.ones(22))
        verdict = [
            compare(*rng.multinomial(1000, shares, size=2).tolist(), ordered=True, among=30).verdict for _ in range(30)
        ]
        false += Verdict.DRIFTED in verdict
    assert false <= 4


def test_the_threshold_grows_with_the_number_of_comparisons() -> None:
    one, many = (
        {each.name: each.threshold for each in compare([20] * 20, [20] * 20, ordered=True, among=among).statistics}
        for among in (1, 100)
    )
    assert all(many[name] > one[name] for name in ("psi", "js", "ks"))


def test_without_a_profile_the_first_rows_are_the_reference() -> None:
    known = feed(tally(profile=None), drawn(GOLDEN_ROWS - 1, seed=7))
    assert set(verdicts(known).values()) == {Verdict.INCONCLUSIVE}
    feed(known, drawn(1, seed=8))
    feed(known, drawn(1000, seed=9))
    assert drifted(known) == set()
    feed(known, drawn(1500, seed=10, charge=95.0))
    assert drifted(known) == {"charge"}
    assert {found.source for found in known.findings(0.0)} == {Source.FIRST}


def test_a_profile_of_few_rows_is_no_reference() -> None:
    known = feed(tally(profile=Profile.of(drawn(150, seed=11))), drawn(GOLDEN_ROWS, seed=12))
    assert {found.source for found in known.findings(0.0)} == {Source.FIRST}


def test_what_came_yesterday_is_not_the_latest() -> None:
    known = feed(tally(), drawn(1000, seed=13, charge=500.0), now_s=0.0)
    assert set(verdicts(known, now_s=90_000.0).values()) == {Verdict.INCONCLUSIVE}


def test_old_rows_make_room_for_the_latest() -> None:
    known = feed(tally(), drawn(2000, seed=14, charge=500.0))
    for seed in range(20, 28):
        feed(known, drawn(500, seed=seed))
    assert drifted(known) == set()


def test_health_asks_for_a_profile_that_it_does_not_know(tmp_path: Path) -> None:
    book, counts = DriftBook(tmp_path / "drift.json"), drawn(100, seed=15)
    assert book.hear_inputs([message(counts, profile=PROFILE)]) == [PROFILE.digest]
    assert book.input_findings("churn") == {}
    assert book.hear_inputs([message(counts, profile=PROFILE, told=True)]) == []
    assert book.hear_inputs([message(counts, profile=PROFILE)]) == []
    assert {found.comparison.latest for found in book.input_findings("churn")[1]} == {200}


def test_another_profile_under_the_same_version_begins_anew(tmp_path: Path) -> None:
    book, other = DriftBook(tmp_path / "drift.json"), Profile.of(drawn(2000, seed=16))
    book.hear_inputs([message(drawn(100, seed=15), profile=PROFILE, told=True)])
    book.hear_inputs([message(drawn(40, seed=15), profile=other, told=True)])
    assert {found.comparison.latest for found in book.input_findings("churn")[1]} == {40}


async def test_what_was_counted_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "health" / "drift.json"
    book = DriftBook(path, wall=lambda: 100.0)
    book.hear_inputs(
        [message(drawn(1200, seed=17), profile=PROFILE, told=True), message(drawn(50, seed=18), version=2)]
    )
    await book.save()
    again = DriftBook(path, wall=lambda: 100.0)
    assert again.input_findings("churn") == book.input_findings("churn")
    assert again.models == {"churn"}


def test_versions_that_were_not_heard_of_for_long_make_room(tmp_path: Path) -> None:
    book, counts = DriftBook(tmp_path / "drift.json"), drawn(1, seed=19)
    for version in range(1, MAX_VERSIONS + 2):
        book.hear_inputs([message(counts, version=version)])
    versions = book.input_findings("churn")
    assert len(versions) == MAX_VERSIONS
    assert 1 not in versions


@pytest.mark.parametrize(
    "wrong",
    [
        drift_pb2.CountedInputs(model="../etc", version=1),
        drift_pb2.CountedInputs(model="m", version=1, profile_digest="d", profile=b"{}"),
        drift_pb2.CountedInputs(model="m", features=[drift_pb2.CountedFeature(name="x", counts=[1])]),
    ],
)
def test_what_is_no_counts_is_refused(tmp_path: Path, wrong: drift_pb2.CountedInputs) -> None:
    book = DriftBook(tmp_path / "drift.json")
    with pytest.raises(InvalidInput):
        book.hear_inputs([wrong])
    assert book.models == set()


async def test_the_judge_names_the_inputs_how_far_they_are_and_shows_both(tmp_path: Path) -> None:
    book = DriftBook(tmp_path / "drift.json", wall=lambda: 0.0)
    judge = DriftJudge(book)
    book.hear_inputs([message(drawn(1000, seed=21), version=4, profile=PROFILE, told=True)])
    assert await judge.judge(0.0) == []
    shifted = drawn(3000, seed=22, charge=110.0, shares=(0.4, 0.5, 0.1))
    book.hear_inputs([message(shifted, version=4, profile=PROFILE)])
    (found,) = await judge.judge(60.0)
    assert dict(found.labels) == {ALERT_NAME: "InputDrift", "severity": "ticket", "model": "churn", "version": "4"}
    assert "2 of 3 inputs of churn@4 are not as in training: charge, plan." in found.annotations["summary"]
    first, second = found.annotations["description"].splitlines()
    assert first.startswith("charge: PSI ")
    assert "█" in first
    assert "] of late (4,000); " in first
    assert second.startswith("plan: ")
    assert "yearly: 30 % → 45 %" in second
    assert found.annotations["runbook"].endswith("#inputdrift")


def test_a_profile_that_is_none_costs_nothing_that_was_counted(tmp_path: Path) -> None:
    book = DriftBook(tmp_path / "drift.json")
    book.hear_inputs([message(drawn(100, seed=15), profile=PROFILE, told=True)])
    wrong = message(drawn(10, seed=16))
    wrong.profile_digest, wrong.profile = "another", b"{}"
    with pytest.raises(InvalidInput):
        book.hear_inputs([wrong])
    wrong.profile = b""
    assert book.hear_inputs([wrong]) == ["another"]
    assert {found.comparison.latest for found in book.input_findings("churn")[1]} == {100}
