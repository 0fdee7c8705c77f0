"""Whether the version or its variant answers a call, by the model's policy, the call's time and the load."""

from __future__ import annotations

import pytest
from opentelemetry.context import Context

from lepton_ai.testing.fake_triton import FakeTriton
from services.inference.call import Call
from services.inference.predict.runtime import Runtimes
from services.inference.routing.routes import ModelReference, ModelRoutes, Resolved, Routes, Target
from services.inference.variants.chooser import VariantChooser
from services.inference.variants.demand import Demand
from services.inference.variants.offers import Offer, Policy
from services.inference.version import LoadedVersion, VersionKey
from tests.unit.inference.parts import loaded_version, make_batcher

NOW = 1000.0


class Bench:
    """One version, its variant, and a chooser between them."""

    def __init__(self, policy: Policy | None, *, is_loaded: bool = True) -> None:
        self.original, self.variant = loaded_version(), loaded_version()
        self.variant.variant = "int8"
        name = "affine"
        offer = None if policy is None else Offer(policy, "int8", self.variant if is_loaded else None)
        self.routes = Routes()
        self.routes.replace(
            {
                name: ModelRoutes(
                    name,
                    serving={3: self.original},
                    aliases={"production": (Target(3, 1),)},
                    offers={} if offer is None else {3: offer},
                )
            }
        )
        self.runtimes = Runtimes(self.routes, lambda loaded: make_batcher(FakeTriton(), loaded))
        self.demand = Demand(idle_s=60.0)
        self.chooser = VariantChooser(self.routes, self.runtimes, self.demand, clock=lambda: NOW)

    def answers(self, *, left_s: float = 10.0, exact: bool = False) -> LoadedVersion:
        call = Call(NOW + left_s, Context(), NOW)
        resolved: Resolved = self.routes.resolve(ModelReference("affine"))
        return self.chooser.choose(resolved, call, exact=exact).loaded

    @property
    def is_wanted(self) -> bool:
        return VersionKey("affine", 3, "int8") in self.demand.wanted

    def has_seen_batches_of(self, seconds: float) -> None:
        pace = self.runtimes.of(self.original).batcher.paces["tensors"]
        for _ in range(9):
            pace.latency.observe(1, seconds)


async def test_without_a_policy_only_the_original_answers() -> None:
    bench = Bench(None)
    assert bench.answers() is bench.original
    assert not bench.is_wanted


async def test_under_auto_the_variant_answers_unless_the_caller_wants_the_original() -> None:
    bench = Bench(Policy.AUTO)
    assert bench.answers() is bench.variant
    assert bench.answers(exact=True) is bench.original


async def test_a_caller_that_wants_the_original_does_not_have_the_variant_loaded() -> None:
    bench = Bench(Policy.AUTO)
    bench.answers(exact=True)
    assert not bench.is_wanted


async def test_until_the_variant_is_loaded_the_original_answers_and_the_variant_is_asked_for() -> None:
    bench = Bench(Policy.AUTO, is_loaded=False)
    assert bench.answers() is bench.original
    assert bench.is_wanted


async def test_a_version_that_was_deployed_with_a_variant_is_answered_by_it_whatever_the_time_and_load() -> None:
    bench = Bench(Policy.PINNED)
    assert bench.answers() is bench.variant
    assert bench.answers(exact=True) is bench.original
    assert not bench.is_wanted, "it is kept loaded without being asked for"
    assert Bench(Policy.PINNED, is_loaded=False).answers().variant == ""


async def test_a_call_that_a_rollout_has_sent_to_a_variant_stays_there() -> None:
    bench = Bench(Policy.PINNED)
    other = loaded_version()
    other.variant = "fp16"
    resolved = Resolved(other, alias="production")
    call = Call(NOW + 10, Context(), NOW)
    assert bench.chooser.choose(resolved, call, exact=False) is resolved


@pytest.mark.parametrize(("left_s", "is_pressed"), [(10.0, False), (0.15, True)])
async def test_under_deadline_the_variant_answers_calls_that_have_little_time(left_s: float, is_pressed: bool) -> None:
    bench = Bench(Policy.DEADLINE)
    bench.has_seen_batches_of(0.1)
    assert bench.answers(left_s=left_s) is (bench.variant if is_pressed else bench.original)
    assert bench.is_wanted is is_pressed


async def test_under_deadline_nobody_is_pressed_before_it_is_known_how_long_the_original_takes() -> None:
    bench = Bench(Policy.DEADLINE)
    assert bench.answers(left_s=0.01) is bench.original


async def test_under_deadline_the_variant_answers_while_the_original_has_much_to_do() -> None:
    bench = Bench(Policy.DEADLINE)
    admission = bench.runtimes.of(bench.original).admission
    admission.rows = admission._limit_rows
    assert bench.answers() is bench.variant
