"""One number over time: what is usual, and since when it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.health.detect.anomalies.watched import STEP_S, Watched
from services.health.detect.streams.change import Cusum, PageHinkley
from services.health.detect.streams.novelty import Novelty
from services.health.detect.streams.ring import Ring
from services.health.detect.streams.robust import RobustZ
from services.health.detect.streams.season import HoltWinters, SamePhase

Z_LIMIT = 6.0
"""Twice what Iglewicz and Hoaglin call an outlier: one in 2 million normal values has it thrice in a row."""
NOVEL = 2.0
"""A shape is told when it is this much farther from all before than those were from one another."""
_USUAL_STEPS = 720
_WARM_UP = 180
_TO_BEGIN, _TO_END = 3, 6
"""Values in a row that begin and end an episode."""
_OVER = 0.6
"""Less than this part of a change that matters is the end: at the edge it would begin and end with every breath."""
_GET_USED_STEPS = 360
"""After so long what is odd becomes usual."""
_SEASON_STEP = 30
"""Values in one of the means that seasons are made of: 5 minutes."""
DAY, WEEK = 288, 2016
_GAP_STEPS = 6
_GONE_STEPS = 60


@dataclass
class Episode:
    """Since when a number is out of the ordinary. `kind` is "" for none, else `level`, `drift` or `shape`."""

    kind: str = ""
    since_s: float = 0.0
    usual: float = 0.0
    now: float = 0.0
    steps: int = 0
    well: int = 0


@dataclass
class Watch:
    """Fed with (time, value) at equal steps; keeps what it needs to know, a few thousand numbers.

    Three questions are asked of each value: is it far from the median of two hours (robust z)? Has the mean crept away
    (CUSUM; Page-Hinkley for what must not grow)? Has nothing looked like this before (novelty)? Two days and two weeks
    in, what is usual at that time of the day or week is never odd.
    """

    last_s: float = 0.0
    missing: int = 0
    odd: int = 0
    episode: Episode = field(default_factory=Episode)
    usual: RobustZ = field(default_factory=lambda: RobustZ(_USUAL_STEPS, Z_LIMIT, warm_up=_WARM_UP))
    drift: Cusum = field(default_factory=lambda: Cusum(warm_up=360))
    leak: PageHinkley = field(default_factory=lambda: PageHinkley(0.001, 20.0, 360))
    novelty: Novelty = field(default_factory=lambda: Novelty(warm_up=360))
    is_creeping: bool = False
    """Whether the mean has moved, by however little."""
    crept_from: float = 0.0
    creeping: int = 0
    """Values since then."""
    recent: Ring = field(default_factory=lambda: Ring(_SEASON_STEP))
    steps: int = 0
    by_day: HoltWinters = field(default_factory=lambda: HoltWinters(DAY))
    by_week: SamePhase = field(default_factory=lambda: SamePhase(WEEK))

    def update(self, what: Watched, time_s: float, value: float) -> None:
        """Take the next value; what is not later than the last one is left out, what is not a number is a gap."""
        if time_s <= self.last_s:
            return
        skipped = (time_s - self.last_s) / STEP_S - 1.0 if self.last_s else 0.0
        self.last_s = time_s
        if not math.isfinite(value):
            self.missing += 1
            if self.missing >= _GONE_STEPS:
                self.episode = Episode()
            return
        if self.missing + skipped >= _GAP_STEPS:
            self.novelty.interrupt()
        self.missing = 0
        self._judge(what, time_s, value)

    def learn_past(self, what: Watched, values: Mapping[float, float], until_s: float, step_s: float) -> None:
        """Learn seasons from values at long steps, up to a time; gaps before the first one are no gaps."""
        first_s = min(values)
        for index in range(round((until_s - first_s) / step_s) + 1):
            value = values.get(round(first_s + index * step_s, 3), math.nan)
            scaled = what.transformed(value) if math.isfinite(value) else math.nan
            self.by_day.update(scaled)
            self.by_week.update(scaled)

    def _judge(self, what: Watched, time_s: float, value: float) -> None:
        scaled = what.transformed(value)
        self.usual.floor = self.drift.floor = what.noise
        usual = what.restored(self.usual.median) if len(self.usual.kept) else value
        is_far = what.matters(value, usual) and not self._is_season(what, value)
        is_odd = is_far and abs(self.usual.z(scaled)) >= Z_LIMIT
        has_crept = self._crept(what, scaled)
        is_novel = self.novelty.update(scaled).excess >= NOVEL and len(self.usual.kept) >= _WARM_UP
        self.odd = self.odd + 1 if is_odd or (is_far and is_novel) else 0
        if not self.episode.kind:
            if self.odd >= _TO_BEGIN:
                self._begin("level" if is_odd else "shape", time_s - (_TO_BEGIN - 1) * STEP_S, usual)
            elif has_crept and not is_odd and not self._is_season(what, value):
                self._begin("drift", time_s, what.restored(self.crept_from))
        self._go_on(what, value)
        if not is_odd or self.episode.steps > _GET_USED_STEPS:
            self.usual.update(scaled)
        if what.has_season:
            self._learn_season(scaled)

    def _crept(self, what: Watched, scaled: float) -> bool:
        """Whether the number has crept so far away from what it was that it matters."""
        if not what.creeps:
            return False
        detector = self.leak if what.is_leak else self.drift
        before = detector.mean
        if detector.update(scaled) >= 1.0 and not self.is_creeping:
            self.is_creeping, self.crept_from, self.creeping = True, before, 0
        # It is found when it has hardly moved: only what is still there an hour later has come back.
        self.creeping += 1
        if self.creeping > _GET_USED_STEPS and abs(scaled - self.crept_from) < what.noise:
            self.is_creeping = False
        return self.is_creeping and what.matters(what.restored(scaled), what.restored(self.crept_from))

    def _begin(self, kind: str, since_s: float, usual: float) -> None:
        self.episode = Episode(kind, since_s, usual)

    def _go_on(self, what: Watched, value: float) -> None:
        episode = self.episode
        if not episode.kind:
            return
        episode.now, episode.steps = value, episode.steps + 1
        is_over = not what.matters(value, episode.usual, part=_OVER)
        episode.well = episode.well + 1 if is_over else 0
        if episode.well >= _TO_END or episode.steps > _GET_USED_STEPS + _USUAL_STEPS // 2:
            self.episode, self.is_creeping = Episode(), False

    def _is_season(self, what: Watched, value: float) -> bool:
        """Whether the last days or weeks had the same at this time."""
        expected = (self.by_day.expected, self.by_week.expected)
        return any(not what.matters(value, what.restored(each)) for each in expected if math.isfinite(each))

    def _learn_season(self, scaled: float) -> None:
        self.recent.push(scaled)
        self.steps += 1
        if self.steps % _SEASON_STEP == 0:
            mean = float(self.recent.values.mean())
            self.by_day.update(mean)
            self.by_week.update(mean)
