"""Routing: from a reference to a version, by weight and by key."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from lepton_ai.package import Description
from services.inference.routing.rollout import effective_aliases
from services.inference.routing.routes import ModelReference, ModelRoutes, Routes, Target, pick
from services.inference.version import LoadedVersion
from tests.sample_packages import description


def loaded(version: int) -> LoadedVersion:
    return LoadedVersion(
        model="m",
        version=version,
        triton_name=f"m--v{version}",
        description=Description.of(description()),
        max_batch_size=8,
        instances=1,
    )


def table(targets: dict[int, int], serving: set[int] | None = None) -> Routes:
    routes = Routes()
    able = targets.keys() if serving is None else serving
    aliases = {"production": tuple(Target(version, weight) for version, weight in targets.items())}
    waiting = dict.fromkeys(targets.keys() - able, "is being loaded")
    routes.replace({"m": ModelRoutes("m", {version: loaded(version) for version in able}, aliases, waiting)})
    return routes


def versions(routes: Routes, keys: list[str]) -> dict[str, int]:
    ref = ModelReference(name="m")
    return {key: routes.resolve(ref, key).loaded.version for key in keys}


KEYS = [f"用户-{number}" for number in range(2000)]


class TestWeights:
    def test_calls_are_spread_by_weight(self) -> None:
        routes = table({1: 9, 2: 1})
        counts = Counter(routes.resolve(ModelReference(name="m")).loaded.version for _ in range(4000))
        assert 0.07 < counts[2] / 4000 < 0.13

    def test_a_routing_key_stays_where_it_is(self) -> None:
        routes = table({1: 1, 2: 1})
        assert versions(routes, KEYS) == versions(table({2: 1, 1: 1}), KEYS)
        assert 0.45 < Counter(versions(routes, KEYS).values())[1] / len(KEYS) < 0.55

    def test_a_growing_canary_loses_nobody(self) -> None:
        small, large = versions(table({1: 9, 2: 1}), KEYS), versions(table({1: 7, 2: 3}), KEYS)
        assert all(large[key] == 2 for key in KEYS if small[key] == 2)

    def test_the_share_of_a_version_that_does_not_serve_goes_to_the_others(self) -> None:
        assert set(versions(table({1: 1, 2: 1}, serving={1}), KEYS).values()) == {1}

    @pytest.mark.parametrize(("point", "version"), [(0.0, 1), (0.2499, 1), (0.25, 2), (0.9999, 2)])
    def test_points_fall_on_targets_in_the_order_of_versions(self, point: float, version: int) -> None:
        assert pick([Target(2, 3), Target(1, 1)], point) == version


class TestResolving:
    def test_the_alias_is_named_and_empty_for_a_version(self) -> None:
        routes = table({1: 1})
        assert routes.resolve(ModelReference(name="m")).alias == "production"
        assert routes.resolve(ModelReference(name="m", alias="production")).alias == "production"
        assert routes.resolve(ModelReference(name="m", version=1)).alias == ""

    def test_version_zero_is_a_version_that_does_not_exist(self) -> None:
        with pytest.raises(Exception, match="Version 0 of model 'm' is not deployed"):
            table({1: 1}).resolve(ModelReference(name="m", version=0))


class TestInUse:
    async def test_idle_waits_for_the_last_user(self) -> None:
        version = loaded(1)
        await version.idle()
        with version.in_use():
            with version.in_use():
                pass
            waiting = asyncio.create_task(version.idle())
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting

    async def test_a_failing_user_lets_go_as_well(self) -> None:
        version = loaded(1)
        with pytest.raises(ZeroDivisionError), version.in_use():
            raise ZeroDivisionError
        await version.idle()


def targets(*versions: int) -> tuple[Target, ...]:
    return tuple(Target(version, 1) for version in versions)


@pytest.mark.parametrize(
    ("wanted", "current", "serving", "expected"),
    [
        pytest.param(targets(1), (), {}, targets(1), id="the first deployment, before it serves"),
        pytest.param(targets(2), targets(1), {1}, targets(1), id="the new one does not serve yet"),
        pytest.param(targets(2), targets(1), {1, 2}, targets(2), id="the new one serves"),
        pytest.param(targets(2), targets(1), {}, targets(1), id="nothing serves for a moment"),
        pytest.param(targets(2), targets(1), {2}, targets(2), id="only the new one serves"),
        pytest.param(targets(1, 2), targets(1), {1}, targets(1), id="half of what is wanted serves"),
        pytest.param(targets(2, 3), targets(1), {2}, targets(2, 3), id="the old one is lost, a part of the new serves"),
    ],
)
def test_an_alias_moves_once_all_that_is_wanted_serves(wanted: Any, current: Any, serving: Any, expected: Any) -> None:
    moved = effective_aliases(
        {"production": wanted}, {"production": current, "gone": targets(1)}, cast(set[int], serving)
    )
    assert moved == {"production": expected}
