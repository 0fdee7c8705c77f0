"""Distances of histograms, what a version's tally compares, and what is told of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.v1 import feedback_pb2
from services.health.alerts.firing import ALERT_NAME
from services.health.detect.drift import book as drift_book
from services.health.detect.drift.book import MAX_VERSIONS, DriftBook
from services.health.detect.drift.judge import DriftJudge
from services.health.detect.drift.statistics import Verdict, compare, js, ks, psi
from services.health.detect.drift.tally import GOLDEN, Finding, VersionTally

LABELS = ("猫", "dog", "bird")


def answers(count: int, shares: tuple[float, ...], *, seed: int) -> tuple[list[str], list[float]]:
    rng = np.random.default_rng(seed)
    return rng.choice(LABELS, count, p=shares).tolist(), rng.beta(8, 2, count).tolist()


def batch(
    labels: list[str], values: list[float], *, model: str = "m", version: int = 1
) -> feedback_pb2.RememberedPredictions:
    names = sorted(set(labels) - {""})
    places = [names.index(label) + 1 if label else 0 for label in labels]
    return feedback_pb2.RememberedPredictions(
        model=model, version=version, names=names, labels=places, values=values, items=[0] * len(labels)
    )


def by_what(findings: list[Finding]) -> dict[str, Finding]:
    return {found.what: found for found in findings}


def test_distances_by_hand() -> None:
    one, two = np.array([50.0, 50.0]), np.array([80.0, 20.0])
    assert js(one, two) == pytest.approx(
        math.sqrt(
            (0.5 * math.log2(0.5 / 0.65) + 0.5 * math.log2(0.5 / 0.35)) / 2
            + (0.8 * math.log2(0.8 / 0.65) + 0.2 * math.log2(0.2 / 0.35)) / 2
        )
    )
    assert ks(one, two) == pytest.approx(0.3)
    shares = (50.5 / 101, 80.5 / 101, 20.5 / 101)
    by_hand = (shares[1] - 0.5) * math.log(shares[1] / 0.5) + (shares[2] - 0.5) * math.log(shares[2] / 0.5)
    assert psi(one, two) == pytest.approx(by_hand)


def test_the_same_has_no_distance_and_what_has_nothing_in_common_the_greatest() -> None:
    same, other = np.array([10.0, 0.0]), np.array([0.0, 10.0])
    assert (float(psi(same, same)), float(js(same, same)), float(ks(same, same))) == (0.0, 0.0, 0.0)
    assert (float(js(same, other)), float(ks(same, other))) == (1.0, 1.0)


def test_too_few_are_inconclusive_however_far_apart() -> None:
    assert compare([900, 0], [0, 5000], ordered=False).verdict is Verdict.INCONCLUSIVE
    assert compare([5000, 0], [0, 999], ordered=False).verdict is Verdict.INCONCLUSIVE
    assert compare([], [], ordered=True).statistics == ()
    assert compare([1000, 0], [0, 1000], ordered=False).verdict is Verdict.DRIFTED


def test_the_threshold_grows_where_chance_alone_exceeds_a_tenth() -> None:
    few = {each.name: each.threshold for each in compare([10] * 20, [10] * 20, ordered=True).statistics}
    many = {each.name: each.threshold for each in compare([500] * 20, [500] * 20, ordered=True).statistics}
    assert few["psi"] > 0.2  # (20 - 1) (1/200 + 1/200) = 0.19 in the mean
    assert many == {"psi": 0.1, "js": 0.1, "ks": 0.1}


def test_without_drift_hardly_anything_is_called_drift() -> None:
    rng = np.random.default_rng(7)
    false = 0
    for _ in range(200):
        shares = rng.dirichlet(np.ones(20))
        golden, latest = rng.multinomial(5000, shares), rng.multinomial(1000, shares)
        false += compare(golden.tolist(), latest.tolist(), ordered=True).verdict is Verdict.DRIFTED
    assert false == 0


def test_a_tally_finds_labels_that_have_moved_and_leaves_scores_alone() -> None:
    tally = VersionTally()
    tally.add(*answers(GOLDEN, (0.6, 0.3, 0.1), seed=1), 1000.0)
    tally.add(*answers(2000, (0.6, 0.3, 0.1), seed=2), 2000.0)
    assert {found.what: found.comparison.verdict for found in tally.findings(2000.0)} == {
        "label": Verdict.STABLE,
        "score": Verdict.STABLE,
    }
    tally.add(*answers(4000, (0.2, 0.3, 0.5), seed=3), 3000.0)
    found = by_what(tally.findings(3000.0))
    assert found["label"].comparison.verdict is Verdict.DRIFTED
    assert found["score"].comparison.verdict is Verdict.STABLE
    assert {name for name, _, _ in found["label"].shares[:2]} == {"猫", "bird"}


def test_the_golden_window_is_the_first_predictions_however_they_arrive() -> None:
    once, piecewise = VersionTally(), VersionTally()
    labels, values = answers(GOLDEN + 1500, (0.5, 0.3, 0.2), seed=4)
    once.add(labels, values, 0.0)
    for start in range(0, len(labels), 7):
        piecewise.add(labels[start : start + 7], values[start : start + 7], 0.0)
    assert piecewise.as_json() == once.as_json()
    (label, score) = once.findings(0.0)
    assert (label.comparison.golden, label.comparison.latest) == (GOLDEN, 1500)
    assert (score.comparison.golden, score.comparison.latest) == (GOLDEN, 1500)


def test_numbers_of_a_model_without_labels_are_compared_in_the_bins_of_the_golden_window() -> None:
    rng = np.random.default_rng(5)
    tally = VersionTally()
    tally.add([""] * GOLDEN, rng.normal(-3.0, 2.0, GOLDEN).tolist(), 0.0)
    tally.add([""] * 2000, rng.normal(-1.0, 2.0, 2000).tolist(), 0.0)
    (found,) = tally.findings(0.0)
    assert (found.what, found.comparison.verdict) == ("number", Verdict.DRIFTED)
    assert {each.name for each in found.comparison.statistics} == {"psi", "js", "ks"}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_a_number_is_left_out(value: float) -> None:
    tally = VersionTally()
    tally.add([""] * GOLDEN, [value] * 100 + [1.0] * (GOLDEN - 100), 0.0)
    tally.add([""] * 1000, [value] * 1000, 0.0)
    (found,) = tally.findings(0.0)
    assert (found.comparison.golden, found.comparison.latest) == (GOLDEN - 100, 0)


def test_a_thousand_classes_have_room_in_twenty_bins() -> None:
    rng = np.random.default_rng(6)
    tally = VersionTally()
    for count in (GOLDEN, 2000):
        tally.add([f"class {index}" for index in rng.integers(0, 1000, count)], [0.5] * count, 0.0)
    assert by_what(tally.findings(0.0))["label"].comparison.verdict is Verdict.STABLE


def test_predictions_of_yesterday_are_not_the_latest() -> None:
    tally = VersionTally()
    tally.add(*answers(GOLDEN + 2000, (0.6, 0.3, 0.1), seed=1), 0.0)
    (label, _) = tally.findings(90_000.0)
    assert label.comparison.verdict is Verdict.INCONCLUSIVE


async def test_what_was_counted_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "health" / "drift.json"
    book = DriftBook(path, wall=lambda: 100.0)
    await book.hear([batch(*answers(GOLDEN + 1200, (0.6, 0.3, 0.1), seed=1))])
    await book.save()
    assert DriftBook(path, wall=lambda: 100.0).findings("m") == book.findings("m")
    assert DriftBook(path, wall=lambda: 100.0).models == {"m"}


def journals(directory: Path) -> list[Path]:
    return list(directory.glob("*.journal"))


async def test_what_was_heard_since_it_was_saved_is_there_after_a_kill_and_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "drift.json"
    book = DriftBook(path, wall=lambda: 100.0)
    labels, values = answers(GOLDEN + 1200, (0.6, 0.3, 0.1), seed=1)
    for start in range(0, len(labels), 400):
        await book.hear([batch(labels[start : start + 400], values[start : start + 400])])
        if start == 2000:
            await book.save()
        after_a_kill = DriftBook(path, wall=lambda: 100.0)
        assert after_a_kill.findings("m") == book.findings("m")
    assert len(journals(tmp_path)) == 1, "what is saved is written down no longer"


async def test_a_record_that_a_kill_cut_short_is_left_out_and_the_journal_goes_on(tmp_path: Path) -> None:
    book = DriftBook(tmp_path / "drift.json")
    await book.hear([batch(["a"], [0.5], model="whole")])
    (journal,) = journals(tmp_path)
    whole = journal.read_bytes()
    for torn in (whole + whole[:10], whole + whole[:-1], whole + bytes(30)):
        journal.write_bytes(torn)
        killed = DriftBook(tmp_path / "drift.json")
        assert killed.models == {"whole"}
        await killed.hear([batch(["a"], [0.5], model="next")])
        assert DriftBook(tmp_path / "drift.json").models == {"whole", "next"}


async def test_what_waits_to_be_read_again_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_book, "_MAX_JOURNAL_BYTES", 1000)
    book = DriftBook(tmp_path / "drift.json", wall=lambda: 100.0)
    for _ in range(100):
        await book.hear([batch(["a"] * 10, [0.5] * 10)])
    (journal,) = journals(tmp_path)
    assert journal.stat().st_size < 2000
    assert DriftBook(tmp_path / "drift.json", wall=lambda: 100.0).findings("m") == book.findings("m")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1, "versions": [["m", 1, {}]]}'])
def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "drift.json"
    path.write_text(text, encoding="utf-8")
    assert DriftBook(path).models == set()
    assert (tmp_path / "drift.json.unusable").read_text(encoding="utf-8") == text


async def test_versions_that_were_not_heard_of_for_long_make_room(tmp_path: Path) -> None:
    book = DriftBook(tmp_path / "drift.json")
    for version in range(1, MAX_VERSIONS + 1):
        await book.hear([batch(["a"], [0.5], version=version)])
    await book.hear([batch(["a"], [0.5], version=1)])
    await book.hear([batch(["a"], [0.5], model="other")])
    versions = book.findings("m")
    assert len(versions) == MAX_VERSIONS - 1
    assert 1 in versions
    assert 2 not in versions


async def test_a_batch_without_items_only_says_that_the_version_is_there(tmp_path: Path) -> None:
    book = DriftBook(tmp_path / "drift.json")
    await book.hear([feedback_pb2.RememberedPredictions(model="m", version=3)])
    assert book.findings("m") == {}


async def test_the_judge_tells_of_drift_in_words(tmp_path: Path) -> None:
    book = DriftBook(tmp_path / "drift.json", wall=lambda: 0.0)
    judge = DriftJudge(book)
    await book.hear([batch(*answers(GOLDEN, (0.6, 0.3, 0.1), seed=1), version=4)])
    assert await judge.judge(0.0) == []
    await book.hear([batch(*answers(4000, (0.2, 0.3, 0.5), seed=2), version=4)])
    assert await judge.judge(30.0) == []  # looks once a minute
    (found,) = await judge.judge(60.0)
    assert {name: found.labels[name] for name in (ALERT_NAME, "severity", "model", "version", "what")} == {
        ALERT_NAME: "OutputDrift",
        "severity": "ticket",
        "model": "m",
        "version": "4",
        "what": "label",
    }
    assert "The labels of m@4 are not as after its deployment: " in found.annotations["summary"]
    assert "bird: 10 % → 5" in found.annotations["summary"] or "bird: 10 % → 4" in found.annotations["summary"]
    assert found.pending_s > 0.0
