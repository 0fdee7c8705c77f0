"""`python -m benchmarks.table_run FILE CACHE`: reads, profiles, splits, learns from a table, and says what it took."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_ai.datasets import read_table
from lepton_ai.models import MLP
from lepton_ai.training.prepared import Prepared

_EVERY_S = 0.02
_BATCH_SIZE = 4096


class Sampler:
    """Watches the memory of this process in a thread; Linux keeps no peak of what is its own."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._peak_kb = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Print one line of JSON about what happens inside."""
        self._peak_kb, begin_s = 0, time.monotonic()
        yield
        found = read_status(_status())
        peak_kb = max(self._peak_kb, found["RssAnon"])
        figures = {"duration_s": time.monotonic() - begin_s, "anonymous_mb": peak_kb / 1e3}
        print(json.dumps({"name": name, **figures, "resident_mb": found["VmHWM"] / 1e3}), flush=True)

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            self._peak_kb = max(self._peak_kb, read_status(_status())["RssAnon"])


def read_status(text: str) -> dict[str, int]:
    """The sizes in a /proc/PID/status, in kB by name."""
    return {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}


def _status() -> str:
    return Path("/proc/self/status").read_text(encoding="utf-8")


def main(file: Path, cache: Path) -> None:
    """Every stage in turn, as a person would do it; what `fit` does before its first epoch also for itself."""
    with Sampler() as sampler:
        with sampler.stage("libraries loaded"):
            model = MLP([16], ramps=False)  # a small one: what is measured is the data's way
        with sampler.stage("read_table"):
            data = read_table(file, target="label", cache_directory=cache)
        with sampler.stage("profile"):
            data.profile()
        with sampler.stage("split"):
            train, _ = data.split(0.1)
        with sampler.stage("learn the pipeline"):
            pipeline = model.prepare(train)
        with sampler.stage("run the pipeline"):
            Prepared.of(train, pipeline, model.define_task(train))
        with sampler.stage("fit, one epoch"):
            model.fit(train, validation=None, epochs=1, batch_size=_BATCH_SIZE, progress=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
