"""The training suite: its arithmetic, and one turn of it at the smallest size."""

from __future__ import annotations

import pytest

from benchmarks import rivals, training
from benchmarks.training import medians


def test_ratios_are_to_the_same_round_and_not_to_the_median() -> None:
    found = medians({"plain": [100.0, 50.0, 80.0], "ours": [90.0, 60.0, 80.0]}, base="plain")

    assert found["ours"][:2] == (80.0, 1.0)
    assert found["ours"][2] == pytest.approx([0.9, 1.2, 1.0])
    assert found["plain"][1] == 1.0


def test_every_way_of_training_is_measured_and_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "find_spec", lambda _: None)

    cnn, mlp, preparation = training.measure(seconds=0.001, rounds=1, most_rows=40)

    for report in (cnn, mlp):
        assert [row[1] for row in report.rows[-2:]] == ["not installed"] * 2
        assert all(float(row[1].replace(",", "")) > 0 for row in report.rows[:-2])
        assert report.rows[0][2] == "1.00"
    assert [row[1] for row in preparation.rows] == ["40", "40"]
