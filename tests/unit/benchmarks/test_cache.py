"""What the cache is compared with: an LRU cache and the best fixed choice, both by bytes."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.cache import _lru, _ours, _static, _traces, write_kept


def test_the_best_fixed_choice_takes_what_is_asked_for_most_for_its_bytes() -> None:
    assert _static([0, 0, 0, 1, 1], [10, 5], 5) == 2 / 5
    assert _static([0, 0, 0, 1, 1], [10, 5], 10) == 2 / 5
    assert _static([0, 0, 0, 1, 1], [10, 5], 15) == 1.0


def test_lru_holds_what_was_used_last_within_its_bytes() -> None:
    assert _lru([0, 1, 0, 1], [10, 10], 20) == 2 / 4
    assert _lru([0, 1, 0, 1], [10, 10], 15) == 0.0


def test_a_scan_does_not_wash_out_what_is_asked_for_often() -> None:
    trace = _traces(500, 20_000)["Zipf, every other one a scan"]
    sizes = [100] * 30_000
    assert _ours(trace, sizes, 2_500) > 1.1 * _lru(trace, sizes, 2_500)


def test_the_package_may_be_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "lepton.yaml").write_text("name: other\nformat: 1\n")
    document = yaml.safe_load((write_kept(tmp_path) / "lepton.yaml").read_text())
    assert document == {"name": "efficientnet-lite0-kept", "format": 1, "cache": {"answers": True}}
