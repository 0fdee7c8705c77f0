"""A variant is wanted from the first call that could use it until none has for a while."""

from __future__ import annotations

from lepton_ai.testing import eventually
from services.inference.variants.demand import Demand
from services.inference.version import VersionKey

KEY = VersionKey("cat", 1, "int8")


async def test_what_is_asked_for_is_wanted_and_told_once() -> None:
    told: list[int] = []
    demand = Demand(idle_s=60.0)
    demand.on_change(lambda: told.append(len(demand.wanted)))
    assert not demand.wanted
    demand.ask(KEY)
    demand.ask(KEY)
    assert list(demand.wanted) == [KEY]
    assert told == [1]


async def test_what_nobody_asks_for_any_more_is_not_wanted() -> None:
    told: list[int] = []
    now = 0.0
    demand = Demand(idle_s=0.01, clock=lambda: now)
    demand.ask(KEY)
    demand.on_change(lambda: told.append(len(demand.wanted)))
    now = 1.0
    await eventually(lambda: told == [0], description="it is not wanted any more")


async def test_what_is_asked_for_again_stays_wanted() -> None:
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return 0.0  # no time passes: somebody has just asked

    demand = Demand(idle_s=0.01, clock=clock)
    demand.ask(KEY)
    await eventually(lambda: looks > 3, description="it was looked at again and again")
    assert list(demand.wanted) == [KEY]
