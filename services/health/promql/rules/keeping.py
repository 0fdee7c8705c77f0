"""Puts what rules record into the store of measurements, so that queries find it and its past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from services.health.metrics.series import NAME, STALE
from services.health.metrics.storage.columns import Columns
from services.health.metrics.storage.store import MetricStore
from services.health.promql.rules.recordings import Key

_MANY_GONE = 20
"""Series of a rule that have ended: with more of them, and more than are left, its columns are made anew."""


@dataclass
class _Rows:
    columns: Columns
    places: dict[Key, int] = field(default_factory=dict)


class KeptRecords:
    """Each recorded metric is a target of its own in the store, within the store's bounds."""

    def __init__(self, store: MetricStore) -> None:
        self._store = store
        self._rows: dict[str, _Rows] = {}

    def keep(self, record: str, found: Mapping[Key, float], now_s: float) -> None:
        """What a rule found now; its other series end. Where the clock went back nothing is kept, as of all targets."""
        rows = self._rows.get(record)
        if rows is None:
            if not found:
                return
            rows = self._rows[record] = _Rows(self._store.open({NAME: record}))
        self._admit(rows, found)
        values = np.full(len(rows.columns), STALE)
        for key, value in found.items():
            if key in rows.places:
                values[rows.places[key]] = value
        if len(values):
            self._store.append(rows.columns, now_s, values)
        if len(rows.places) - len(found) > max(_MANY_GONE, len(found)):
            rows = self._rows[record] = _Rows(self._store.replace(rows.columns))
            self._admit(rows, found)  # or nothing would say when these end

    def _admit(self, rows: _Rows, found: Iterable[Key]) -> None:
        for key in found:
            if key not in rows.places:
                place = self._store.admit(rows.columns, dict(key))
                if place >= 0:
                    rows.places[key] = place
