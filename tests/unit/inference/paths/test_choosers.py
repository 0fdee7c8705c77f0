"""Which paths a version has, and what a setting does to them."""

from __future__ import annotations

import pytest

from services.inference.paths.choosers import LARGE_ITEM_BYTES, PathChoosers
from services.inference.paths.path import Path, Reason
from tests.unit.inference.colours import colours_version


@pytest.mark.parametrize(
    ("runs_items", "fixed", "first", "reason"),
    [
        (True, None, Path.FUSED, Reason.TRIAL),
        (True, Path.REMOTE, Path.REMOTE, Reason.SETTING),
        (True, Path.FUSED, Path.FUSED, Reason.SETTING),
        (False, None, Path.REMOTE, Reason.ONLY),
        (False, Path.FUSED, Path.REMOTE, Reason.ONLY),
    ],
)
def test_a_setting_counts_where_the_version_has_that_path(
    runs_items: bool, fixed: Path | None, first: Path, reason: Reason
) -> None:
    loaded = colours_version()
    loaded.runs_items = runs_items
    trip = PathChoosers(loaded, fixed).of(100).begin(0.0)
    assert (trip.path, trip.reason) == (first, reason)


def test_large_items_are_measured_apart() -> None:
    choosers = PathChoosers(colours_version(), None)
    assert choosers.of(LARGE_ITEM_BYTES) is not choosers.of(LARGE_ITEM_BYTES - 1)
