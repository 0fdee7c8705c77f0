"""The judge of metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from lepton_ai.errors import Unavailable
from services.health.alerts.firing import SEVERITY, Firing
from services.health.detect.anomalies.combination import Combination
from services.health.detect.anomalies.sampling import Samples, Subject, read_past, read_samples
from services.health.detect.anomalies.watch import DAY, WEEK, Watch
from services.health.detect.anomalies.watched import STEP_S, WATCHED, Watched
from services.health.detect.anomalies.wording import firing_of, firing_of_rest, firing_together
from services.health.metrics.series import SeriesReader

MAX_FIRINGS = 20
MAX_WATCHED = 1000
"""Numbers that are followed; those that come later are not. One takes about 100 KB."""
HISTORY_S = 7200.0
"""Read again when health starts: what is usual is not kept anywhere else."""
_STEPS_AT_ONCE = 60
_TURN_S = 1.0
_SEASON_STEP_S = 300.0
_GONE_S = 3600.0
_SILENT_S = 300.0
"""What has not been measured for so long is not said to be odd."""
_log = logging.getLogger(__name__)


class AnomalyJudge:
    """What is out of the ordinary in any number that is watched. Only its errors and latencies are tickets; none pages.

    It knows nothing but the series: after a start it reads the last two hours again, and of what has seasons two weeks.
    """

    name = "anomalies"

    def __init__(self, reader: SeriesReader) -> None:
        self._reader = reader
        self._watches: dict[tuple[Watched, Subject], Watch] = {}
        self._combinations: dict[Subject, Combination] = {}
        self._until_s = 0.0

    async def judge(self, now_s: float) -> Sequence[Firing]:
        """All anomalies now, the worst first, at most MAX_FIRINGS. Raises Unavailable while it still reads the past."""
        newest_s = now_s // STEP_S * STEP_S
        if newest_s < self._until_s - STEP_S:
            self._begin_again(newest_s)
        if not self._until_s:
            await self._learn_seasons(newest_s - HISTORY_S)
        self._until_s = max(self._until_s, newest_s - HISTORY_S)
        begun_s = time.monotonic()
        while self._until_s < newest_s:
            if time.monotonic() - begun_s > _TURN_S:
                raise Unavailable("It is still reading what the last hours were like.", reason="LEARNING", fix="Wait.")
            last_s = min(newest_s, self._until_s + _STEPS_AT_ONCE * STEP_S)
            await self._take(await read_samples(self._reader, self._until_s + STEP_S, last_s))
            self._until_s = last_s
        self._forget(newest_s)
        return self._firings()

    async def _take(self, samples: Samples) -> None:
        for what, subject in samples.numbers:
            watch = self._watch(what, subject)
            if watch is not None:
                for time_s, value in samples.of(what, subject):
                    watch.update(what, time_s, value)
            await asyncio.sleep(0)  # others want to work, too
        for process in samples.combined:
            combination = self._combinations.setdefault(process, Combination())
            for time_s, numbers in samples.together(process):
                combination.update(time_s, numbers)
            await asyncio.sleep(0)

    def _watch(self, what: Watched, subject: Subject) -> Watch | None:
        watch = self._watches.get((what, subject))
        if watch is None and len(self._watches) < MAX_WATCHED:
            watch = self._watches[what, subject] = Watch()
            if len(self._watches) == MAX_WATCHED:
                _log.warning("no more numbers can be watched", extra={"watched": MAX_WATCHED})
        return watch

    async def _learn_seasons(self, until_s: float) -> None:
        first_s = until_s - (2 * WEEK + 2 * DAY) * _SEASON_STEP_S
        for what in WATCHED:
            if not what.has_season:
                continue
            past = await read_past(self._reader, what, first_s, until_s, _SEASON_STEP_S)
            for subject, values in past.items():
                watch = self._watch(what, subject)
                if watch is not None and values:
                    watch.learn_past(what, values, until_s, _SEASON_STEP_S)
                await asyncio.sleep(0)

    def _begin_again(self, newest_s: float) -> None:
        """The clock went back: what is usual stays, times count from now on."""
        self._until_s = newest_s
        for watch in self._watches.values():
            watch.last_s = min(watch.last_s, newest_s)
        for combination in self._combinations.values():
            combination.last_s = min(combination.last_s, newest_s)

    def _forget(self, newest_s: float) -> None:
        old_s = newest_s - _GONE_S
        self._watches = {key: each for key, each in self._watches.items() if each.last_s >= old_s}
        self._combinations = {key: each for key, each in self._combinations.items() if each.last_s >= old_s}

    def _firings(self) -> list[Firing]:
        heard_s = self._until_s - _SILENT_S
        odd = [(key, each) for key, each in self._watches.items() if each.episode.kind and each.last_s >= heard_s]
        found = [firing_of(*key, each.episode) for key, each in odd]
        found.sort(key=lambda each: each.labels[SEVERITY] != "ticket")
        found += [firing_together(key, each) for key, each in self._combinations.items() if each.since_s]
        if len(found) <= MAX_FIRINGS:
            return found
        return [*found[: MAX_FIRINGS - 1], firing_of_rest(len(found) - MAX_FIRINGS + 1)]
