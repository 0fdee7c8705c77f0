"""While a rollout is under way, calls are counted by arm: the candidate, as many of the others, and the rest."""

from __future__ import annotations

import pytest

from services.inference.routing.routes import ModelReference, ModelRoutes, Routes, Target
from services.inference.routing.trial import Candidate, Trial
from tests.unit.inference.routing.test_routes import KEYS, loaded

REFERENCE = ModelReference(name="m")
CALLS = 4000


def put(routes: Routes, share: int, *, rollout: int = 1, serving: tuple[int, ...] = (1, 2)) -> None:
    targets = (Target(1, 100 - share), Target(2, share))
    routes.replace(
        {
            "m": ModelRoutes(
                "m",
                {version: loaded(version) for version in serving},
                {"production": targets},
                candidates={"production": Candidate(2, rollout)},
            )
        }
    )


@pytest.fixture
def routes() -> Routes:
    """Version 2 gets a tenth."""
    made = Routes()
    put(made, 10)
    return made


def arm_of(routes: Routes, key: str = "") -> str:
    resolved, trial = routes.resolve(REFERENCE, key), routes.trial("m")
    assert trial is not None
    names = {id(trial.candidate): "candidate", id(trial.baseline): "baseline", id(trial.rest): "rest"}
    name = names[id(resolved.arm)]
    assert (name == "candidate") == (resolved.loaded.version == 2)
    return name


def test_the_baseline_gets_as_many_calls_as_the_candidate(routes: Routes) -> None:
    arms = [arm_of(routes) for _ in range(CALLS)]
    for name, share in (("candidate", 0.1), ("baseline", 0.1), ("rest", 0.8)):
        assert abs(arms.count(name) / CALLS - share) < 0.03


def test_a_routing_key_stays_in_its_arm(routes: Routes) -> None:
    before = {key: arm_of(routes, key) for key in KEYS}
    assert {key: arm_of(routes, key) for key in KEYS} == before
    assert 0.05 < list(before.values()).count("baseline") / len(KEYS) < 0.15


@pytest.mark.parametrize("share", [50, 90])
def test_from_half_of_the_traffic_on_all_others_are_the_baseline(routes: Routes, share: int) -> None:
    put(routes, share)
    assert "rest" not in {arm_of(routes) for _ in range(500)}


def test_counts_live_as_long_as_their_rollout(routes: Routes) -> None:
    first = routes.trial("m")
    put(routes, 30)
    assert routes.trial("m") is first
    put(routes, 10, rollout=2)
    second = routes.trial("m")
    assert isinstance(second, Trial)
    assert second.epoch != (first.epoch if first else "")
    routes.replace({"m": ModelRoutes("m", {2: loaded(2)}, {"production": (Target(2, 100),)})})
    assert routes.trial("m") is None
    assert routes.resolve(REFERENCE).arm is None


def test_while_only_one_version_serves_here_all_calls_are_its_own(routes: Routes) -> None:
    put(routes, 10, serving=(1,))
    assert {arm_of(routes) for _ in range(200)} == {"rest"}
    put(routes, 10, serving=(2,))
    assert {arm_of(routes) for _ in range(200)} == {"candidate"}


def test_a_call_by_version_is_in_no_arm(routes: Routes) -> None:
    assert routes.resolve(ModelReference(name="m", version=2)).arm is None


def put_shadow(routes: Routes, share: float, *, rollout: int = 1) -> None:
    versions = {version: loaded(version) for version in (1, 2)}
    candidates = {"production": Candidate(2, rollout, shadow=share)}
    routes.replace({"m": ModelRoutes("m", versions, {"production": (Target(1, 100),)}, candidates=candidates)})


def test_a_shadow_gets_copies_and_no_calls(routes: Routes) -> None:
    put_shadow(routes, 0.3)
    resolved = [routes.resolve(REFERENCE) for _ in range(CALLS)]
    assert {each.loaded.version for each in resolved} == {1}
    assert {each.arm for each in resolved} == {None}
    copied = [each.shadow for each in resolved if each.shadow is not None]
    assert {shadow.loaded.version for shadow in copied} == {2}
    assert len(copied) == pytest.approx(0.3 * CALLS, rel=0.15)


def test_a_candidate_that_begins_to_answer_is_counted_anew(routes: Routes) -> None:
    put_shadow(routes, 1.0)
    as_shadow = routes.trial("m")
    put_shadow(routes, 1.0)
    assert routes.trial("m") is as_shadow
    put(routes, 10)
    assert routes.trial("m") is not as_shadow


def sticky(routes: Routes, share: int) -> None:
    versions = {version: loaded(version) for version in (1, 2)}
    targets = (Target(1, 100 - share), Target(2, share))
    candidates = {"production": Candidate(2, 1, sticky_by="user-id")}
    routes.replace({"m": ModelRoutes("m", versions, {"production": targets}, candidates=candidates)})


def test_an_ab_test_takes_its_keys_from_the_metadata(routes: Routes) -> None:
    sticky(routes, 50)

    def version_of(said: dict[str, str]) -> int:
        return routes.resolve(REFERENCE, named=lambda name: said.get(name, "")).loaded.version

    versions = {user: version_of({"user-id": user, "other": "x"}) for user in KEYS}
    assert versions == {user: routes.resolve(REFERENCE, routing_key=user).loaded.version for user in KEYS}
    assert set(versions.values()) == {1, 2}


def test_in_an_ab_test_calls_without_a_key_go_to_the_old_version_and_are_in_no_arm(routes: Routes) -> None:
    sticky(routes, 90)
    resolved = [routes.resolve(REFERENCE) for _ in range(100)]
    assert {(each.loaded.version, each.arm) for each in resolved} == {(1, None)}


def test_the_baseline_is_batched_apart_as_the_candidate_is(routes: Routes) -> None:
    resolved = [routes.resolve(REFERENCE) for _ in range(CALLS)]
    trial = routes.trial("m")
    assert trial is not None
    assert all(each.is_apart == (each.arm is trial.baseline) for each in resolved)
