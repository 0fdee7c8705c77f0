"""Variants on a fake Triton: loaded when asked for, offered while they serve, unloaded when nobody asks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.testing import eventually
from lepton_ai.v1 import registry_pb2 as pb
from services.inference.lifecycle.version_life import FAILED
from services.inference.routing.routes import ModelReference
from services.inference.variants.demand import Demand
from services.inference.version import VersionKey
from tests.replica import Replica
from tests.sample_packages import variant_package
from tests.unit.inference.lifecycle.world import World, serves

KEY = VersionKey("doubler", 1, "int8")


@pytest.fixture
def demand() -> Demand:
    return Demand(idle_s=60.0)


async def deploy(world: World, policy: pb.VariantPolicy.ValueType, **measured: Any) -> None:
    """Version 1 with a variant."""
    original = world.registry.versions["doubler", 1]
    place = Path(world.directory / f"int8-{len(list(world.directory.iterdir()))}")
    world.registry.push_variant(1, "int8", variant_package(place, original, **measured))
    world.registry.policy = policy
    await world.registry.deploy("doubler", 1)


def offered(replica: Replica) -> str:
    """Where the variant is in Triton; empty while it is not offered."""
    offer = replica.routes.offer(replica.loaded())
    return "" if offer is None or offer.loaded is None else offer.loaded.triton_name


async def test_a_variant_is_loaded_only_when_it_is_asked_for(world: World, demand: Demand) -> None:
    async with world.replica(demand=demand) as replica:
        await deploy(world, pb.VARIANT_POLICY_AUTO)
        await serves(replica, 1)
        offer = replica.routes.offer(replica.loaded())
        assert offer is not None
        assert (offer.name, offer.loaded, offer.states["int8"]) == ("int8", None, "no call has asked for it")
        assert world.triton.loaded == {"doubler--v1"}
        demand.ask(KEY)
        await eventually(lambda: offered(replica) == "doubler--v1+int8", description="the variant serves")
        (status,) = replica.reconciler.serving_state().variants
        assert (status.version, status.variant) == (1, "int8")
        assert [each.version for each in replica.reconciler.serving_state().versions] == [1]


async def test_a_variant_that_nobody_asks_for_any_more_is_unloaded(world: World) -> None:
    now_s = 0.0
    demand = Demand(idle_s=0.05, clock=lambda: now_s)
    async with world.replica(demand=demand) as replica:
        await deploy(world, pb.VARIANT_POLICY_AUTO)
        await serves(replica, 1)
        demand.ask(KEY)
        await eventually(lambda: ("load", "doubler--v1+int8") in world.triton.calls, description="it was loaded")
        now_s = 1.0
        await eventually(lambda: world.triton.loaded == {"doubler--v1"}, description="it is unloaded again")


@pytest.mark.parametrize("policy", [pb.VARIANT_POLICY_UNSPECIFIED, pb.VARIANT_POLICY_EXACT])
async def test_under_exact_no_variant_is_offered(
    world: World, demand: Demand, policy: pb.VariantPolicy.ValueType
) -> None:
    async with world.replica(demand=demand) as replica:
        demand.ask(KEY)
        await deploy(world, policy)
        await serves(replica, 1)
        assert replica.routes.offer(replica.loaded()) is None
        assert world.triton.loaded == {"doubler--v1"}


async def test_a_variant_of_another_processor_is_refused_and_the_log_says_so(
    world: World, demand: Demand, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.replica(demand=demand) as replica:
        demand.ask(KEY)
        with caplog.at_level(logging.WARNING):
            await deploy(world, pb.VARIANT_POLICY_AUTO, flags=["sve"])
            await serves(replica, 1)
        offer = replica.routes.offer(replica.loaded())
        assert offer is not None
        assert offer.name == ""
        assert "measured on another processor" in offer.states["int8"]
        assert "Variant int8 of doubler@1 does not answer here" in caplog.text
        assert world.triton.loaded == {"doubler--v1"}


async def test_when_the_policy_is_exact_again_the_variant_goes(world: World, demand: Demand) -> None:
    async with world.replica(demand=demand) as replica:
        await deploy(world, pb.VARIANT_POLICY_AUTO)
        await serves(replica, 1)
        demand.ask(KEY)
        await eventually(lambda: bool(offered(replica)), description="the variant serves")
        world.registry.policy = pb.VARIANT_POLICY_EXACT
        await world.registry.deploy("doubler", 1)
        await eventually(lambda: world.triton.loaded == {"doubler--v1"}, description="it is unloaded")


async def test_while_a_rollout_is_under_way_only_originals_answer(world: World, demand: Demand) -> None:
    async with world.replica(demand=demand) as replica:
        await deploy(world, pb.VARIANT_POLICY_AUTO)
        await serves(replica, 1)
        deployment = world.registry.deployments["doubler"]
        deployment.versions.append(world.registry.deployed_version("doubler", 2))
        deployment.routes[0].targets.add(version=2, weight=1)
        deployment.routes[0].candidate, deployment.routes[0].rollout = 2, 7
        await world.registry.publish("doubler")
        await eventually(lambda: replica.routes.trial("doubler"), description="the rollout is under way")
        assert replica.routes.offer(replica.loaded(version=1)) is None


async def publish(world: World, *, pinned: bool = False, candidate: bool = False, share: int = 0) -> None:
    """What the registry says of a variant that people want, where the model lets none answer."""
    deployment = world.registry.deployments["doubler"]
    deployment.variant_policy = pb.VARIANT_POLICY_EXACT
    (variant,) = deployment.versions[0].variants
    variant.pinned, variant.candidate = pinned, candidate
    route = deployment.routes[0]
    if share:
        route.candidate, route.rollout, route.candidate_variant, route.candidate_share = 1, 7, "int8", share
    else:
        for name in ("candidate", "rollout", "candidate_variant", "candidate_share"):
            route.ClearField(name)
    deployment.generation += 1
    await world.registry.publish("doubler")


async def test_a_variant_that_comes_in_is_loaded_before_calls_and_serves_on_when_it_is_promoted(
    world: World, demand: Demand
) -> None:
    async with world.replica(demand=demand) as replica:
        await deploy(world, pb.VARIANT_POLICY_AUTO)
        await publish(world, candidate=True)
        await serves(replica, 1)
        await eventually(lambda: "doubler--v1+int8" in world.triton.loaded, description="it is loaded")
        assert replica.routes.offer(replica.loaded()) is None
        await publish(world, candidate=True, share=10_000)
        reference = ModelReference("doubler")
        await eventually(lambda: replica.routes.resolve(reference).loaded.variant == "int8", description="its calls")
        assert replica.routes.resolve(reference, exact=True).loaded.variant == ""
        await publish(world, pinned=True)
        await eventually(lambda: replica.routes.trial("doubler") is None, description="the rollout is over")
        assert offered(replica) == "doubler--v1+int8"
        assert ("unload", "doubler--v1+int8") not in world.triton.calls
        await publish(world)
        await eventually(lambda: world.triton.loaded == {"doubler--v1"}, description="it is unloaded")


async def test_one_that_people_want_answers_though_it_is_not_faster_but_not_on_another_processor(
    world: World, demand: Demand
) -> None:
    async with world.replica(demand=demand) as replica:
        await deploy(world, pb.VARIANT_POLICY_AUTO, speed_up=0.9, speed_up_interval=[0.8, 0.95])
        await publish(world, pinned=True)
        await eventually(lambda: offered(replica) == "doubler--v1+int8", description="it serves")
        world.registry.variants.clear()
        await deploy(world, pb.VARIANT_POLICY_AUTO, flags=["sve"])
        await publish(world, pinned=True)
        await eventually(lambda: offered(replica) == "", description="it does not serve")
        (status,) = (each for each in replica.reconciler.serving_state().variants if each.state == FAILED)
        assert (status.version, status.variant) == (1, "int8")
        assert "measured on another processor" in status.message


async def test_while_a_rollout_of_another_version_is_under_way_the_one_that_people_want_still_answers(
    world: World, demand: Demand
) -> None:
    async with world.replica(demand=demand) as replica:
        await deploy(world, pb.VARIANT_POLICY_AUTO)
        await publish(world, pinned=True)
        await eventually(lambda: offered(replica) == "doubler--v1+int8", description="it serves")
        deployment = world.registry.deployments["doubler"]
        deployment.versions.append(world.registry.deployed_version("doubler", 2))
        deployment.routes[0].targets.add(version=2, weight=1)
        deployment.routes[0].candidate, deployment.routes[0].rollout = 2, 7
        await world.registry.publish("doubler")
        await eventually(lambda: replica.routes.trial("doubler"), description="the rollout is under way")
        new = await eventually(lambda: replica.loaded(version=2), description="the new version is loaded")
        assert replica.routes.offer(new) is None
        offer = replica.routes.offer(replica.loaded(version=1))
        assert offer is not None
        assert offer.loaded is not None
