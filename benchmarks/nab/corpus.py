"""Series of the Numenta Anomaly Benchmark (NAB, github.com/numenta/NAB, MIT) with the windows in which they are odd.

The data is not part of this project: give the folder or the archive that holds `combined_windows.json` and the folders
of series as the benchmark has them.
"""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WINDOWS = "combined_windows.json"


@dataclass(frozen=True)
class LabelledSeries:
    """One series of the benchmark."""

    name: str
    """As the labels have it: `realTweets/Twitter_volume_AAPL.csv`."""
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]
    windows: Sequence[tuple[int, int]]
    """First and last row of every window, the earliest first."""

    @property
    def probation(self) -> int:
        """Rows at the beginning that are not scored: 15 %, at most 750."""
        return min(int(0.15 * len(self.values)), 750)


def read_corpus(folder: Path) -> list[LabelledSeries]:
    """All labelled series below a folder, by name. Raises FileNotFoundError for a folder without labels."""
    labels = next(iter(sorted(folder.rglob(WINDOWS))), None)
    if labels is None:
        raise FileNotFoundError(f"no {WINDOWS} below {folder}")
    windows: Mapping[str, Sequence[Sequence[str]]] = json.loads(labels.read_text(encoding="utf-8"))
    found = {name: path for name in windows for path in folder.rglob(name)}
    return [_read(name, found[name], windows[name]) for name in sorted(found)]


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive of series into a folder, and return that."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder


def _read(name: str, path: Path, windows: Sequence[Sequence[str]]) -> LabelledSeries:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    times = [_seconds(row["timestamp"]) for row in rows]
    values = np.array([float(row["value"]) for row in rows])
    edges = [(times.index(_seconds(first)), times.index(_seconds(last))) for first, last in windows]
    return LabelledSeries(name, np.array(times), values, sorted(edges))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
