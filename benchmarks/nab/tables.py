"""The detector of metrics on the Numenta Anomaly Benchmark, beside the published scores."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.nab.corpus import LabelledSeries, read_corpus, unpack
from benchmarks.nab.scoring import Scored, best_score, score_at
from benchmarks.nab.volume import usual_period, vus_pr
from benchmarks.report import Report
from services.health.detect.streams.novelty import HOLD, THRESHOLD, Novelty

PUBLISHED = {
    "ARTime": 74.9,
    "HTM": 70.1,
    "CAD-OSE": 69.9,
    "Skyline (earthgecko)": 58.2,
    "KNN-CAD": 58.0,
    "relative entropy": 54.6,
    "random cut forest": 51.7,
    "Twitter ADVec": 47.1,
    "windowed Gaussian": 39.6,
    "Etsy Skyline": 35.7,
    "Bayesian change point": 17.7,
    "random": 16.8,
}
"""Standard profile over all 58 series, `results/final_results.json` of the benchmark."""
_PROCESSES = 2
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """What the detector says of a series."""

    alarms: Floats
    levels: Floats
    us_per_value: float
    """CPU time."""
    volume: float | None
    """VUS-PR of `levels`; None without windows."""
    volume_whole: float | None
    """The same of levels that are moved back by half of what they are held for: as if the series were known whole."""


def chosen_half(corpus: Sequence[LabelledSeries]) -> list[bool]:
    """The half on which parameters and the threshold were chosen: every second series by name, from the first on.

    That is of the 38 series of artificial*, realAWSCloudwatch and realTweets. All others belong to the other half.
    """
    known = ("artificial", "realAWSCloudwatch", "realTweets")
    names = [series.name for series in corpus if series.name.startswith(known)]
    return [series.name in names[0::2] for series in corpus]


def measure(path: Path) -> list[Report]:
    """The tables, of a folder or an archive with series and their labels. Raises FileNotFoundError."""
    if path.is_dir():
        return _tables(read_corpus(path))
    with tempfile.TemporaryDirectory(prefix="lepton-bench-") as folder:
        return _tables(read_corpus(unpack(path, Path(folder))))


def judge(series: LabelledSeries) -> Judged:
    """Feed a series to the detector, value by value."""
    detector = Novelty(warm_up=series.probation)
    begun_s = time.process_time()
    said = [detector.update(value) for value in series.values.tolist()]
    us = (time.process_time() - begun_s) / len(said) * 1e6
    alarms, levels = np.array([each.alarm for each in said]), np.array([each.level for each in said])
    if not series.windows:
        return Judged(alarms, levels, us, None, None)
    whole = np.concatenate([levels[HOLD // 2 :], np.full(HOLD // 2, levels[-1])])
    return Judged(alarms, levels, us, _volume(series, levels), _volume(series, whole))


def _volume(series: LabelledSeries, levels: Floats) -> float:
    start = series.probation
    windows = [(max(first - start, 0), last - start) for first, last in series.windows if last >= start]
    return vus_pr(windows, levels[start:], tolerance=usual_period(series.values))


def _tables(corpus: Sequence[LabelledSeries]) -> list[Report]:
    with ProcessPoolExecutor(_PROCESSES) as pool:
        judged = list(pool.map(judge, corpus))
    chosen = chosen_half(corpus)
    parts = {
        "half that parameters were chosen on": [index for index, is_chosen in enumerate(chosen) if is_chosen],
        "other half": [index for index, is_chosen in enumerate(chosen) if not is_chosen],
        "all": list(range(len(corpus))),
    }
    rows = [_row(name, [corpus[i] for i in part], [judged[i] for i in part]) for name, part in parts.items() if part]
    cost = float(np.mean([each.us_per_value for each in judged]))
    ours = Report(
        f"NAB, {len(corpus)} series: the detector of metrics",
        (
            "series",
            f"score at {THRESHOLD}",
            "windows found",
            "false alarms",
            "score, best threshold",
            "VUS-PR, streaming",
            "VUS-PR, whole series known",
        ),
        rows,
        f"Standard profile; 100 is perfect, 0 says nothing. {cost:.0f} µs of CPU time a value. One set of parameters, "
        "no label is seen, every value is judged when it comes.",
    )
    beside = [(name, f"{score:.1f}") for name, score in PUBLISHED.items()]
    published = Report("Published scores on all 58 series of NAB", ("detector", "standard profile"), beside)
    return [ours, published]


def _row(name: str, corpus: Sequence[LabelledSeries], judged: Sequence[Judged]) -> tuple[str, ...]:
    alarms = [each.alarms for each in judged]
    frozen, best = score_at(corpus, alarms, THRESHOLD), best_score(corpus, alarms)
    volumes = [each.volume for each in judged if each.volume is not None]
    whole = [each.volume_whole for each in judged if each.volume_whole is not None]
    return (
        f"{name} ({len(corpus)})",
        f"{frozen.score:.1f}",
        f"{frozen.found} of {frozen.windows}",
        str(frozen.false_alarms),
        _threshold(best),
        f"{np.mean(volumes):.3f}" if volumes else "-",
        f"{np.mean(whole):.3f}" if whole else "-",
    )


def _threshold(scored: Scored) -> str:
    return f"{scored.score:.1f} at {scored.threshold:.3f}"
