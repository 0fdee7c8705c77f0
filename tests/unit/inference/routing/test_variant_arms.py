"""While a variant comes in beside its version, it gets its share of the calls, and each call is counted by its arm."""

from __future__ import annotations

from collections import Counter

import pytest

from services.inference.routing.routes import ModelReference, ModelRoutes, Resolved, Routes, Target
from services.inference.routing.trial import Candidate
from services.inference.version import LoadedVersion
from tests.unit.inference.routing.test_routes import KEYS, loaded

REFERENCE = ModelReference(name="m")
CALLS = 4000


class Bench:
    """Version 1 and a variant of it that is brought in."""

    def __init__(self) -> None:
        self.routes, self.original, self.variant = Routes(), loaded(1), loaded(1)
        self.variant.variant = "int8"

    def put(self, share: float, *, shadow: float = 0.0, sticky_by: str = "", is_loaded: bool = True) -> None:
        variant: LoadedVersion | None = self.variant if is_loaded else None
        candidate = Candidate(1, 7, shadow, sticky_by, "int8", share, variant)
        production = {"production": (Target(1, 100),)}
        self.routes.replace(
            {"m": ModelRoutes("m", {1: self.original}, production, candidates={"production": candidate})}
        )

    def arms(self, calls: int = CALLS) -> Counter[str]:
        return Counter(self.arm_of(self.routes.resolve(REFERENCE)) for _ in range(calls))

    def arm_of(self, resolved: Resolved) -> str:
        trial = self.routes.trial("m")
        assert trial is not None
        names = {id(trial.candidate): "candidate", id(trial.baseline): "baseline", id(trial.rest): "rest"}
        name = names[id(resolved.arm)]
        assert (name == "candidate") == (resolved.loaded is self.variant)
        assert resolved.is_apart == (name == "baseline")
        return name


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_variant_gets_its_share_and_the_baseline_as_many(bench: Bench) -> None:
    bench.put(0.1)
    arms = bench.arms()
    for name, share in (("candidate", 0.1), ("baseline", 0.1), ("rest", 0.8)):
        assert arms[name] / CALLS == pytest.approx(share, abs=0.03)


def test_a_routing_key_stays_and_only_moves_to_the_variant_as_its_share_grows(bench: Bench) -> None:
    reached = set[str]()
    for share in (0.05, 0.25, 0.5):
        bench.put(share)
        now = {key for key in KEYS if bench.routes.resolve(REFERENCE, key).loaded is bench.variant}
        assert now == {key for key in KEYS if bench.routes.resolve(REFERENCE, key).loaded is bench.variant}
        assert reached < now
        reached = now


def test_where_the_variant_does_not_serve_the_original_has_all_calls(bench: Bench) -> None:
    bench.put(0.5, is_loaded=False)
    assert bench.arms(200) == {"rest": 200}


def test_who_wants_the_original_gets_it_and_is_in_no_arm(bench: Bench) -> None:
    bench.put(0.5)
    resolved = [bench.routes.resolve(REFERENCE, exact=True) for _ in range(100)]
    assert {(each.loaded is bench.original, each.arm) for each in resolved} == {(True, None)}


def test_a_shadow_gets_copies_and_no_calls(bench: Bench) -> None:
    bench.put(0.0, shadow=1.0)
    resolved = bench.routes.resolve(REFERENCE)
    assert (resolved.loaded, resolved.arm) == (bench.original, None)
    assert resolved.shadow is not None
    assert resolved.shadow.loaded is bench.variant
    bench.put(0.0, shadow=1.0, is_loaded=False)
    assert bench.routes.resolve(REFERENCE).shadow is None


def test_in_an_ab_test_calls_without_a_key_go_to_the_original_and_are_in_no_arm(bench: Bench) -> None:
    bench.put(0.9, sticky_by="user-id")
    resolved = [bench.routes.resolve(REFERENCE) for _ in range(100)]
    assert {(each.loaded is bench.original, each.arm) for each in resolved} == {(True, None)}
    users = [bench.routes.resolve(REFERENCE, named=lambda _, user=key: user).loaded for key in KEYS]  # type: ignore[misc]
    assert bench.variant in users


def test_what_comes_in_counts_among_what_answers_so_that_it_is_not_forgotten(bench: Bench) -> None:
    bench.put(0.1)
    (model,) = bench.routes.models()
    assert list(model.loaded) == [bench.original, bench.variant]


def test_a_call_by_version_goes_to_the_original(bench: Bench) -> None:
    bench.put(1.0)
    assert bench.routes.resolve(ModelReference(name="m", version=1)).loaded is bench.original
