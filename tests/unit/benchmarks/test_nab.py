"""The score of NAB and VUS-PR, on cases that can be worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.nab.corpus import LabelledSeries, read_corpus
from benchmarks.nab.scoring import best_score, score_at, weigh
from benchmarks.nab.tables import chosen_half
from benchmarks.nab.volume import usual_period, vus_pr


def series(count: int = 100, *windows: tuple[int, int], name: str = "a.csv") -> LabelledSeries:
    return LabelledSeries(name, np.arange(count, dtype=float), np.zeros(count), windows)


def alarms(count: int, *rows: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    scores = np.zeros(count)
    scores[list(rows)] = 1.0
    return scores


def sigmoid(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1


def test_a_detection_at_the_beginning_of_every_window_is_perfect() -> None:
    corpus = [series(100, (40, 49), (70, 79))]
    scored = score_at(corpus, [alarms(100, 40, 70)], 0.5)
    assert scored.score == pytest.approx(100.0)
    assert (scored.found, scored.false_alarms) == (2, 0)


def test_silence_is_zero() -> None:
    assert best_score([series(100, (40, 49))], [np.zeros(100)]).score == 0.0
    assert score_at([series(100, (40, 49))], [np.zeros(100)], 0.5).score == 0.0


def test_a_late_detection_is_worth_less_and_a_second_one_nothing() -> None:
    corpus = [series(100, (40, 49))]
    late = score_at(corpus, [alarms(100, 45, 47)], 0.5)
    # Five of ten rows before the end: position -(49 - 45 + 1) / 10.
    worth = sigmoid(-0.5) / sigmoid(-1.0)
    assert late.score == pytest.approx(100 * (1 + worth) / 2)


def test_a_false_alarm_costs_less_shortly_after_a_window() -> None:
    weights, inside = weigh(series(100, (40, 49)))
    assert weights[39] == pytest.approx(-0.11)
    assert weights[50] == pytest.approx(0.11 * sigmoid(1 / 9))
    assert weights[58] == pytest.approx(0.11 * sigmoid(1.0))
    assert weights[90] == pytest.approx(-0.11)
    assert inside[[39, 40, 49, 50]].tolist() == [-1, 0, 0, -1]


def test_the_beginning_of_a_series_is_not_scored() -> None:
    corpus = [series(100, (40, 49))]
    assert corpus[0].probation == 15
    assert score_at(corpus, [alarms(100, 3, 14, 40)], 0.5).false_alarms == 0
    assert series(100_000).probation == 750


def test_one_threshold_holds_for_all_series() -> None:
    corpus = [series(100, (40, 49), name="a.csv"), series(100, (40, 49), name="b.csv")]
    quiet, loud = alarms(100, 40) * 0.4, alarms(100, 40) * 0.9
    loud[20:39] = 0.5
    best = best_score(corpus, [quiet, loud])
    assert (best.threshold, best.found, best.false_alarms) == (0.9, 1, 0)
    assert best.score == pytest.approx(50.0)
    # At 0.4 both windows are found, for 19 false alarms of 0.11 out of four: two windows, from -1 to 1.
    assert score_at(corpus, [quiet, loud], 0.4).score == pytest.approx(100 * (4 - 19 * 0.11) / 4)


def test_equal_scores_cannot_be_parted() -> None:
    scores = np.full(100, 0.5)
    assert best_score([series(100, (40, 49))], [scores]).score == 0.0


def test_a_perfect_ranking_has_volume_one_and_chance_the_share_of_the_windows() -> None:
    windows = [(400, 499)]
    perfect = np.zeros(1000)
    perfect[400:500] = np.linspace(2.0, 1.0, 100)
    assert vus_pr(windows, perfect, tolerance=0) == pytest.approx(1.0, abs=0.03)
    chance = [vus_pr(windows, np.random.default_rng(seed).random(1000), tolerance=0) for seed in range(20)]
    assert np.mean(chance) == pytest.approx(0.1, abs=0.03)


def test_a_ranking_that_is_a_little_late_has_more_volume_with_tolerance() -> None:
    late = np.zeros(1000)
    late[410:510] = 1.0 + np.random.default_rng(0).random(100)
    assert vus_pr([(400, 499)], late, tolerance=60) > vus_pr([(400, 499)], late, tolerance=0)


def test_volume_by_hand() -> None:
    # Rows by rank: 3 (in the window), 0 (not), 2 (in it), 1: precision 1, 1/2, 2/3, 2/4 at recall 1/2, 1/2, 1, 1.
    assert vus_pr([(2, 3)], np.array([0.8, 0.1, 0.5, 0.9]), tolerance=0) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_the_usual_period_is_that_of_the_season() -> None:
    times = np.arange(2000)
    assert usual_period(np.sin(2 * np.pi * times / 48)) in (48, 96, 144, 192, 240, 288)
    assert usual_period(np.arange(500.0)) == 125


def test_a_corpus_is_read_with_its_windows(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    rows = "\n".join(f"2014-04-01 00:{minute:02}:00,{minute}" for minute in range(10))
    (tmp_path / "part" / "x.csv").write_text(f"timestamp,value\n{rows}\n", encoding="utf-8")
    windows = {"part/x.csv": [["2014-04-01 00:03:00.000000", "2014-04-01 00:05:00.000000"]], "part/not_there.csv": []}
    (tmp_path / "combined_windows.json").write_text(json.dumps(windows), encoding="utf-8")
    (only,) = read_corpus(tmp_path)
    assert (only.name, only.windows, only.values.tolist()) == ("part/x.csv", [(3, 5)], list(range(10)))
    with pytest.raises(FileNotFoundError):
        read_corpus(tmp_path / "part")


def test_the_half_that_was_chosen_on_does_not_change_when_more_series_are_there() -> None:
    known = [series(10, name=f"realTweets/{letter}.csv") for letter in "abcd"]
    more = sorted([*known, series(10, name="realTraffic/z.csv")], key=lambda each: each.name)
    assert chosen_half(known) == [True, False, True, False]
    assert dict(zip([each.name for each in more], chosen_half(more), strict=True))["realTraffic/z.csv"] is False
    assert sum(chosen_half(more)) == 2
