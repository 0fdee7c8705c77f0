"""Of a version's variants the fastest answers that was measured here, within its bound and clearly faster."""

from __future__ import annotations

from typing import Any

from lepton_ai.optimize.measure.cpu import Cpu
from lepton_ai.v1 import registry_pb2 as pb
from services.inference.variants.offers import Policy, choose_variant

HERE = Cpu("here", ("avx2", "avx512_vnni"), 2)


def variant(name: str, **measured: Any) -> pb.DeployedVariant:
    values: dict[str, Any] = {
        "flags": HERE.flags,
        "speed_up": 2.0,
        "speed_up_low": 1.9,
        "loss": 0.001,
        "max_loss": 0.005,
    }
    return pb.DeployedVariant(name=name, measured=pb.Measured(**(values | measured)))


def deployed(*variants: pb.DeployedVariant) -> pb.DeployedVersion:
    return pb.DeployedVersion(version=1, variants=variants)


def test_the_fastest_that_may_answer_is_the_best() -> None:
    choice = choose_variant(deployed(variant("slow"), variant("fast", speed_up=3.0)), HERE)
    assert choice.best is not None
    assert (choice.best.name, list(choice.usable), dict(choice.refused)) == ("fast", ["fast", "slow"], {})


def test_one_that_was_measured_on_another_processor_is_refused_until_it_is_measured_here() -> None:
    other = variant("other", flags=("avx2",), speed_up=9.0)
    choice = choose_variant(deployed(other, variant("own")), HERE)
    assert choice.best is not None
    assert choice.best.name == "own"
    assert "has avx512_vnni besides" in choice.refused["other"]
    assert "lepton optimise ORIGINAL --again VARIANT" in choice.refused["other"]


def test_one_that_loses_more_than_it_may_or_is_not_surely_faster_is_refused() -> None:
    choice = choose_variant(deployed(variant("lossy", loss=0.006), variant("same", speed_up_low=0.98)), HERE)
    assert choice.best is None
    assert "0.60%" in choice.refused["lossy"]
    assert "0.50%" in choice.refused["lossy"]
    assert "not measured to be faster" in choice.refused["same"]


def test_what_was_measured_on_a_processor_says_nothing_of_a_gpu() -> None:
    assert "GPU" in choose_variant(deployed(variant("int8")), None).refused["int8"]


def test_a_policy_that_is_not_known_lets_only_originals_answer() -> None:
    assert Policy.of(pb.Deployment()) is Policy.EXACT
    assert Policy.of(pb.Deployment(variant_policy=pb.VARIANT_POLICY_AUTO)) is Policy.AUTO
    assert Policy.of(pb.Deployment(variant_policy=99)) is Policy.EXACT  # type: ignore[arg-type]
